//! Whole runs on a store with real objects.

use std::sync::Arc;
use std::time::Duration;

use dormouse_base::{Lsn, ProjectId, Timestamp, clock};

use super::super::*;
use super::lab::{Files, Lab, at, content, id, later, project};
use crate::branch::line;
use crate::branch::record::{BranchRecord, Origin};
use crate::gc::plan::Pin;
use crate::key;

const HOUR: Duration = Duration::from_secs(3600);

async fn listed(lab: &Lab, branch: &dormouse_base::BranchId) -> Vec<Lsn> {
    lab.record(branch).await.snapshots.iter().map(|s| s.lsn).collect()
}

#[tokio::test]
async fn what_no_window_reaches_goes_in_two_runs() {
    let lab = Lab::new();
    let (main, child) = lab.family().await;
    let collector = lab.collector(HOUR);
    let first = collector.collect_at(later(2)).await.unwrap();
    // Main's window begins at its end; the child needs 10.
    assert_eq!(listed(&lab, &main).await, [at(10), at(20)]);
    assert_eq!((first.retired, first.deleted), (1, 0));
    assert!(first.frozen.is_empty() && first.strange.is_empty(), "{first:?}");
    let second = collector.collect_at(later(4)).await.unwrap();
    // The empty snapshot: manifest, boot; and the WAL before 8 and from 15 to 18 is in pieces that stay.
    assert_eq!(second.deleted, 2, "{second:?}");
    let third = collector.collect_at(later(6)).await.unwrap();
    assert_eq!((third.deleted, third.waiting), (0, 0));
    lab.register(&child).delete(|_| Ok::<_, GcError>(())).await.unwrap();
    for hours in [8, 10, 12, 14, 40, 42] {
        collector.collect_at(later(hours)).await.unwrap();
    }
    assert_eq!(listed(&lab, &main).await, [at(20)]);
    assert_eq!(lab.keys(".wal").await.len(), 2, "from 18 on");
    assert!(lab.keys("br-child").await.is_empty());
    assert_eq!(lab.keys("packs").await.len(), 2, "one with the shared chunks, one with the new");
    let left = lab.read(&lab.record(&main).await.snapshots[0].manifest).await;
    assert_eq!(left["base/2"], content(100, 20));
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_a_limit_holds() {
    let lab = Lab::new();
    let (main, _) = lab.family().await;
    let mut collector = lab.collector(HOUR);
    collector.collect_at(later(2)).await.unwrap();
    let before = lab.keys("").await;
    collector.options.dry_run = true;
    let would = collector.collect_at(later(4)).await.unwrap();
    assert_eq!(would.deleted, 0, "the entry has to expire first");
    assert_eq!(lab.keys("").await, before);
    collector.options.dry_run = false;
    collector.options.max_deletes = 1;
    let limited = collector.collect_at(later(4)).await.unwrap();
    assert_eq!((limited.deleted, limited.waiting), (1, 1));
    assert_eq!(listed(&lab, &main).await, [at(10), at(20)]);
}

#[tokio::test]
async fn a_deleted_project_leaves_nothing() {
    let lab = Lab::new();
    lab.family().await;
    let register = crate::branch::register::ProjectRegister::of(&lab.store, &project());
    register.delete(|_| Ok::<_, GcError>(())).await.unwrap();
    let collector = lab.collector(HOUR);
    for hours in [2, 4, 30, 32] {
        collector.collect_at(later(hours)).await.unwrap();
    }
    assert!(lab.keys("").await.is_empty());
    let metrics = collector.metrics();
    assert!(metrics.deleted.get() > 15 && metrics.runs.get() == 4);
}

#[tokio::test]
async fn unreadable_manifests_and_newer_registers_keep_the_packs() {
    let lab = Lab::new();
    let (main, _) = lab.family().await;
    let pack = key::pack(&key::packs(&project()), "00000001-orphan");
    lab.store.put(&pack, "x".into()).await.unwrap();
    let manifest = lab.record(&main).await.snapshots[1].manifest.clone();
    let good = lab.store.get(&manifest).await.unwrap();
    lab.store.put(&manifest, good.slice(..good.len() / 2)).await.unwrap();
    let collector = lab.collector(HOUR);
    let report = collector.collect_at(later(4)).await.unwrap();
    assert!(report.frozen[0].1.contains(manifest.as_str()), "{report:?}");
    assert!(lab.store.exists(&pack).await.unwrap());
    lab.store.put(&manifest, good).await.unwrap();
    let newer = key::register_version(&key::branch_register(&project(), &id("new")), 1);
    lab.store.put(&newer, "{\"format\":9}\nblake3:0\n".into()).await.unwrap();
    let report = collector.collect_at(later(4)).await.unwrap();
    assert!(report.frozen[0].1.contains("not understood"), "{report:?}");
    assert_eq!((report.deleted, report.retired), (0, 0));
    lab.store.delete(&newer).await.unwrap();
    let report = collector.collect_at(later(4)).await.unwrap();
    assert!(report.deleted > 0 && !lab.store.exists(&pack).await.unwrap());
}

#[tokio::test]
async fn an_upload_keeps_what_it_may_find() {
    let lab = Lab::new();
    let (main, _) = lab.family().await;
    let collector = lab.collector(HOUR);
    // An earlier try died before it published.
    let files = Files::from([("base/9".to_owned(), content(200, 4))]);
    let taken = lab.take(&main, 28, 30, &files).await;
    let lease = lab.leases.upload(&project(), &main).await.unwrap();
    for hours in [30, 60, 90] {
        collector.collect_at(later(hours)).await.unwrap();
    }
    assert_eq!(lab.read(&taken.manifest).await, files);
    drop(lease);
    collector.collect_at(later(90)).await.unwrap();
    collector.collect_at(later(92)).await.unwrap();
    assert!(!lab.store.exists(&taken.manifest).await.unwrap());
}

#[tokio::test]
async fn leases_hold_the_past_until_they_end() {
    let lab = Lab::new();
    let (main, _) = lab.family().await;
    let collector = lab.collector(HOUR);
    let lease = lab.leases.pin(&project(), Pin::Point { branch: main.clone(), lsn: at(3) }).unwrap();
    for hours in [2, 4, 6] {
        collector.collect_at(later(hours)).await.unwrap();
    }
    assert_eq!(listed(&lab, &main).await, [at(0), at(10), at(20)]);
    assert_eq!(lab.record(&main).await.history_start, at(0));
    let snapshot = lab.record(&main).await.snapshots[0].clone();
    lease.change(Pin::Snapshot { branch: main.clone(), manifest: snapshot.manifest.clone() });
    for hours in [8, 10] {
        collector.collect_at(later(hours)).await.unwrap();
    }
    assert!(lab.store.exists(&snapshot.boot).await.unwrap());
    drop(lease);
    for hours in [12, 14] {
        collector.collect_at(later(hours)).await.unwrap();
    }
    assert!(!lab.store.exists(&snapshot.boot).await.unwrap());
    assert!(lab.leases.is_empty());
}

#[tokio::test]
async fn templates_of_nobody_go() {
    let lab = Lab::new();
    lab.family().await;
    for template in ["old", "new", "used"] {
        lab.store.put(&key::template_manifest(template), "m".into()).await.unwrap();
    }
    let used = lab.create("fresh", Origin::Template { template: "used".into() }, at(0)).await;
    let mut collector = lab.collector(HOUR);
    collector.options.templates.insert("new".to_owned());
    collector.collect_at(later(25)).await.unwrap();
    let there = |name: &'static str| {
        let store = lab.store.clone();
        async move { store.exists(&key::template_manifest(name)).await.unwrap() }
    };
    assert!(!there("old").await && there("new").await && there("used").await);
    assert!(line::plan(&[(used.clone(), lab.record(&used).await)].into(), &used, at(0)).is_err());
}

/// Keeps an hour, and this point once it was asked so often.
#[derive(Debug)]
struct Lasting(Lsn, std::sync::atomic::AtomicU32);

impl Windows for Lasting {
    fn window(&self, _: &ProjectId, _: &BranchRecord) -> Option<Duration> {
        Some(HOUR)
    }

    fn points(&self, _: &ProjectId, record: &BranchRecord) -> Option<Vec<Lsn>> {
        use std::sync::atomic::Ordering::SeqCst;
        let early = record.branch != id("main")
            || self.1.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        Some(if early { Vec::new() } else { vec![self.0] })
    }
}

#[tokio::test]
async fn a_lasting_point_is_kept_however_old_it_is() {
    // Also if it was not there yet at the look whose changes are written now.
    for early in [0, 1] {
        let lab = Lab::new();
        let (main, _) = lab.family().await;
        let windows = Arc::new(Lasting(at(13), early.into()));
        let mut collector = lab.collector(HOUR);
        collector.windows = windows;
        for hours in [2, 4, 6] {
            let report = collector.collect_at(later(hours)).await.unwrap();
            assert!(report.frozen.is_empty(), "{report:?}");
        }
        let record = lab.record(&main).await;
        assert_eq!(record.history_start, at(10), "not before the last snapshot that makes it");
        let records = [(main.clone(), record)].into();
        let plan = line::plan(&records, &main, at(13)).unwrap();
        assert_eq!(plan.snapshot.lsn, at(10));
        let (first, last) = (plan.line.first().unwrap(), plan.line.last().unwrap());
        assert_eq!((first.from, last.to), (plan.snapshot.redo, at(13)));
        assert_eq!(lab.keys(".wal").await.len(), 4, "but for what is older");
    }
}

#[tokio::test]
async fn what_another_server_looks_after_is_left_alone() {
    let lab = Lab::new();
    let (main, _) = lab.family().await;
    let mut collector = lab.collector(HOUR);
    collector.options.others.insert(project());
    let report = collector.collect_at(later(2)).await.unwrap();
    assert!(report.frozen[0].1.contains("another server"), "{report:?}");
    assert_eq!((report.retired, lab.record(&main).await.history_start), (0, at(0)));
}

/// Keeps an hour, counted from this moment, whatever the wall clock says.
#[derive(Debug)]
struct Believing(Timestamp);

#[async_trait::async_trait]
impl Windows for Believing {
    async fn now(&self) -> Timestamp {
        self.0
    }

    fn window(&self, _: &ProjectId, _: &BranchRecord) -> Option<Duration> {
        Some(HOUR)
    }
}

#[tokio::test]
async fn history_is_as_old_as_the_time_that_is_believed_and_the_grace_period_by_the_clock() {
    let lab = Lab::new();
    let (main, _) = lab.family().await;
    let days_ago = |days: u32| clock::now() - HOUR * (24 * days);
    lab.update(&main, |record| record.snapshots.iter_mut().for_each(|s| s.taken_at = days_ago(3))).await;
    let collect = async |now| {
        let collector = Collector { windows: Arc::new(Believing(now)), ..lab.collector(HOUR) };
        collector.collect().await.unwrap()
    };
    // The wall clock is four days ahead, and what it would end began a moment ago.
    assert_eq!(collect(days_ago(4)).await.retired, 0);
    assert_eq!(lab.record(&main).await.history_start, at(0));
    assert_eq!(collect(days_ago(2)).await.retired, 1);
    let record = lab.record(&main).await;
    assert!(record.history_start_at < days_ago(2) && record.history_start > at(0));
    // The wall clock is believed from here on: what was taken off the list just now is not two days old by that.
    collect(clock::now()).await;
    assert!(lab.record(&main).await.retired.iter().any(|retired| retired.snapshot.lsn < at(10)));
}
