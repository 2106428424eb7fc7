//! Reconcilers with computes that only write down what is asked of them.

use std::collections::BTreeSet;

use dormouse_api::endpoint::KeepWarm;
use dormouse_base::EndpointId;
use dormouse_compute::State;
use dormouse_compute::event::Cause;
use dormouse_compute::host::Host;
use dormouse_compute::postgres::discover::Installations;
use dormouse_compute::sandbox::identity::{Identities, Identity};
use jiff::SignedDuration;

use super::*;
use crate::computes::Computes;
use crate::computes::recorder::Recorder;
use crate::db::{Db, branches, endpoints};
use crate::directory::Directories;
use crate::keeper::Keeper;
use crate::plan::Wish;
use crate::secrets::Secrets;

struct Scene {
    dir: tempfile::TempDir,
    db: Db,
    keeper: Keeper,
    computes: Arc<Recorder>,
}

fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path()).unwrap();
    let identity = Identities::Own(Identity { uid: 1, gid: 1 });
    let directories = Directories::open(dir.path(), Installations::default(), identity).unwrap();
    let node = crate::node::Node::in_memory(dir.path(), directories);
    let keeper =
        Keeper::new(db.clone(), node, crate::Timeouts::default(), Arc::default(), Arc::default()).unwrap();
    Scene { dir, db, keeper, computes: Arc::default() }
}

impl Scene {
    fn endpoint(&self) -> EndpointId {
        let secrets = Secrets::open(self.dir.path()).unwrap();
        let mut plan = Wish::default().plan(&Installations::discover(&[]), &secrets, clock::now()).unwrap();
        self.db.write_now("", |db| plan.store(db)).unwrap();
        plan.endpoint.id
    }

    fn computes(&self) -> Arc<dyn Computes> {
        Arc::clone(&self.computes) as Arc<dyn Computes>
    }

    fn wakes(&self) -> Vec<(EndpointId, Cause)> {
        self.computes.wakes.lock().clone()
    }
}

#[tokio::test]
async fn a_scheduled_job_wakes_its_endpoint_in_time_and_once() {
    let scene = scene();
    let (soon, later, awake) = (scene.endpoint(), scene.endpoint(), scene.endpoint());
    scene.computes.states.lock().insert(awake.clone(), State::Active);
    let due = |seconds| Some(clock::now() + SignedDuration::from_secs(seconds));
    for (endpoint, at) in [(&soon, due(1)), (&later, due(12)), (&awake, due(1))] {
        scene.db.write_now("", |db| endpoints::set_next_wake(db, endpoint, at)).unwrap();
    }
    let scope = Scope::new();
    let (db, keeper, computes) = (scene.db.clone(), scene.keeper.clone(), scene.computes());
    let mut schedule = schedule::Schedule { db, keeper, computes, scope: scope.clone() };
    let report = schedule.run().await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(scene.wakes(), [(soon, Cause::Schedule)]);
    assert!(report.next <= Duration::from_secs(10), "{report:?}");
    schedule.run().await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(scene.wakes().len(), 1, "it is awake now");
    let report = schedule.run().await.unwrap();
    assert!(report.next > Duration::from_secs(5), "nothing is due before {later}: {report:?}");
}

/// One with this window and time-out, whose branch is ready.
fn warm_endpoint(scene: &Scene, minutes: u32, suspend_timeout_seconds: i64) -> EndpointId {
    let id = scene.endpoint();
    let window = KeepWarm { schedule: "* * * * *".to_owned(), minutes };
    let change = |db: &rusqlite::Transaction<'_>| {
        let mut row = endpoints::get(db, &id)?.unwrap();
        row.suspend_timeout_seconds = suspend_timeout_seconds;
        row.warm.keep = if minutes > 0 { vec![window.clone()] } else { Vec::new() };
        branches::mark_ready(db, &row.branch_id, clock::now())?;
        endpoints::update(db, &row, clock::now())
    };
    scene.db.write_now("", change).unwrap();
    id
}

#[tokio::test]
async fn warm_endpoints_are_woken_once_and_kept_awake_until_their_window_ends() {
    let scene = scene();
    let (usual, window, always) =
        (warm_endpoint(&scene, 0, 300), warm_endpoint(&scene, 90, 300), warm_endpoint(&scene, 0, -1));
    let (db, keeper, computes) = (scene.db.clone(), scene.keeper.clone(), scene.computes());
    let mut warm = warm::Warm::new(db, keeper, computes, Scope::new());
    warm.again = (Duration::from_millis(100), Duration::from_millis(200));
    warm.run().await.unwrap();
    tokio::task::yield_now().await;
    let woken: BTreeSet<_> =
        scene.wakes().into_iter().map(|(id, cause)| (id.to_string(), cause == Cause::KeepWarm)).collect();
    assert_eq!(woken, [(window.to_string(), true), (always.to_string(), true)].into(), "not {usual}");
    let until = scene.computes.kept.lock()[&window].unwrap();
    assert!(until > clock::now() + SignedDuration::from_mins(88), "{until}");

    // Somebody suspends both: they stay asleep.
    for id in [&window, &always] {
        scene.computes.states.lock().insert(id.clone(), State::Stopped);
    }
    warm.run().await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(scene.wakes().len(), 2, "whoever suspends it means that");

    // The window goes.
    scene
        .db
        .write_now("", |db| {
            let mut row = endpoints::get(db, &window)?.unwrap();
            row.warm.keep.clear();
            endpoints::update(db, &row, clock::now())
        })
        .unwrap();
    warm.run().await.unwrap();
    assert_eq!(scene.computes.kept.lock()[&window], None, "it may sleep again");
    // One that did not wake, or went over its quota, is tried again: not at once.
    for wakes in [3, 4] {
        scene.keeper.signals().warm_failed(&always);
        let report = warm.run().await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!(scene.wakes().len(), wakes - 1, "at once");
        assert!(report.next < Duration::from_secs(1), "{report:?}");
        tokio::time::sleep(Duration::from_millis(210)).await;
        warm.run().await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!(scene.wakes().len(), wakes);
        scene.computes.states.lock().insert(always.clone(), State::Stopped);
    }
    scene.computes.states.lock().insert(always.clone(), State::Active);
    warm.run().await.unwrap();
    scene.computes.states.lock().insert(always, State::Stopped);
    warm.run().await.unwrap();
    assert_eq!(scene.wakes().len(), 4, "it woke in the end, and was suspended");
}

#[tokio::test]
async fn a_window_that_begins_while_its_endpoint_stops_wakes_it_right_after() {
    let scene = scene();
    let id = warm_endpoint(&scene, 90, 300);
    let mut warm = warm::Warm::new(scene.db.clone(), scene.keeper.clone(), scene.computes(), Scope::new());
    for (state, wakes) in
        [(State::Stopping, 0), (State::Stopping, 0), (State::Stopped, 1), (State::Stopped, 1)]
    {
        scene.computes.states.lock().insert(id.clone(), state);
        warm.run().await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!(scene.wakes().len(), wakes, "{state:?}");
    }
}

#[tokio::test]
async fn only_endpoints_that_ended_badly_are_healed() {
    let scene = scene();
    let (well, ill, recovered) = (scene.endpoint(), scene.endpoint(), scene.endpoint());
    for endpoint in [&ill, &recovered] {
        scene.db.write_now("", |db| endpoints::mark_opened(db, endpoint)).unwrap();
    }
    for endpoint in [&well, &ill] {
        let home = scene.dir.path().join("computes").join(endpoint.as_str());
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("resident.json"), "{}").unwrap();
    }
    let (db, keeper, computes) = (scene.db.clone(), scene.keeper.clone(), scene.computes());
    let mut heal = heal::Heal { db, keeper, computes, scope: Scope::new() };
    heal.run().await.unwrap();
    assert_eq!(scene.wakes(), [(ill, Cause::Heal)], "not {recovered}, which has nothing here");
}

#[tokio::test]
async fn a_new_server_remembers_what_is_pending() {
    let scene = scene();
    let endpoint = scene.endpoint();
    assert!(!scene.keeper.has_pending(&endpoint), "nobody said so in this life");
    let identity = Identities::Own(Identity { uid: 1, gid: 1 });
    let directories = Directories::open(scene.dir.path(), Installations::default(), identity).unwrap();
    let node = crate::node::Node::in_memory(scene.dir.path(), directories);
    let next =
        Keeper::new(scene.db.clone(), node, crate::Timeouts::default(), Arc::default(), Arc::default())
            .unwrap();
    assert!(next.has_pending(&endpoint));
}
