//! Operations on branches and endpoints, interrupted at every step. Storage and computes are recorders.

use std::sync::Arc;
use std::time::Duration;

use dormouse_base::{BranchId, EndpointId, clock};
use dormouse_compute::State;
use dormouse_compute::event::Cause;
use dormouse_compute::host::Host;
use dormouse_compute::postgres::discover::Installations;
use dormouse_compute::sandbox::identity::{Identities, Identity};
use dormouse_compute::spec::Mode;
use dormouse_runtime::task::Scope;

use super::*;
use crate::computes::Computes;
use crate::db::{Db, branches, databases, endpoints, operations, roles};
use crate::descent::{self, Trust};
use crate::directory::Directories;
use crate::keeper::Keeper;
use crate::model::record::{Branch, Database, Endpoint, Origin, Pending, ProjectSettings, Role};
use crate::operation::phase::Phase;
use crate::plan::{Plan, Wish};
use crate::reconcile::{Reconciler, mirror::Mirror};
use crate::secrets::Secrets;
use crate::vault::recorder::{HEAD, Recorder, THEN};
use crate::vault::{Fork, Vault};

const PATIENCE: Duration = Duration::from_secs(20);

/// A project `main` with a child `dev` (an endpoint each), everything ready.
struct Scene {
    _dir: tempfile::TempDir,
    db: Db,
    secrets: Arc<Secrets>,
    directories: Directories,
    keeper: Keeper,
    computes: Arc<crate::computes::recorder::Recorder>,
    vault: Arc<Recorder>,
    plan: Plan,
    dev: BranchId,
    dev_endpoint: EndpointId,
}

fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path()).unwrap();
    let secrets = Arc::new(Secrets::open(dir.path()).unwrap());
    let identity = Identities::Own(Identity { uid: 1, gid: 1 });
    let directories = Directories::open(dir.path(), Installations::default(), identity).unwrap();
    let node = crate::node::Node::in_memory(dir.path(), directories.clone());
    let keeper =
        Keeper::new(db.clone(), node, crate::Timeouts::default(), Arc::default(), Arc::default()).unwrap();
    let now = clock::now();
    let mut plan = Wish::default().plan(&Installations::discover(&[]), &secrets, now).unwrap();
    let (project, root) = (plan.project.id.clone(), plan.branch.id.clone());
    let parent = Some(Origin { storage_id: root.clone(), lsn: HEAD, at: None });
    let new = Branch::new(BranchId::generate(), &project, "dev".into(), plan.branch.owner.clone(), now);
    let dev = Branch { parent, ready: true, ttl_seconds: Some(60), expires_at: Some(now), ..new };
    let settings = ProjectSettings::default();
    let endpoint = Endpoint::new(EndpointId::generate(), &project, &dev.id, &settings, now);
    let endpoint = Endpoint { slot: 1, roles_stale: false, ..endpoint };
    db.write_now("", |db| {
        plan.store(db)?;
        operations::remove(db, &plan.operation.id)?;
        branches::mark_ready(db, &root, now)?;
        roles::settle(db, &plan.role)?;
        branches::insert(db, &dev)?;
        endpoints::insert(db, &endpoint)?;
        descent::inherit(db, &secrets, (&root, &dev.id), Trust::Exact, now)
    })
    .unwrap();
    let vault = Arc::new(Recorder::default());
    vault.branches.lock().insert(root.clone(), None);
    vault.branches.lock().insert(dev.id.clone(), Some(root));
    Scene {
        _dir: dir,
        db,
        secrets,
        directories,
        keeper,
        computes: Arc::default(),
        vault,
        plan,
        dev: dev.id,
        dev_endpoint: endpoint.id,
    }
}

impl Scene {
    fn computes(&self) -> Arc<dyn Computes> {
        Arc::clone(&self.computes) as Arc<dyn Computes>
    }

    fn vault(&self) -> Arc<dyn Vault> {
        Arc::clone(&self.vault) as Arc<dyn Vault>
    }

    fn create(&self) -> create_branch::CreateBranch {
        create_branch::CreateBranch { db: self.db.clone(), vault: self.vault(), keeper: self.keeper.clone() }
    }

    fn delete(&self) -> delete_branch::DeleteBranch {
        delete_branch::DeleteBranch {
            db: self.db.clone(),
            directories: self.directories.clone(),
            computes: self.computes(),
            vault: self.vault(),
            keeper: self.keeper.clone(),
        }
    }

    fn restore(&self) -> restore_branch::RestoreBranch {
        restore_branch::RestoreBranch {
            db: self.db.clone(),
            secrets: Arc::clone(&self.secrets),
            directories: self.directories.clone(),
            computes: self.computes(),
            vault: self.vault(),
            keeper: self.keeper.clone(),
        }
    }

    fn remove(&self) -> delete_endpoint::DeleteEndpoint {
        delete_endpoint::DeleteEndpoint {
            db: self.db.clone(),
            directories: self.directories.clone(),
            computes: self.computes(),
            vault: self.vault(),
            keeper: self.keeper.clone(),
        }
    }

    fn branch(&self, id: &BranchId) -> Option<Branch> {
        self.db.read("", |db| branches::get(db, id)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let all = self.db.read("", |db| branches::of_project(db, &self.plan.project.id)).unwrap();
        let mut names: Vec<String> = all.into_iter().map(|b| b.name).collect();
        names.sort();
        names
    }

    fn files(&self) -> std::path::PathBuf {
        self.directories.data_of(&self.dev_endpoint)
    }

    fn operation(&self, kind: &str, args: serde_json::Value) -> Operation {
        let target = Target {
            project_id: self.plan.project.id.clone(),
            branch_id: Some(self.dev.clone()),
            endpoint_id: Some(self.dev_endpoint.clone()),
        };
        let operation = draft(kind, target, args);
        self.db.write_now("", |db| operations::insert(db, &operation)).unwrap();
        operation
    }

    /// `dev` goes back to what it was then.
    fn to_restore(&self, source: &BranchId) -> (Operation, restore_branch::Args) {
        let args = restore_branch::Args {
            source: source.clone(),
            from: source.clone(),
            fork: Fork { lsn: THEN, at: None },
            line: BranchId::generate(),
            old: BranchId::generate(),
            old_name: "dev_old".to_owned(),
            exact: true,
        };
        (self.operation(restore_branch::KIND, as_json(&args)), args)
    }

    /// Awake, with files on this machine.
    async fn in_use(&self) {
        self.computes.wake(&self.dev_endpoint, Cause::Client).await.unwrap();
        std::fs::create_dir_all(self.files()).unwrap();
    }
}

/// Kills the server inside the call `at`, and has the next one go on.
async fn killed_at<W: Work>(scene: &Scene, at: &'static str, operation: &Operation, work: impl Fn() -> W) {
    *scene.vault.hangs.lock() = Some(at);
    let scope = Scope::new();
    let executor = |scope: &Scope| {
        Executor::new(scene.db.clone(), scope.clone(), vec![Arc::new(work())], Arc::default())
    };
    let before = executor(&scope);
    before.start(operation.id.clone());
    tokio::time::timeout(PATIENCE, scene.vault.reached.notified()).await.expect("it hangs there");
    assert!(scope.close(PATIENCE).await);
    *scene.vault.hangs.lock() = None;
    let after = executor(&Scope::new());
    assert_eq!(after.resume().unwrap(), 1);
    let ended = after.finish(&operation.id, PATIENCE).await.unwrap().unwrap();
    assert_eq!((ended.phase, ended.error), (Phase::Done, None));
}

/// A new branch as its request stores it.
fn new_branch(scene: &Scene, from_the_past: bool) -> Operation {
    let now = clock::now();
    let (project, parent) = (scene.plan.project.id.clone(), &scene.plan.branch);
    let new = Branch::new(BranchId::generate(), &project, "new".into(), parent.owner.clone(), now);
    let fork = if from_the_past { THEN } else { HEAD };
    let origin = Some(Origin { storage_id: parent.storage_id.clone(), lsn: fork, at: None });
    let new = Branch { parent: origin, ..new };
    let settings = ProjectSettings::default();
    let endpoint = Endpoint::new(EndpointId::generate(), &project, &new.id, &settings, now);
    let trust = if from_the_past { Trust::Wish } else { Trust::Exact };
    scene
        .db
        .write_now("", |db| {
            branches::insert(db, &new)?;
            endpoints::insert(db, &Endpoint { slot: 9, ..endpoint.clone() })?;
            descent::inherit(db, &scene.secrets, (&parent.id, &new.id), trust, now)
        })
        .unwrap();
    let target = Target { project_id: project, branch_id: Some(new.id), endpoint_id: Some(endpoint.id) };
    let operation = draft(create_branch::KIND, target, serde_json::json!({}));
    scene.db.write_now("", |db| operations::insert(db, &operation)).unwrap();
    operation
}

#[tokio::test]
async fn a_branch_is_made_once_whatever_happens() {
    for from_the_past in [false, true] {
        let scene = scene();
        let operation = new_branch(&scene, from_the_past);
        let (id, endpoint) =
            (operation.target.branch_id.clone().unwrap(), operation.target.endpoint_id.clone().unwrap());
        assert!(scene.keeper.spec(&endpoint).await.is_err(), "nothing starts before its data exists");
        killed_at(&scene, "create_branch", &operation, || scene.create()).await;
        assert_eq!(scene.vault.calls_of("create_branch").len(), 2, "asked again, made once");
        assert!(scene.branch(&id).unwrap().ready);
        assert_eq!(scene.keeper.has_pending(&endpoint), from_the_past, "old passwords are written over");
        assert!(scene.keeper.spec(&endpoint).await.is_ok());
        let meta = scene.vault.metas.lock()[id.as_str()].clone();
        assert_eq!(
            (meta["name"].as_str(), meta["endpoints"][0]["id"].as_str()),
            (Some("new"), Some(endpoint.as_str()))
        );
        assert!(!meta.to_string().contains("sealed"));
    }
}

#[tokio::test]
async fn a_branch_that_the_store_refuses_leaves_nothing() {
    let scene = scene();
    let operation = new_branch(&scene, false);
    *scene.vault.fails.lock() = Some("create_branch");
    let executor =
        Executor::new(scene.db.clone(), Scope::new(), vec![Arc::new(scene.create())], Arc::default());
    let ended = executor.finish(&operation.id, PATIENCE).await.unwrap().unwrap();
    assert_eq!((ended.phase, ended.error.unwrap().code.as_str()), (Phase::Undone, "store-refuses"));
    assert_eq!(scene.names(), ["dev", "main"]);
    assert_eq!(scene.vault.calls_of("delete_branch").len(), 1, "it may have been made half");
}

#[tokio::test]
async fn a_deletion_goes_on_after_a_crash_until_all_is_gone() {
    let scene = scene();
    scene.in_use().await;
    let args = delete_branch::Args { branches: vec![scene.dev.clone()] };
    let operation = scene.operation(delete_branch::KIND, as_json(&args));
    scene.db.write_now("", |db| branches::mark_deleting(db, &scene.dev, clock::now())).unwrap();
    assert!(scene.keeper.spec(&scene.dev_endpoint).await.is_err());
    killed_at(&scene, "delete_branch", &operation, || scene.delete()).await;
    assert_eq!(scene.names(), ["main"]);
    assert!(!scene.files().exists() && !scene.vault.branches.lock().contains_key(&scene.dev));
    assert_eq!(scene.computes.state(&scene.dev_endpoint), State::Stopped);
    assert!(scene.db.read("", |db| endpoints::get(db, &scene.dev_endpoint)).unwrap().is_none());
}

#[tokio::test]
async fn every_step_of_a_deletion_may_happen_twice() {
    for twice in 0..4 {
        let scene = scene();
        scene.in_use().await;
        let args = delete_branch::Args { branches: vec![scene.dev.clone()] };
        let operation = scene.operation(delete_branch::KIND, as_json(&args));
        for step in 0..4 {
            for _ in 0..=u32::from(step == twice) {
                scene.delete().perform(&operation, step).await.unwrap();
            }
        }
        assert_eq!(scene.names(), ["main"]);
    }
}

/// What must hold after a restore of `dev` to its own past.
fn assert_restored(scene: &Scene, args: &restore_branch::Args) {
    let branch = scene.branch(&scene.dev).unwrap();
    assert_eq!((branch.storage_id.clone(), branch.name.as_str()), (args.line.clone(), "dev"));
    assert_eq!(branch.parent.as_ref().unwrap().storage_id, args.from);
    assert!(!branch.resetting && branch.last_reset_at.is_some());
    assert!(branch.expires_at.unwrap() > clock::now(), "its time to live starts again");
    let old = scene.branch(&args.old).unwrap();
    assert_eq!((old.storage_id, old.name.as_str()), (scene.dev.clone(), "dev_old"));
    assert_eq!(old.expires_at, None, "the new line hangs on it");
    assert_eq!(scene.names(), ["dev", "dev_old", "main"], "once");
    assert!(!scene.files().exists(), "files of the old line are gone");
    let endpoint = scene.db.read("", |db| endpoints::of_branch(db, &scene.dev)).unwrap().unwrap();
    assert_eq!((endpoint.id.clone(), endpoint.roles_stale), (scene.dev_endpoint.clone(), false));
    assert!(scene.keeper.has_pending(&endpoint.id), "roles are written before a client gets in");
    assert!(scene.computes.renewed.lock().contains(&endpoint.id), "its next start waits for nothing");
    let owner = &scene.plan.role.name;
    let role = scene.db.read("", |db| roles::get(db, &scene.dev, owner)).unwrap().unwrap();
    assert_eq!((role.pending, &role.verifier), (Some(Pending::Alter), &scene.plan.role.verifier));
    let password = |branch: &BranchId| {
        let row = scene.db.read("", |db| roles::get(db, branch, owner)).unwrap().unwrap();
        scene.secrets.unseal(branch, owner, &row.sealed_password.unwrap()).unwrap()
    };
    assert_eq!(password(&scene.dev), scene.plan.password);
    assert_eq!(password(&args.old), scene.plan.password);
}

#[tokio::test]
async fn a_restore_goes_on_after_a_crash_in_the_store() {
    for at in ["create_branch", "evict"] {
        let scene = scene();
        scene.in_use().await;
        let (operation, args) = scene.to_restore(&scene.dev);
        killed_at(&scene, at, &operation, || scene.restore()).await;
        assert_restored(&scene, &args);
    }
}

#[tokio::test]
async fn every_step_of_a_restore_may_happen_twice() {
    for twice in 0..4 {
        let scene = scene();
        scene.in_use().await;
        let (operation, args) = scene.to_restore(&scene.dev);
        for step in 0..4 {
            for _ in 0..=u32::from(step == twice) {
                scene.restore().perform(&operation, step).await.unwrap();
            }
            if (1..3).contains(&step) {
                let refused = scene.keeper.spec(&scene.dev_endpoint).await.unwrap_err();
                assert!(refused.what.contains("being restored"), "nobody gets onto the old line any more");
            }
        }
        assert_restored(&scene, &args);
        assert!(scene.keeper.spec(&scene.dev_endpoint).await.unwrap().branch == args.line);
    }
}

#[tokio::test]
async fn a_restore_that_fails_leaves_the_branch_as_it_was() {
    for (fails_at, steps) in [("create_branch", 0), ("evict", 2)] {
        let scene = scene();
        scene.in_use().await;
        let before = scene.branch(&scene.dev).unwrap();
        let (operation, args) = scene.to_restore(&scene.dev);
        *scene.vault.fails.lock() = Some(fails_at);
        let executor =
            Executor::new(scene.db.clone(), Scope::new(), vec![Arc::new(scene.restore())], Arc::default());
        let ended = executor.finish(&operation.id, PATIENCE).await.unwrap().unwrap();
        assert_eq!(ended.phase, Phase::Undone, "failed in step {steps}");
        assert_eq!(scene.branch(&scene.dev).unwrap(), before);
        assert_eq!(scene.names(), ["dev", "main"]);
        assert!(scene.files().exists(), "its files stay where they are");
        assert!(!scene.vault.branches.lock().contains_key(&args.line));
        assert!(scene.keeper.spec(&scene.dev_endpoint).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn what_failed_leaves_no_line_however_long_the_store_is_away() {
    for restores in [true, false] {
        let scene = scene();
        let (operation, line): (_, BranchId) = if restores {
            let (operation, args) = scene.to_restore(&scene.dev);
            (operation, args.line)
        } else {
            let operation = new_branch(&scene, false);
            let id = operation.target.branch_id.clone().unwrap();
            (operation, id)
        };
        *scene.vault.fails.lock() = Some(if restores { "evict" } else { "create_branch" });
        *scene.vault.away.lock() = Some(("delete_branch", 100));
        let works: Vec<Arc<dyn Work>> = vec![Arc::new(scene.restore()), Arc::new(scene.create())];
        let executor = Executor::new(scene.db.clone(), Scope::new(), works, Arc::default());
        let ended = executor.finish(&operation.id, Duration::from_secs(48 * 3600)).await.unwrap().unwrap();
        assert_eq!((ended.phase, ended.error.unwrap().code.as_str()), (Phase::Undone, "store-refuses"));
        assert!(!scene.vault.branches.lock().contains_key(&line));
        assert_eq!(scene.names(), ["dev", "main"]);
        assert!(!scene.branch(&scene.dev).unwrap().resetting);
    }
}

#[tokio::test]
async fn until_the_move_the_store_knows_that_the_new_line_is_not_the_branch() {
    let scene = scene();
    let (operation, args) = scene.to_restore(&scene.dev);
    let restoring = || scene.vault.metas.lock()[args.line.as_str()]["restoring"].as_bool();
    for step in 0..4 {
        scene.restore().perform(&operation, step).await.unwrap();
        assert_eq!(restoring(), Some(true), "after step {step}");
    }
    let (db, keeper, vault) = (scene.db.clone(), scene.keeper.clone(), scene.vault());
    Mirror { db, keeper, vault }.run().await.unwrap();
    assert_eq!(restoring(), None);
}

#[tokio::test]
async fn once_moved_nothing_takes_it_back() {
    let scene = scene();
    let (operation, args) = scene.to_restore(&scene.dev);
    for step in 0..4 {
        scene.restore().perform(&operation, step).await.unwrap();
    }
    for step in (0..4).rev() {
        scene.restore().undo(&operation, step).await.unwrap();
    }
    assert_eq!(scene.branch(&scene.dev).unwrap().storage_id, args.line);
    assert!(scene.vault.branches.lock().contains_key(&args.line));
}

#[tokio::test]
async fn a_reset_brings_the_parents_databases_and_keeps_the_branchs_passwords() {
    let scene = scene();
    let root = scene.plan.branch.id.clone();
    let now = clock::now();
    let own = scene.db.read("", |db| roles::get(db, &scene.dev, "app_owner")).unwrap().unwrap();
    let own = Role { verifier: Some("SCRAM-of-dev".into()), ..own };
    let of_parent = Role { branch_id: root.clone(), name: "reader".into(), protected: false, ..own.clone() };
    let of_parent = Role { sealed_password: None, ..of_parent };
    scene
        .db
        .write_now("", |db| {
            roles::put(db, &own)?;
            roles::put(db, &of_parent)?;
            let first = databases::all(db, &root)?.remove(0);
            databases::insert(db, &Database { name: "stock".into(), updated_at: now, ..first })?;
            let mut scratch = databases::all(db, &scene.dev)?.remove(0);
            scratch.name = "scratch".into();
            databases::insert(db, &scratch)
        })
        .unwrap();
    let (operation, args) = scene.to_restore(&root);
    for step in 0..4 {
        scene.restore().perform(&operation, step).await.unwrap();
    }
    let verifier = |name: &str| {
        scene.db.read("", |db| roles::get(db, &scene.dev, name)).unwrap().and_then(|r| r.verifier)
    };
    assert_eq!(verifier("app_owner").as_deref(), Some("SCRAM-of-dev"));
    assert!(verifier("reader").is_some());
    let names = |id: &BranchId| -> Vec<String> {
        let all = scene.db.read("", |db| databases::all(db, id)).unwrap();
        all.into_iter().map(|d| d.name).collect()
    };
    assert_eq!(names(&scene.dev), ["app", "stock"]);
    assert_eq!(names(&args.old), ["app", "scratch"]);
    assert!(
        scene.branch(&args.old).unwrap().expires_at.is_some(),
        "nothing hangs on it: it goes when it would have"
    );
}

#[tokio::test]
async fn an_endpoint_goes_only_when_its_last_changes_are_stored() {
    let scene = scene();
    scene.in_use().await;
    let marked = |scene: &Scene| {
        scene.db.write_now("", |db| endpoints::set_deleting(db, &scene.dev_endpoint, true)).unwrap();
        scene.operation(delete_endpoint::KIND, serde_json::json!({}))
    };
    let operation = marked(&scene);
    *scene.vault.fails.lock() = Some("evict");
    let executor =
        Executor::new(scene.db.clone(), Scope::new(), vec![Arc::new(scene.remove())], Arc::default());
    let ended = executor.finish(&operation.id, PATIENCE).await.unwrap().unwrap();
    assert_eq!(ended.phase, Phase::Undone);
    assert!(scene.files().exists() && scene.keeper.spec(&scene.dev_endpoint).await.is_ok());

    *scene.vault.fails.lock() = None;
    let operation = marked(&scene);
    killed_at(&scene, "evict", &operation, || scene.remove()).await;
    assert!(!scene.files().exists());
    assert!(scene.db.read("", |db| endpoints::get(db, &scene.dev_endpoint)).unwrap().is_none());
    let (id, mode) = (EndpointId::generate(), Mode::ReadWrite);
    let settings = ProjectSettings::default();
    let next = Endpoint::new(id, &scene.plan.project.id, &scene.dev, &settings, clock::now());
    scene.db.write_now("", |db| endpoints::insert(db, &Endpoint { mode, slot: 1, ..next })).unwrap();
}
