//! Roles and databases across a fork.

use dormouse_base::clock;
use dormouse_compute::postgres::discover::Installations;

use super::*;
use crate::db::{Db, branches};
use crate::model::record::Branch;
use crate::plan::{Plan, Wish};

struct Scene {
    _dir: tempfile::TempDir,
    db: Db,
    secrets: Secrets,
    plan: Plan,
    child: BranchId,
}

fn scene(owner: &str) -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path()).unwrap();
    let secrets = Secrets::open(dir.path()).unwrap();
    let wish = Wish { role: Some(owner.to_owned()), ..Wish::default() };
    let mut plan = wish.plan(&Installations::discover(&[]), &secrets, clock::now()).unwrap();
    let child = BranchId::generate();
    let row = Branch::new(child.clone(), &plan.project.id, "dev".into(), owner.into(), clock::now());
    db.write_now("", |db| {
        plan.store(db)?;
        branches::insert(db, &row)
    })
    .unwrap();
    Scene { _dir: dir, db, secrets, plan, child }
}

impl Scene {
    fn inherit(&self, trust: Trust) {
        let pair = (&self.plan.branch.id, &self.child);
        self.db.write_now("", |db| inherit(db, &self.secrets, pair, trust, clock::now())).unwrap();
    }

    fn role(&self) -> Role {
        self.db.read("", |db| roles::get(db, &self.child, &self.plan.role.name)).unwrap().unwrap()
    }
}

#[test]
fn a_fork_of_now_is_what_the_parent_is() {
    let scene = scene("app_owner");
    scene.db.write_now("", |db| roles::settle(db, &scene.plan.role)).unwrap();
    scene.inherit(Trust::Exact);
    let role = scene.role();
    assert_eq!((role.verifier.as_ref(), role.pending), (scene.plan.role.verifier.as_ref(), None));
    let sealed = role.sealed_password.unwrap();
    let password = scene.secrets.unseal(&scene.child, &role.name, &sealed).unwrap();
    assert_eq!(password.expose(), scene.plan.password.expose(), "sealed anew, the same inside");
    assert!(scene.secrets.unseal(&scene.plan.branch.id, &role.name, &sealed).is_err());
    let all = scene.db.read("", |db| databases::all(db, &scene.child)).unwrap();
    assert_eq!((all.len(), all[0].name.as_str()), (1, "app"));
}

#[test]
fn a_fork_of_the_past_has_its_roles_written_again() {
    let scene = scene("boss");
    scene.db.write_now("", |db| roles::settle(db, &scene.plan.role)).unwrap();
    scene.inherit(Trust::Wish);
    let role = scene.role();
    assert_eq!((role.pending, role.rename_from.as_deref()), (Some(Pending::Alter), Some("app_owner")));
    // A drop that is pending stays a drop.
    let dropped = Role { pending: Some(Pending::Drop), protected: false, ..role };
    scene.db.write_now("", |db| roles::put(db, &dropped)).unwrap();
    scene.db.write_now("", |db| insist(db, &scene.child, clock::now())).unwrap();
    assert_eq!(scene.role().pending, Some(Pending::Drop));
}

#[test]
fn what_a_branch_has_of_its_own_stays() {
    let scene = scene("app_owner");
    let own = Role {
        branch_id: scene.child.clone(),
        verifier: Some("own".to_owned()),
        pending: None,
        ..scene.plan.role.clone()
    };
    scene.db.write_now("", |db| roles::put(db, &own)).unwrap();
    scene.inherit(Trust::Wish);
    let verifier = scene.role().verifier;
    assert_eq!((verifier.as_deref(), scene.role().pending), (Some("own"), None));
    scene.inherit(Trust::Exact);
    assert_eq!(scene.db.read("", |db| databases::all(db, &scene.child)).unwrap().len(), 1, "twice is once");
}
