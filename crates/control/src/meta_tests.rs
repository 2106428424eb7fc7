//! From rows to meta and back.

use dormouse_base::{BranchId, EndpointId, Lsn, clock};
use dormouse_compute::postgres::discover::Installations;

use super::*;
use crate::db::operations;
use crate::descent::{self, Trust};
use crate::model::record::Origin;
use crate::plan::Wish;
use crate::secrets::Secrets;

#[test]
fn everything_but_what_is_secret_or_local_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path()).unwrap();
    let secrets = Secrets::open(dir.path()).unwrap();
    // As precise as the metadata.
    let now = Timestamp::from_microsecond(clock::now().as_microsecond()).unwrap();
    let wish = Wish { role: Some("boss".into()), ..Wish::default() };
    let mut plan = wish.plan(&Installations::discover(&[]), &secrets, now).unwrap();
    plan.database.locale = Some(serde_json::from_str(r#"{"provider": "icu", "name": "de"}"#).unwrap());
    let root = plan.branch.clone();
    let parent = Some(Origin { storage_id: root.id.clone(), lsn: Lsn(77), at: Some(now) });
    let child = Branch {
        storage_id: BranchId::generate(),
        parent,
        ready: true,
        expires_at: Some(now),
        ttl_seconds: Some(5),
        restored_from: Some(root.id.clone()),
        last_reset_at: Some(now),
        ..Branch::new(BranchId::generate(), &plan.project.id, "dev".into(), "boss".into(), now)
    };
    let settings = ProjectSettings::default();
    let endpoint = |slot, expires_at| Endpoint {
        mode: Mode::ReadOnly,
        pinned_lsn: Some(Lsn(9)),
        slot,
        expires_at,
        pg_settings: [("work_mem".to_owned(), "8MB".to_owned())].into(),
        allowed_ips: vec!["192.0.2.0/24".to_owned()],
        warm: crate::model::record::Warm {
            keep: vec![dormouse_api::endpoint::KeepWarm { schedule: "0 8 * * *".to_owned(), minutes: 9 }],
            prewarm: true,
        },
        ..Endpoint::new(EndpointId::generate(), &plan.project.id, &child.id, &settings, now)
    };
    let (reader, passing) = (endpoint(5, None), endpoint(6, Some(now)));
    db.write_now("", |db| {
        plan.store(db)?;
        operations::remove(db, &plan.operation.id)?;
        branches::mark_ready(db, &root.id, now)?;
        branches::insert(db, &child)?;
        endpoints::insert(db, &reader)?;
        endpoints::insert(db, &passing)?;
        settings::put(db, settings::DEFAULT_PROJECT, plan.project.id.as_str())?;
        descent::inherit(db, &secrets, (&root.id, &child.id), Trust::Exact, now)
    })
    .unwrap();
    let metas = |db: &Db| {
        db.read("", |db| {
            let row = projects::get(db, &plan.project.id)?.unwrap();
            let all = branches::of_project(db, &row.id)?;
            let metas = all.iter().map(|b| branch(db, b)).collect::<rusqlite::Result<Vec<_>>>()?;
            Ok((project(db, &row)?, metas))
        })
        .unwrap()
    };
    let (of_project, of_branches) = metas(&db);
    let text = serde_json::to_string(&of_branches).unwrap();
    assert!(!text.contains("sealed") && !text.contains("slot") && !text.contains(passing.id.as_str()));
    let of_branches: Vec<BranchMeta> = serde_json::from_str(&text).unwrap();

    let lost = tempfile::tempdir().unwrap();
    let again = Db::open(lost.path()).unwrap();
    restore(&again, &of_project, &of_branches, now).unwrap();
    assert_eq!(metas(&again), (of_project.clone(), of_branches.clone()), "there and back is the same");
    let writer = again.read("", |db| endpoints::of_branch(db, &root.id)).unwrap().unwrap();
    assert!(writer.roles_stale, "learned before anybody logs in");
    let row = again.read("", |db| branches::get(db, &child.id)).unwrap().unwrap();
    assert_eq!(row, child);
    let owner = again.read("", |db| roles::get(db, &root.id, "boss")).unwrap().unwrap();
    assert_eq!((owner.verifier, owner.sealed_password), (plan.role.verifier.clone(), None));
    assert!(owner.protected && owner.rename_from.is_some(), "what was pending is pending");
    let default = again.read("", |db| settings::get(db, settings::DEFAULT_PROJECT)).unwrap();
    assert_eq!(default.as_deref(), Some(plan.project.id.as_str()));

    assert!(matches!(restore(&again, &of_project, &of_branches, now), Err(RestoreError::Twice(_))));
    let newer = ProjectMeta { version: VERSION + 1, ..of_project };
    assert!(matches!(restore(&again, &newer, &[], now), Err(RestoreError::Newer { .. })));
}

#[test]
fn a_changed_meta_has_another_hash() {
    let one = serde_json::json!({"a": 1});
    assert_eq!(hash(&one), hash(&serde_json::json!({"a": 1})));
    assert_ne!(hash(&one), hash(&serde_json::json!({"a": 2})));
}

#[test]
fn a_disaster_in_the_middle_of_a_restore_loses_neither_line() {
    let now = clock::now();
    let id = BranchId::generate();
    let line = |storage_id: &BranchId, last_reset_at| {
        let new = Branch::new(id.clone(), &"p-a-b".parse().unwrap(), "dev".into(), "o".into(), now);
        let row = Branch { storage_id: storage_id.clone(), last_reset_at, ready: true, ..new };
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(dir.path()).unwrap();
        db.read("", |db| branch(db, &row)).unwrap()
    };
    let (old, new) = (line(&id, None), line(&"br-new-line".parse().unwrap(), Some(now)));
    for metas in [[old.clone(), new.clone()], [new, old]] {
        let settled = settled(&metas, now);
        assert_eq!((&settled[0].id, settled[0].storage_id.as_str()), (&id, "br-new-line"));
        assert_eq!(settled[1].storage_id, id);
        assert!(settled[1].id != id && settled[1].name.starts_with("dev_old_"));
    }
}
