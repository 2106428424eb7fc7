//! From registers to rows.

use dormouse_base::Epoch;
use dormouse_storage::branch::record::{BranchRecord, ProjectRecord};
use dormouse_storage::object::Expected;

use super::*;
use crate::db::{branches, databases, endpoints, roles};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn project_record(id: &str, meta: serde_json::Value) -> ProjectRecord {
    ProjectRecord { format: 1, project: id.parse().unwrap(), created_at: at(1), pg_version: 17, meta }
}

fn branch_record(project: &str, id: &str, origin: record::Origin, meta: serde_json::Value) -> FoundBranch {
    let record = BranchRecord {
        format: 1,
        project: project.parse().unwrap(),
        branch: id.parse().unwrap(),
        created_at: at(2),
        origin,
        epoch: Epoch(1),
        spans: Vec::new(),
        snapshots: Vec::new(),
        retired: Vec::new(),
        history_start: Lsn(1),
        history_start_at: at(2),
        meta,
    };
    FoundBranch { record, stored: Lsn(0x300) }
}

fn root() -> record::Origin {
    record::Origin::Template { template: "17-1".to_owned() }
}

fn child_of(parent: &str) -> record::Origin {
    record::Origin::Branch { parent: parent.parse().unwrap(), lsn: Lsn(0x200), at: None, writer: None }
}

/// A branch as the mirror would have told it.
fn told(project: &str, id: &str, name: &str, endpoint: &str) -> serde_json::Value {
    let found = branch_record(project, id, root(), serde_json::Value::Null);
    let mut meta = new_branch(&found.record);
    meta.name = name.to_owned();
    meta.endpoints[0].id = endpoint.parse().unwrap();
    serde_json::to_value(meta).unwrap()
}

#[test]
fn what_was_told_comes_back_and_what_was_not_is_sensible() {
    let dir = tempfile::tempdir().unwrap();
    let null = serde_json::Value::Null;
    let mut shop = new_project(&project_record("shop-x", null.clone()));
    (shop.name, shop.default_branch) = ("shop".to_owned(), Some("br-a".parse().unwrap()));
    let inventory = Inventory {
        projects: vec![
            FoundProject {
                record: project_record("shop-x", serde_json::to_value(&shop).unwrap()),
                branches: vec![
                    branch_record("shop-x", "br-a", root(), told("shop-x", "br-a", "trunk", "ep-one")),
                    // Its endpoint is somebody else's.
                    branch_record(
                        "shop-x",
                        "br-b",
                        child_of("br-a"),
                        told("shop-x", "br-b", "dev", "ep-one"),
                    ),
                ],
            },
            FoundProject {
                record: project_record("new-y", null.clone()),
                branches: vec![
                    branch_record("new-y", "br-c", root(), null.clone()),
                    branch_record("new-y", "br-d", child_of("br-c"), serde_json::json!({"strange": 1})),
                ],
            },
        ],
        problems: vec![dormouse_storage::fsck::Finding {
            project: Some("shop-x".parse().unwrap()),
            branch: Some("br-b".parse().unwrap()),
            object: "o".to_owned(),
            problem: "no snapshot".to_owned(),
        }],
    };
    let done = recover(dir.path(), Some("one"), &inventory).unwrap();
    assert!(!dir.path().join(DRAFT).exists());
    let [shop, new] = &done.projects[..] else { panic!("{done:?}") };
    assert_eq!((shop.name.as_str(), shop.branches[0].name.as_str()), ("shop", "trunk"));
    assert_eq!(shop.branches[0].endpoints, ["ep-one".parse().unwrap()]);
    assert!(shop.branches[1].endpoints.is_empty());
    assert_eq!((new.name.as_str(), new.pg_version), ("new-y", 17));
    assert_eq!((new.branches[0].name.as_str(), new.branches[1].name.as_str()), ("main", "br-d"));
    assert_eq!((new.branches[1].restorable, new.branches[1].endpoints.len()), (Lsn(0x300), 1));
    let about: Vec<&str> = done.problems.iter().map(|problem| problem.what.as_str()).collect();
    assert_eq!(about, ["shop-x/br-b", "shop-x/br-b", "new-y/br-c", "new-y/br-d", "new-y"]);

    assert_eq!(db::belongs::expected(dir.path()).unwrap(), Expected::This("one".to_owned()));
    let db = Db::open(dir.path()).unwrap();
    let main: BranchId = "br-c".parse().unwrap();
    db.read("", |db| {
        let row = branches::get(db, &main)?.unwrap();
        assert!(row.is_default && row.ready && row.owner == "app_owner");
        assert!(roles::get(db, &main, "app_owner")?.unwrap().protected);
        assert_eq!(databases::all(db, &main)?[0].name, "app");
        assert!(endpoints::of_branch(db, &main)?.unwrap().roles_stale, "the catalog knows");
        let child = branches::get(db, &"br-d".parse().unwrap())?.unwrap();
        assert_eq!(child.parent.unwrap().storage_id, main);
        // Nobody was the default, so the first is.
        assert_eq!(settings::get(db, settings::DEFAULT_PROJECT)?.as_deref(), Some("new-y"));
        Ok(())
    })
    .unwrap();
    drop(db);
    assert!(
        matches!(recover(dir.path(), Some("one"), &inventory), Err(RecoverError::NotEmpty(_))),
        "not over what is there"
    );
}

#[test]
fn points_that_were_not_stored_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let told = told("shop-x", "br-a", "trunk", "ep-one");
    let mut meta: BranchMeta = serde_json::from_value(told).unwrap();
    let pinned = |id: &str, at| EndpointMeta {
        id: id.parse().unwrap(),
        read_only: true,
        pinned_lsn: Some(Lsn(at)),
        ..meta.endpoints[0].clone()
    };
    let more = [pinned("ep-two", 0x300), pinned("ep-three", 0x301)];
    meta.endpoints.extend(more);
    let main = branch_record("shop-x", "br-a", root(), serde_json::to_value(meta).unwrap());
    let child = |id, at| {
        let origin =
            record::Origin::Branch { parent: "br-a".parse().unwrap(), lsn: Lsn(at), at: None, writer: None };
        let meta = self::told("shop-x", id, id, &format!("ep-{id}"));
        branch_record("shop-x", id, origin, meta)
    };
    let project = new_project(&project_record("shop-x", serde_json::Value::Null));
    let record = project_record("shop-x", serde_json::to_value(project).unwrap());
    let branches = vec![main, child("br-b", 0x300), child("br-c", 0x301)];
    let projects = vec![FoundProject { record, branches }];
    let done = recover(dir.path(), Some("one"), &Inventory { projects, problems: Vec::new() }).unwrap();
    let [endpoint, branch] = &done.problems[..] else { panic!("{:?}", done.problems) };
    assert!(endpoint.what == "shop-x/br-a" && endpoint.why.contains("ep-three"), "{endpoint:?}");
    assert!(branch.what == "shop-x/br-c" && branch.why.contains("reset it"), "{branch:?}");
    let db = Db::open(dir.path()).unwrap();
    let rows = db.read("", |db| endpoints::all_of_branch(db, &"br-a".parse().unwrap())).unwrap();
    let pins: BTreeSet<Option<Lsn>> = rows.into_iter().map(|row| row.pinned_lsn).collect();
    assert_eq!(pins, BTreeSet::from([None, Some(Lsn(0x300))]));
}

#[test]
fn a_project_of_the_future_does_not_keep_the_others_from_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join(DRAFT)).unwrap();
    let mut newer = new_project(&project_record("newer-x", serde_json::Value::Null));
    newer.version = VERSION + 1;
    let project = |record| FoundProject { record, branches: Vec::new() };
    let projects = vec![
        project(project_record("newer-x", serde_json::to_value(newer).unwrap())),
        project(project_record("old-y", serde_json::Value::Null)),
    ];
    let done = recover(dir.path(), Some("one"), &Inventory { projects, problems: Vec::new() }).unwrap();
    assert_eq!(done.projects.iter().map(|project| project.id.as_str()).collect::<Vec<_>>(), ["old-y"]);
    assert!(
        done.problems.iter().any(|p| p.what == "newer-x" && p.why.contains("newer Dormouse")),
        "{done:?}"
    );
}

/// A store that has `dev` (with the endpoint `ep-dev`) on the line `br-dev`, and a line that a restore made of it.
fn around_a_restore(change: impl Fn(&mut BranchMeta, &mut record::BranchRecord)) -> Inventory {
    let project = new_project(&project_record("shop-x", serde_json::Value::Null));
    let old = branch_record("shop-x", "br-dev", root(), told("shop-x", "br-dev", "dev", "ep-dev"));
    let mut meta: BranchMeta = serde_json::from_value(old.record.meta.clone()).unwrap();
    meta.last_reset_at = Some(at(9));
    let mut new = branch_record("shop-x", "br-line", child_of("br-dev"), serde_json::Value::Null);
    change(&mut meta, &mut new.record);
    new.record.meta = serde_json::to_value(meta).unwrap();
    let record = project_record("shop-x", serde_json::to_value(&project).unwrap());
    // Parents come before children.
    let projects = vec![FoundProject { record, branches: vec![old, new] }];
    Inventory { projects, problems: Vec::new() }
}

/// Which line `dev` is on after a recovery, after it was seen that nothing else of it changed.
fn dev_after(inventory: &Inventory) -> String {
    let dir = tempfile::tempdir().unwrap();
    let done = recover(dir.path(), Some("one"), inventory).unwrap();
    assert_eq!(done.problems, [], "nothing is missing");
    let db = Db::open(dir.path()).unwrap();
    let all = db.read("", |db| branches::of_project(db, &"shop-x".parse().unwrap())).unwrap();
    assert_eq!(all.len(), 2, "no line is lost");
    for branch in &all {
        let endpoints = db.read("", |db| endpoints::all_of_branch(db, &branch.id)).unwrap();
        let endpoints: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.id.as_str()).collect();
        if branch.id.as_str() == "br-dev" {
            assert_eq!((branch.name.as_str(), &endpoints[..]), ("dev", &["ep-dev"][..]));
        } else {
            assert!(branch.name.starts_with("dev_old_") && endpoints.is_empty(), "{branch:?} {endpoints:?}");
        }
    }
    all.into_iter().find(|branch| branch.id.as_str() == "br-dev").unwrap().storage_id.to_string()
}

#[test]
fn the_line_that_keeps_the_branch_keeps_its_endpoints() {
    assert_eq!(dev_after(&around_a_restore(|_, _| ())), "br-line");
}

#[test]
fn a_restore_that_was_not_over_does_not_take_the_branch() {
    // It failed, or the machine was lost in it: its user goes on with the line that was there before.
    assert_eq!(dev_after(&around_a_restore(|meta, _| meta.restoring = true)), "br-dev");
    // It was over, and the store was not told any more; but there is what the branch wrote since.
    let written = |meta: &mut BranchMeta, record: &mut record::BranchRecord| {
        meta.restoring = true;
        let (epoch, timeline, from) = (Epoch(1), dormouse_base::Timeline(2), Lsn(0x200));
        record.spans.push(record::Span { epoch, timeline, from, to: None, mark: None });
    };
    assert_eq!(dev_after(&around_a_restore(written)), "br-line");
}

#[test]
fn a_restore_that_was_not_over_is_better_than_nothing() {
    let mut inventory = around_a_restore(|meta, _| meta.restoring = true);
    inventory.projects[0].branches.remove(0);
    let dir = tempfile::tempdir().unwrap();
    let done = recover(dir.path(), Some("one"), &inventory).unwrap();
    let [dev] = &done.projects[0].branches[..] else { panic!("{done:?}") };
    assert_eq!((dev.name.as_str(), dev.endpoints.len()), ("dev", 1));
}
