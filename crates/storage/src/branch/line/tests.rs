//! A family of branches, and what their points are made of.

use dormouse_base::{ProjectId, Timestamp};

use super::*;
use crate::branch::record::Span;
use crate::key::{self, FORMAT_VERSION};

fn id(name: &str) -> BranchId {
    format!("br-{name}").parse().unwrap()
}

fn snapshot(
    branch: &str,
    kind: SnapshotKind,
    redo: u64,
    lsn: u64,
    timeline: u32,
    epoch: u32,
) -> SnapshotRecord {
    let project: ProjectId = "p".parse().unwrap();
    SnapshotRecord {
        kind,
        lsn: Lsn(lsn),
        redo: Lsn(redo),
        timeline: Timeline(timeline),
        epoch: Epoch(epoch),
        manifest: key::manifest(&project, &id(branch), Lsn(lsn), Epoch(epoch)),
        boot: key::boot(&project, &id(branch), Lsn(lsn), Epoch(epoch)),
        taken_at: Timestamp::UNIX_EPOCH,
        logical_bytes: 0,
        added_bytes: 0,
    }
}

fn span(epoch: u32, timeline: u32, from: u64, to: Option<u64>) -> Span {
    Span { epoch: Epoch(epoch), timeline: Timeline(timeline), from: Lsn(from), to: to.map(Lsn), mark: None }
}

fn record(name: &str, origin: Origin, spans: Vec<Span>, snapshots: Vec<SnapshotRecord>) -> BranchRecord {
    BranchRecord {
        format: FORMAT_VERSION,
        project: "p".parse().unwrap(),
        branch: id(name),
        created_at: Timestamp::UNIX_EPOCH,
        origin,
        epoch: spans.last().map_or(Epoch(0), |s| s.epoch),
        spans,
        snapshots,
        retired: Vec::new(),
        history_start: Lsn(0),
        history_start_at: Timestamp::UNIX_EPOCH,
        meta: serde_json::Value::Null,
    }
}

fn from(parent: &str, lsn: u64) -> Origin {
    Origin::Branch { parent: id(parent), lsn: Lsn(lsn), at: None, writer: None }
}

/// main: template at 100, one writer from 100, an online snapshot 200..220, a clean one at 400; it was
/// materialised again at 400. child: forked at 300.
fn family() -> Records {
    let template = Origin::Template { template: "t".into() };
    let main = record(
        "main",
        template,
        vec![span(1, 1, 100, Some(400)), span(2, 1, 400, None)],
        vec![
            snapshot("main", SnapshotKind::Clean, 90, 100, 1, 0),
            snapshot("main", SnapshotKind::Online, 200, 220, 1, 1),
            snapshot("main", SnapshotKind::Clean, 390, 400, 1, 1),
        ],
    );
    let child = record("child", from("main", 300), vec![span(1, 2, 298, None)], vec![]);
    [main, child].into_iter().map(|r| (r.branch.clone(), r)).collect()
}

/// Branch, epoch, timeline, first byte, behind the last byte.
type Part = (String, u32, u32, u64, u64);

fn shape(plan: &Plan) -> (u64, Vec<Part>) {
    let spans = plan.line.iter();
    let spans = spans.map(|s| (s.branch.to_string(), s.epoch.0, s.timeline.0, s.from.0, s.to.0));
    (plan.snapshot.lsn.0, spans.collect())
}

#[test]
fn a_clean_snapshot_at_the_point_needs_no_replay() {
    let plan = plan(&family(), &id("main"), Lsn(400)).unwrap();
    assert!(plan.is_direct());
    assert_eq!(plan.timeline(), Timeline(1));
}

#[test]
fn an_online_snapshot_is_no_use_before_its_end() {
    let before = plan(&family(), &id("main"), Lsn(219)).unwrap();
    assert_eq!(shape(&before), (100, vec![("br-main".into(), 1, 1, 100, 219)]));
    let after = plan(&family(), &id("main"), Lsn(220)).unwrap();
    assert_eq!(shape(&after), (220, vec![("br-main".into(), 1, 1, 200, 220)]));
    assert!(!after.is_direct());
}

#[test]
fn a_child_reads_its_parent_up_to_the_fork_only() {
    let plan = plan(&family(), &id("child"), Lsn(350)).unwrap();
    let expected = vec![("br-main".into(), 1, 1, 200, 298), ("br-child".into(), 1, 2, 298, 350)];
    // The parent's own span is cut where the child's begins.
    assert_eq!(shape(&plan), (220, expected));
    assert_eq!(plan.timeline(), Timeline(2));
}

#[test]
fn a_fresh_child_has_only_its_parents_line() {
    let mut records = family();
    records.get_mut(&id("child")).unwrap().spans.clear();
    let plan = plan(&records, &id("child"), Lsn(300)).unwrap();
    assert_eq!(shape(&plan), (220, vec![("br-main".into(), 1, 1, 200, 300)]));
}

#[test]
fn the_point_of_a_pristine_project_is_its_template() {
    let plan = plan(&family(), &id("main"), Lsn(100)).unwrap();
    assert!(plan.is_direct() && plan.line.is_empty());
}

#[test]
fn what_is_forgotten_or_ahead_is_refused() {
    let mut records = family();
    records.get_mut(&id("main")).unwrap().history_start = Lsn(220);
    assert!(matches!(plan(&records, &id("main"), Lsn(150)), Err(LineError::Forgotten { .. })));
    records.get_mut(&id("main")).unwrap().spans.pop();
    assert!(matches!(plan(&records, &id("main"), Lsn(500)), Err(LineError::Ahead { .. })));
    records.remove(&id("main"));
    assert!(matches!(plan(&records, &id("child"), Lsn(300)), Err(LineError::UnknownBranch(_))));
}

#[test]
fn a_loop_in_damaged_registers_ends() {
    let mut records = family();
    records.get_mut(&id("main")).unwrap().origin = from("child", 300);
    assert!(matches!(plan(&records, &id("main"), Lsn(350)), Err(LineError::TooDeep(_))));
}

#[test]
fn a_snapshot_behind_its_writers_end_is_not_taken() {
    let mut records = family();
    let main = records.get_mut(&id("main")).unwrap();
    // The first writer went on and listed one more, while the second was being made of what ends at 400.
    main.snapshots.push(snapshot("main", SnapshotKind::Online, 480, 500, 1, 1));
    let plan = plan(&records, &id("main"), Lsn(600)).unwrap();
    assert_eq!(
        shape(&plan),
        (400, vec![("br-main".into(), 1, 1, 390, 400), ("br-main".into(), 2, 1, 400, 600)])
    );
}

#[test]
fn a_child_of_what_was_lost_does_not_get_what_came_instead() {
    let mut records = family();
    // What the first writer wrote behind 280 was lost; the second began there, and has a snapshot before the fork.
    let main = records.get_mut(&id("main")).unwrap();
    main.spans = vec![span(1, 1, 100, Some(280)), span(2, 1, 280, None)];
    main.snapshots.insert(2, snapshot("main", SnapshotKind::Online, 285, 295, 1, 2));
    let child = records.get_mut(&id("child")).unwrap();
    child.spans.clear();
    child.origin = Origin::Branch { parent: id("main"), lsn: Lsn(300), at: None, writer: Some(Epoch(1)) };
    let of_first = vec![("br-main".into(), 1, 1, 200, 300)];
    assert_eq!(shape(&plan(&records, &id("child"), Lsn(300)).unwrap()), (220, of_first));
    let of_second = vec![("br-main".into(), 2, 1, 285, 300)];
    assert_eq!(shape(&plan(&records, &id("main"), Lsn(300)).unwrap()), (295, of_second));
    // A child of the child is of the same.
    let grandchild = record("grandchild", from("child", 290), vec![], vec![]);
    records.insert(id("grandchild"), grandchild);
    let of_first = vec![("br-main".into(), 1, 1, 200, 290)];
    assert_eq!(shape(&plan(&records, &id("grandchild"), Lsn(290)).unwrap()), (220, of_first));
}
