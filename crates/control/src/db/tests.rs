//! The metadata on temporary files.

use dormouse_base::{BranchId, EndpointId, ProjectId, Timestamp};
use dormouse_compute::event::{Cause, Happening, Phases, SleepReason};
use dormouse_compute::spec::Mode;

use super::*;
use crate::model::record::{Branch, Endpoint, Origin, Pending, Project, ProjectSettings, Role, Target};
use crate::operation::draft;
use crate::operation::phase::Phase;

fn db() -> (tempfile::TempDir, Db) {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path()).unwrap();
    (dir, db)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn project(name: &str, second: i64) -> Project {
    Project {
        id: ProjectId::generate(),
        name: name.to_owned(),
        pg_version: 15,
        settings: ProjectSettings {
            preload_libraries: vec!["pg_cron".to_owned()],
            ..ProjectSettings::default()
        },
        deleting: false,
        created_at: at(second),
        updated_at: at(second),
    }
}

fn branch(project: &Project) -> Branch {
    let new =
        Branch::new(BranchId::generate(), &project.id, "main".to_owned(), "app_owner".to_owned(), at(0));
    Branch { is_default: true, ..new }
}

fn endpoint(branch: &Branch, slot: u32) -> Endpoint {
    let settings = ProjectSettings::default();
    Endpoint {
        slot,
        pg_settings: [("work_mem".to_owned(), "8MB".to_owned())].into(),
        allowed_ips: vec!["192.0.2.0/24".to_owned()],
        warm: crate::model::record::Warm {
            keep: vec![dormouse_api::endpoint::KeepWarm { schedule: "0 8 * * *".to_owned(), minutes: 9 }],
            prewarm: true,
        },
        ..Endpoint::new(EndpointId::generate(), &branch.project_id, &branch.id, &settings, at(0))
    }
}

fn with_endpoint(db: &Db, slot: u32) -> (Project, Branch, Endpoint) {
    let project = project("p", i64::from(slot));
    let branch = branch(&project);
    let endpoint = endpoint(&branch, slot);
    db.write_now("fill", |db| {
        projects::insert(db, &project)?;
        branches::insert(db, &branch)?;
        endpoints::insert(db, &endpoint)
    })
    .unwrap();
    (project, branch, endpoint)
}

#[test]
fn rows_come_back_as_they_went_in_even_after_reopening() {
    let (dir, db) = db();
    let (project, branch, endpoint) = with_endpoint(&db, 0);
    drop(db);
    let db = Db::open(dir.path()).unwrap();
    assert_eq!(db.read("", |db| projects::get(db, &project.id)).unwrap(), Some(project.clone()));
    assert_eq!(db.read("", |db| branches::find(db, &project.id, "main")).unwrap(), Some(branch.clone()));
    assert_eq!(db.read("", |db| endpoints::of_branch(db, &branch.id)).unwrap(), Some(endpoint.clone()));

    db.write_now("", |db| endpoints::mark_opened(db, &endpoint.id)).unwrap();
    db.write_now("", |db| endpoints::set_next_wake(db, &endpoint.id, Some(at(9)))).unwrap();
    let row = db.read("", |db| endpoints::get(db, &endpoint.id)).unwrap().unwrap();
    assert!(row.roles_stale);
    assert_eq!(db.read("", endpoints::scheduled).unwrap(), vec![(endpoint.id.clone(), at(9))]);
    db.write_now("", |db| endpoints::mark_opened(db, &endpoint.id)).unwrap();
    assert!(db.read("", endpoints::scheduled).unwrap().is_empty(), "an opened endpoint has had its wake");
}

#[test]
fn the_file_is_private_and_a_newer_schema_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, db) = db();
    let path = dir.path().join(FILE);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(db);
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 999).unwrap();
    assert!(matches!(Db::open(dir.path()), Err(OpenError::Newer { found: 999, .. })));
}

#[test]
fn a_failed_transaction_changes_nothing() {
    let (_dir, db) = db();
    let one = project("one", 0);
    let failed = db.write_now("", |db| {
        projects::insert(db, &one)?;
        projects::insert(db, &one)
    });
    assert!(failed.unwrap_err().is_conflict());
    assert_eq!(db.read("", projects::count).unwrap(), 0);
}

#[test]
fn one_unfinished_operation_per_project() {
    let (_dir, db) = db();
    let target = |id: &ProjectId| Target { project_id: id.clone(), branch_id: None, endpoint_id: None };
    let (a, b) = (ProjectId::generate(), ProjectId::generate());
    let mut first = draft("x", target(&a), serde_json::json!({"n": 1}));
    db.write_now("", |db| operations::insert(db, &first)).unwrap();
    db.write_now("", |db| operations::insert(db, &draft("x", target(&b), serde_json::json!({})))).unwrap();
    let second = draft("y", target(&a), serde_json::json!({}));
    let error = db.write_now("", |db| operations::insert(db, &second)).unwrap_err();
    assert!(error.conflicts_in("operations"), "{error:?}");
    first.phase = Phase::Done;
    db.write_now("", |db| operations::update(db, &first)).unwrap();
    db.write_now("", |db| operations::insert(db, &second)).unwrap();
    assert_eq!(db.read("", operations::unfinished).unwrap().len(), 2);
    let listed = db.read("", |db| operations::list(db, &a, None, 10)).unwrap();
    assert_eq!(listed.iter().map(|o| &o.id).collect::<Vec<_>>(), [&second.id, &first.id]);
    db.write_now("", |db| operations::prune(db)).unwrap();
    let args = db.read("", |db| operations::get(db, &first.id)).unwrap().unwrap().args;
    assert_eq!(args, serde_json::json!({}), "finished operations keep no arguments");
}

#[test]
fn slots_are_used_again() {
    let (_dir, db) = db();
    for slot in [0, 1, 3] {
        with_endpoint(&db, slot);
    }
    assert_eq!(db.read("", endpoints::free_slot).unwrap(), 2);
    with_endpoint(&db, 2);
    assert_eq!(db.read("", endpoints::free_slot).unwrap(), 4);
}

#[test]
fn the_last_wakes_are_found_and_nothing_else() {
    let (_dir, db) = db();
    let (project, _, one) = with_endpoint(&db, 0);
    let (_, _, gone) = with_endpoint(&db, 1);
    let woke = || Happening::Woke { cause: Cause::Client, phases: Phases::default() };
    db.write_now("", |db| {
        for second in [10, 20, 30, 40] {
            events::insert(db, &one.id, at(second), &woke())?;
            events::insert(db, &gone.id, at(second), &woke())?;
            let thawed = Happening::Thawed { cause: Cause::Client, thaw_us: 1 };
            events::insert(db, &one.id, at(second), &thawed)?;
        }
        endpoints::delete(db, &gone.id)
    })
    .unwrap();
    let found = |since, most| db.read("", |db| events::wakes_since(db, at(since), most)).unwrap();
    let wakes = [20, 30, 40].map(|second| (at(second), one.id.clone(), project.id.clone()));
    assert_eq!(found(20, 10), wakes);
    assert_eq!(found(20, 2), wakes[1..]);
    assert!(found(41, 10).is_empty());
}

#[test]
fn events_are_bounded_and_go_with_their_endpoint() {
    let (_dir, db) = db();
    let (project, _, endpoint) = with_endpoint(&db, 0);
    db.write_now("", |db| {
        for n in 0..600 {
            let stopped = Happening::Stopped { reason: SleepReason::Idle, took_ms: n };
            events::insert(db, &endpoint.id, at(0), &stopped)?;
        }
        events::insert(db, &EndpointId::generate(), at(0), &Happening::Adopted { pid: 1 })?;
        events::trim(db, &endpoint.id)
    })
    .unwrap();
    let all = db.read("", |db| events::newest(db, &endpoint.id, 1000)).unwrap();
    assert_eq!(all.len(), events::KEPT_PER_ENDPOINT);
    assert_eq!(all[0].happening, serde_json::json!({"kind": "stopped", "reason": "idle", "took_ms": 599}));
    db.write_now("", |db| projects::delete(db, &project.id)).unwrap();
    assert!(db.read("", |db| events::newest(db, &endpoint.id, 1000)).unwrap().is_empty());
    assert_eq!(db.read("", |db| endpoints::get(db, &endpoint.id)).unwrap(), None);
}

#[test]
fn settling_never_loses_a_newer_change() {
    let (_dir, db) = db();
    let (_, branch, endpoint) = with_endpoint(&db, 0);
    let role = Role {
        branch_id: branch.id.clone(),
        name: "r".to_owned(),
        verifier: Some("v1".to_owned()),
        sealed_password: None,
        can_login: true,
        valid_until: None,
        protected: false,
        pending: Some(Pending::Create),
        rename_from: None,
        oid: None,
        created_at: at(0),
        updated_at: at(0),
    };
    let newer = Role { verifier: Some("v2".to_owned()), updated_at: at(1), ..role.clone() };
    db.write_now("", |db| roles::put(db, &newer)).unwrap();
    db.write_now("", |db| roles::settle(db, &role)).unwrap();
    assert_eq!(db.read("", endpoints::with_pending).unwrap(), vec![endpoint.id.clone()]);
    db.write_now("", |db| roles::settle(db, &newer)).unwrap();
    assert!(db.read("", endpoints::with_pending).unwrap().is_empty());
    assert_eq!(
        db.read("", |db| roles::get(db, &branch.id, "r")).unwrap().unwrap().verifier.as_deref(),
        Some("v2")
    );
}

#[test]
fn pages_of_projects_meet_without_gap_or_overlap() {
    let (_dir, db) = db();
    for n in 0..7 {
        // Equal times, so that only the ID decides.
        db.write_now("", |db| projects::insert(db, &project(&format!("shop {n}"), 5))).unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = db.read("", |db| projects::list(db, after.as_deref(), Some("SHOP"), 3)).unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id.to_string());
        seen.extend(page.into_iter().map(|p| p.id));
    }
    assert_eq!(seen.len(), 7);
    let mut unique = seen.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), 7);
}

#[test]
fn a_store_of_the_first_schema_is_brought_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let old = Connection::open(&path).unwrap();
    old.execute_batch(schema::FIRST).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    let now = at(0).as_microsecond();
    old.execute_batch(&format!(
        "INSERT INTO projects VALUES ('p-a-b', 'p', 15, '{{}}', 0, {now}, {now});
         INSERT INTO branches VALUES ('br-a-b', 'p-a-b', 'main', 1, 1, 'o', {now}, {now});
         INSERT INTO endpoints (id, project_id, branch_id, slot, suspend_timeout_seconds, min_cu, max_cu,
             pg_settings, created_at, updated_at)
             VALUES ('ep-a-b', 'p-a-b', 'br-a-b', 0, 0, 0.25, 2.0, '{{}}', {now}, {now});"
    ))
    .unwrap();
    drop(old);
    let db = Db::open(dir.path()).unwrap();
    let branch = db.read("", |db| branches::get(db, &"br-a-b".parse().unwrap())).unwrap().unwrap();
    assert_eq!((branch.storage_id.as_str(), branch.parent, branch.protected), ("br-a-b", None, false));
    let endpoint = db.read("", |db| endpoints::of_branch(db, &branch.id)).unwrap().unwrap();
    assert_eq!((endpoint.mode, endpoint.pinned_lsn), (Mode::ReadWrite, None));
}

#[test]
fn a_branch_has_one_writer_and_any_number_of_readers() {
    let (_dir, db) = db();
    let (_, branch, writer) = with_endpoint(&db, 0);
    let reader = |slot| Endpoint {
        mode: Mode::ReadOnly,
        pinned_lsn: Some(dormouse_base::Lsn(0x16_B374)),
        expires_at: Some(at(5)),
        ..endpoint(&branch, slot)
    };
    let first = reader(1);
    db.write_now("", |db| endpoints::insert(db, &first)).unwrap();
    db.write_now("", |db| endpoints::insert(db, &reader(2))).unwrap();
    let second = db.write_now("", |db| endpoints::insert(db, &endpoint(&branch, 3)));
    assert!(second.unwrap_err().conflicts_in("endpoints"));
    assert_eq!(db.read("", |db| endpoints::get(db, &first.id)).unwrap(), Some(first));
    assert_eq!(db.read("", |db| endpoints::of_branch(db, &branch.id)).unwrap().unwrap().id, writer.id);
    let all = db.read("", |db| endpoints::all_of_branch(db, &branch.id)).unwrap();
    assert_eq!((all.len(), &all[0].id), (3, &writer.id));
    assert_eq!(db.read("", |db| endpoints::expired(db, at(5))).unwrap().len(), 2);
    assert_eq!(db.read("", branches::next_expiry).unwrap(), Some(at(5)));
    db.write_now("", |db| endpoints::set_deleting(db, &writer.id, true)).unwrap();
    assert_eq!(db.read("", |db| endpoints::of_branch(db, &branch.id)).unwrap(), None);
}

#[test]
fn the_next_expiry_is_of_something_that_then_expires() {
    let (_dir, db) = db();
    let (project, mut branch, _) = with_endpoint(&db, 0);
    branch.expires_at = Some(at(3));
    let target =
        Target { project_id: project.id.clone(), branch_id: Some(branch.id.clone()), endpoint_id: None };
    let mut making = draft("create_branch", target, serde_json::json!({}));
    let reader = Endpoint { mode: Mode::ReadOnly, expires_at: Some(at(5)), ..endpoint(&branch, 1) };
    db.write_now("", |db| {
        branches::put(db, &branch)?;
        operations::insert(db, &making)
    })
    .unwrap();
    let seen = || {
        db.read("", |db| {
            let (old, passing) = (branches::expired(db, at(9))?, endpoints::expired(db, at(9))?);
            Ok((old.len(), passing.len(), branches::next_expiry(db)?))
        })
        .unwrap()
    };
    assert_eq!(seen(), (0, 0, None), "it is still being made");
    making.phase = Phase::Stuck;
    db.write_now("", |db| operations::update(db, &making)).unwrap();
    assert_eq!(seen(), (1, 0, Some(at(3))), "it will never be ready");
    db.write_now("", |db| branches::mark_ready(db, &branch.id, at(2))).unwrap();
    assert_eq!(seen(), (1, 0, Some(at(3))));
    db.write_now("", |db| endpoints::insert(db, &reader)).unwrap();
    assert_eq!(seen(), (1, 1, Some(at(3))));
    db.write_now("", |db| projects::mark_deleting(db, &project.id, at(2))).unwrap();
    assert_eq!(seen(), (0, 0, None), "it goes with its project");
}

#[test]
fn a_branch_comes_back_with_everything_and_hides_while_it_goes() {
    let (_dir, db) = db();
    let (project, mut branch, _) = with_endpoint(&db, 0);
    branch.storage_id = BranchId::generate();
    branch.parent =
        Some(Origin { storage_id: branch.id.clone(), lsn: dormouse_base::Lsn(7), at: Some(at(1)) });
    (branch.protected, branch.resetting, branch.is_default) = (true, true, false);
    (branch.expires_at, branch.ttl_seconds) = (Some(at(3)), Some(3));
    (branch.restored_from, branch.last_reset_at) = (Some(branch.id.clone()), Some(at(2)));
    branch.ready = true;
    db.write_now("", |db| branches::put(db, &branch)).unwrap();
    let read = db.read("", |db| branches::by_storage(db, &branch.storage_id)).unwrap();
    assert_eq!(read, Some(branch.clone()));
    assert_eq!(db.read("", |db| branches::expired(db, at(3))).unwrap().len(), 1);
    db.write_now("", |db| branches::set_default(db, &project.id, &branch.id, at(4))).unwrap();
    assert_eq!(db.read("", |db| branches::default_of(db, &project.id)).unwrap().unwrap().id, branch.id);
    db.write_now("", |db| branches::mark_deleting(db, &branch.id, at(4))).unwrap();
    assert!(db.read("", |db| branches::get(db, &branch.id)).unwrap().is_some());
    assert!(db.read("", |db| branches::find(db, &project.id, "main")).unwrap().is_none());
    assert!(db.read("", |db| branches::list(db, &project.id, None, None, 9)).unwrap().is_empty());
    assert!(db.read("", |db| branches::expired(db, at(9))).unwrap().is_empty());
    assert!(db.read("", endpoints::all).unwrap().is_empty());
    db.write_now("", |db| {
        metas::put(db, branch.storage_id.as_str(), "h")?;
        metas::put(db, "br-of-nobody", "h")?;
        metas::prune(db)
    })
    .unwrap();
    let hash = |key: &str| db.read("", |db| metas::hash(db, key)).unwrap();
    assert_eq!((hash(branch.storage_id.as_str()).as_deref(), hash("br-of-nobody")), (Some("h"), None));
}
