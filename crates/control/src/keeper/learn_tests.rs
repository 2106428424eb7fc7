//! What is learned from PostgreSQL meets what the metadata says.

use dormouse_compute::postgres::discover::Installations;

use super::*;
use crate::db::Db;
use crate::plan::{Plan, Wish};
use crate::secrets::Secrets;

struct Scene {
    _dir: tempfile::TempDir,
    db: Db,
    plan: Plan,
}

fn role(name: &str, verifier: Option<&str>) -> LearnedRole {
    let verifier = verifier.map(str::to_owned);
    LearnedRole { name: name.to_owned(), verifier, can_login: true, valid_until: None, oid: 16_400 }
}

fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path()).unwrap();
    let secrets = Secrets::open(dir.path()).unwrap();
    let installed = Installations::discover(&[]);
    let mut plan = Wish::default().plan(&installed, &secrets, clock::now()).unwrap();
    db.write_now("", |db| plan.store(db)).unwrap();
    Scene { _dir: dir, db, plan }
}

impl Scene {
    fn learn(&self, roles: Vec<LearnedRole>, databases: &[(&str, &str)]) {
        let databases = databases.iter().map(|(n, o)| ((*n).to_owned(), (*o).to_owned())).collect();
        let learned = Learned { roles, databases };
        self.db.write_now("", |db| store(db, &self.plan.endpoint.id, &learned, clock::now())).unwrap();
    }

    fn role(&self, name: &str) -> Option<Role> {
        self.db.read("", |db| roles::get(db, &self.plan.branch.id, name)).unwrap()
    }

    fn settle_owner(&self) {
        self.db.write_now("", |db| roles::settle(db, &self.plan.role)).unwrap();
    }
}

#[test]
fn a_pending_change_is_not_overwritten_by_what_was() {
    let scene = scene();
    scene.learn(vec![role("app_owner", None)], &[("app", "app_owner")]);
    let owner = scene.role("app_owner").unwrap();
    assert_eq!(owner.verifier, scene.plan.role.verifier);
    assert!(owner.pending.is_some());
}

#[test]
fn a_password_set_in_sql_is_one_that_we_do_not_know() {
    let scene = scene();
    scene.settle_owner();
    let ours = scene.plan.role.verifier.clone().unwrap();
    scene.learn(vec![role("app_owner", Some(&ours))], &[("app", "app_owner")]);
    assert!(scene.role("app_owner").unwrap().sealed_password.is_some());
    scene.learn(vec![role("app_owner", Some("SCRAM-SHA-256$other"))], &[("app", "app_owner")]);
    let owner = scene.role("app_owner").unwrap();
    assert_eq!(owner.sealed_password, None);
    assert!(owner.protected);
}

#[test]
fn roles_and_databases_come_and_go_with_postgresql() {
    let scene = scene();
    scene.settle_owner();
    let ours = scene.plan.role.verifier.clone();
    let owner = || role("app_owner", ours.as_deref());
    scene.learn(vec![owner(), role("made_in_sql", None)], &[("app", "made_in_sql"), ("two", "app_owner")]);
    assert!(scene.role("made_in_sql").is_some());
    let all = scene.db.read("", |db| databases::all(db, &scene.plan.branch.id)).unwrap();
    assert_eq!(
        all.iter().map(|d| (d.name.as_str(), d.owner.as_str())).collect::<Vec<_>>(),
        [("app", "made_in_sql"), ("two", "app_owner")]
    );
    assert_eq!(all[0].id, scene.plan.database.id, "a database keeps its number");
    scene.learn(vec![owner()], &[("app", "app_owner")]);
    assert!(scene.role("made_in_sql").is_none());
    assert_eq!(scene.db.read("", |db| databases::all(db, &scene.plan.branch.id)).unwrap().len(), 1);
}
