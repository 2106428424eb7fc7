//! The metadata on temporary files.

use dormouse_base::{BranchId, EndpointId, ProjectId, Timestamp};
use dormouse_compute::event::{Happening, SleepReason};

use super::*;
use crate::model::record::{Branch, Endpoint, Pending, Project, ProjectSettings, Role, Target};
use crate::operation::draft;

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
    Branch {
        id: BranchId::generate(),
        project_id: project.id.clone(),
        name: "main".to_owned(),
        is_default: true,
        ready: false,
        owner: "app_owner".to_owned(),
        created_at: at(0),
        updated_at: at(0),
    }
}

fn endpoint(branch: &Branch, slot: u32) -> Endpoint {
    Endpoint {
        id: EndpointId::generate(),
        project_id: branch.project_id.clone(),
        branch_id: branch.id.clone(),
        slot,
        suspend_timeout_seconds: 0,
        pause_timeout_seconds: None,
        autoscaling_limit_min_cu: 0.25,
        autoscaling_limit_max_cu: 2.0,
        pg_settings: [("work_mem".to_owned(), "8MB".to_owned())].into(),
        roles_stale: false,
        next_wake: None,
        started_at: None,
        suspended_at: None,
        last_active: None,
        created_at: at(0),
        updated_at: at(0),
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
    first.phase = crate::operation::phase::Phase::Done;
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
