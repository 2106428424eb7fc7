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

fn metering(scene: &Scene) -> metering::Metering {
    let (db, keeper, computes) = (scene.db.clone(), scene.keeper.clone(), scene.computes());
    metering::Metering {
        db: db.clone(),
        meter: keeper.meter().clone(),
        computes: Arc::clone(&computes),
        seen: None,
        pruned: None,
        calendar: crate::calendar::Calendar::new(scene.db.clone()),
        vault: Arc::new(crate::vault::recorder::Recorder::default()),
        filed: HashMap::new(),
        quotas: quotas::Quotas {
            db,
            keeper,
            computes,
            scope: Scope::new(),
            recorder: dormouse_statistics::Recorder::open(scene.dir.path()).unwrap(),
        },
    }
}

/// What all endpoints wrote, as it is stored.
fn written(scene: &Scene) -> u64 {
    use crate::db::usage::{Filter, Range, by_time};
    let range = Range { grain: dormouse_api::usage::Granularity::Month, start: i64::MIN, end: i64::MAX };
    let told = scene.db.read("", |db| by_time(db, &range, &Filter::All)).unwrap();
    told.iter().map(|(_, used)| used.written).sum()
}

#[tokio::test]
async fn what_was_on_its_way_when_the_server_stops_is_stored_and_what_came_after_it_too() {
    let scene = scene();
    let endpoint = scene.endpoint();
    let (mut metering, meter) = (metering(&scene), scene.keeper.meter().clone());
    meter.written(&endpoint, 100);
    // The run was cut off between the two.
    let sent = meter.beat(false).unwrap();
    meter.written(&endpoint, 50);
    metering.last().await;
    assert_eq!(written(&scene), 150);
    // And the same when the transaction got through.
    meter.written(&endpoint, 7);
    let again = meter.beat(false).unwrap();
    assert!(again.number > sent.number);
    scene.db.write_now("", |db| crate::db::usage::store(db, &again, clock::now())).unwrap();
    meter.written(&endpoint, 3);
    metering.last().await;
    assert_eq!(written(&scene), 160);
}

#[tokio::test]
async fn a_look_at_the_store_that_ends_after_a_branch_is_gone_leaves_nothing_behind() {
    let scene = scene();
    let branch = {
        let endpoint = scene.endpoint();
        scene.db.read("", |db| endpoints::get(db, &endpoint)).unwrap().unwrap().branch_id
    };
    let (mut metering, meter) = (metering(&scene), scene.keeper.meter().clone());
    meter.level(&branch, 1000, 10);
    metering.run().await.unwrap();
    assert_eq!(meter.stocked(), std::slice::from_ref(&branch));
    let gone = branch.clone();
    let delete = move |db: &rusqlite::Transaction<'_>| {
        db.execute("DELETE FROM branches WHERE id = ?1", [gone.as_str()])
    };
    scene.db.write_now("", delete).unwrap();
    metering.run().await.unwrap();
    assert!(meter.stocked().is_empty());
    // The look had begun before, and the metadata does not change any more.
    meter.level(&branch, 1000, 10);
    for _ in 0..3 {
        metering.run().await.unwrap();
    }
    assert!(meter.stocked().is_empty(), "it would be counted for ever");
    // One that went before anything of it was stored.
    meter.level(&dormouse_base::BranchId::generate(), 5, 5);
    for _ in 0..3 {
        metering.run().await.unwrap();
    }
    assert!(meter.stocked().is_empty());
}
