//! The whole life of an endpoint on real PostgreSQL, without proxy and control plane.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::EndpointId;
use dormouse_base::clock::Mono;
use dormouse_compute::endpoint::Closing;
use dormouse_compute::event::{Cause, Happening, SleepReason};
use dormouse_compute::fleet::Standstill;
use dormouse_compute::host::{Host, HostError, SleepNotes};
use dormouse_compute::limits::Controllers;
use dormouse_compute::metrics::Metrics;
use dormouse_compute::postgres::admin::Door;
use dormouse_compute::postgres::discover::Installations;
use dormouse_compute::postgres::view::View;
use dormouse_compute::sandbox::cgroup::{Cgroups, Choice};
use dormouse_compute::sandbox::identity::Identities;
use dormouse_compute::sandbox::process;
use dormouse_compute::spec::{Directory, PauseTimeout, Spec};
use dormouse_compute::state::State;
use dormouse_compute::{Fleet, FleetConfig, template};
use dormouse_runtime::task::{self, Scope};
use parking_lot::Mutex;
use rustix::process::Signal;
use tokio_postgres::{Client, NoTls};

/// A host with one prepared data directory and a diary.
struct Bare {
    root: PathBuf,
    major: u16,
    idle: Option<Duration>,
    pause: PauseTimeout,
    diary: Mutex<Vec<Happening>>,
    learned: Mutex<usize>,
    clean: Mutex<usize>,
}

#[async_trait::async_trait]
impl Host for Bare {
    async fn spec(&self, endpoint: &EndpointId) -> Result<Spec, HostError> {
        Ok(Spec {
            endpoint: endpoint.clone(),
            project: "p-a-b".parse().unwrap(),
            branch: "br-a-b".parse().unwrap(),
            mode: dormouse_compute::spec::Mode::ReadWrite,
            pinned: None,
            pg_major: self.major,
            slot: 7,
            idle_timeout: self.idle,
            pause_timeout: self.pause,
            size: dormouse_compute::limits::Bounds::default(),
            prewarm: false,
            max_connections: 20,
            preload: vec!["pg_stat_statements".into()],
            settings: Vec::new(),
        })
    }
    async fn directory(&self, spec: &Spec) -> Result<Directory, HostError> {
        Ok(Directory::plain(self.root.join("computes").join(spec.endpoint.as_str()).join("data")))
    }
    fn has_pending(&self, _: &EndpointId) -> bool {
        false
    }
    async fn apply(&self, _: &EndpointId, _: &Client) -> Result<(), HostError> {
        Ok(())
    }
    fn awake(&self, _: &EndpointId, _: &Arc<dormouse_compute::endpoint::Run>) {}
    async fn opened(&self, _: &EndpointId) -> Result<(), HostError> {
        Ok(())
    }
    async fn before_sleep(&self, _: &EndpointId, client: &Door) -> Result<SleepNotes, HostError> {
        client
            .query("select rolname from pg_authid", &[])
            .await
            .map_err(|e| HostError::new(e.to_string()))?;
        *self.learned.lock() += 1;
        Ok(SleepNotes::default())
    }
    fn thawed(&self, _: &EndpointId) {}
    async fn stopped_cleanly(&self, _: &EndpointId) -> Result<(), HostError> {
        *self.clean.lock() += 1;
        Ok(())
    }
    fn state_changed(&self, _: &EndpointId, _: State, _: Option<u32>) {}
    fn happened(&self, _: &EndpointId, happening: Happening) {
        self.diary.lock().push(happening);
    }
}

struct World {
    fleet: Fleet,
    host: Arc<Bare>,
    scope: Scope,
    root: PathBuf,
    id: EndpointId,
    choice: Choice,
    _dir: Option<tempfile::TempDir>,
}

fn fleet(root: &Path, host: Arc<Bare>, choice: Choice) -> (Fleet, Scope) {
    let instance = root.file_name().unwrap().to_str().unwrap().trim_start_matches('.');
    let cgroups = Cgroups::detect(choice, instance).unwrap();
    let controllers = Controllers::detect(choice, &cgroups, instance);
    fleet_with(root, host, cgroups, controllers)
}

/// One whose groups are somewhere else than this process.
fn fleet_in(root: &Path, host: Arc<Bare>, cgroups: Cgroups) -> (Fleet, Scope) {
    fleet_with(root, host, cgroups, Controllers::Missing("not looked for".to_owned()))
}

fn fleet_with(root: &Path, host: Arc<Bare>, cgroups: Cgroups, controllers: Controllers) -> (Fleet, Scope) {
    let all = Installations::discover(&[]);
    let views: BTreeMap<u16, View> =
        all.iter().map(|i| (i.major, View::prepare(i, &root.join("views")).unwrap())).collect();
    let config = FleetConfig {
        computes: root.join("computes"),
        run_root: root.join("run"),
        views,
        identities: Identities::detect(None, root).unwrap(),
        controllers,
        cgroups,
        boot_slots: 4,
    };
    let scope = Scope::new();
    (Fleet::new(config, host, Metrics::default(), scope.clone()).unwrap(), scope)
}

fn world(choice: Choice, idle: Option<Duration>, pause: PauseTimeout) -> World {
    use std::os::unix::fs::PermissionsExt;
    dormouse_runtime::telemetry::start_logging(dormouse_runtime::telemetry::LogFormat::Text, "off");
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_owned();
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o711)).unwrap();
    let id: EndpointId = "ep-quiet-test".parse().unwrap();
    let all = Installations::discover(&[]);
    let newest = all.newest().unwrap();
    let identities = Identities::detect(None, &root).unwrap();
    let data = root.join("computes").join(id.as_str()).join("data");
    for passable in ["computes", "computes/ep-quiet-test"] {
        std::fs::create_dir_all(root.join(passable)).unwrap();
        std::fs::set_permissions(root.join(passable), std::fs::Permissions::from_mode(0o711)).unwrap();
    }
    let seed = template::Seed { owner: "app_owner".into(), database: "app".into() };
    template::build(newest, &identities.template(), &data, &seed).unwrap();
    identities.for_slot(7).own(&data).unwrap();
    let host = Arc::new(Bare {
        root: root.clone(),
        major: newest.major,
        idle,
        pause,
        diary: Mutex::default(),
        learned: Mutex::default(),
        clean: Mutex::default(),
    });
    let (fleet, scope) = fleet(&root, Arc::clone(&host), choice);
    World { fleet, host, scope, root, id, choice, _dir: Some(dir) }
}

async fn client(socket: &Path) -> Client {
    let mut config = tokio_postgres::Config::new();
    config.host_path(socket.parent().unwrap()).user("app_owner").dbname("app");
    let (client, connection) = config.connect(NoTls).await.unwrap();
    Scope::new().spawn("test-client", async move {
        let _ended = connection.await;
    });
    client
}

impl World {
    fn data(&self) -> PathBuf {
        self.root.join("computes").join(self.id.as_str()).join("data")
    }

    async fn until(&self, state: State) {
        let endpoint = self.fleet.endpoint(&self.id);
        let wait = async {
            while endpoint.state() != state {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
        assert!(
            waited.is_ok(),
            "still {:?}, wanted {state:?}: {:?}",
            endpoint.state(),
            self.host.diary.lock()
        );
    }
}

impl World {
    /// Another fleet has taken over, and has stopped and started what this one still knows the first run of: this one's
    /// turn, which is not over, and the other.
    async fn taken_over(&self) -> (Standstill, Fleet, Scope) {
        self.fleet.endpoint(&self.id).wake(Cause::Request).await.unwrap();
        let still = self.fleet.hold(Duration::from_secs(5)).await.unwrap();
        let (next, scope) = fleet(&self.root, Arc::clone(&self.host), self.choice);
        assert_eq!(next.adopt_all().await, std::slice::from_ref(&self.id));
        let endpoint = next.endpoint(&self.id);
        endpoint.suspend(SleepReason::Request).await.unwrap();
        endpoint.wake(Cause::Request).await.unwrap();
        (still, next, scope)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for pid in process::in_directory(&self.data()) {
            process::signal(pid, Signal::KILL);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wakes_pauses_thaws_and_stops_by_every_way_of_freezing() {
    for choice in [Choice::Auto, Choice::V1, Choice::Off] {
        let idle = Some(Duration::from_millis(400));
        if Cgroups::detect(choice, "probe").is_err() {
            continue;
        }
        let world = world(choice, idle, PauseTimeout::After(Duration::from_secs(2)));
        let endpoint = world.fleet.endpoint(&world.id);
        let lease = endpoint.acquire().await.unwrap();
        let session = client(&lease.run.socket().path()).await;
        assert_eq!(session.query_one("select 1", &[]).await.unwrap().get::<_, i32>(0), 1);
        let run = Arc::clone(&lease.run);
        let mut closing = run.closing();
        drop(lease);
        world.until(State::Paused).await;
        let pid = endpoint.pid().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let cpu = |s: &str| {
            s.rsplit_once(')')
                .unwrap()
                .1
                .split_whitespace()
                .skip(11)
                .take(2)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(
            cpu(&status),
            cpu(&std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap()),
            "{choice:?}"
        );
        let pass = endpoint.reenter(&run).await.unwrap();
        assert_eq!(
            session.query_one("select 2", &[]).await.unwrap().get::<_, i32>(0),
            2,
            "the session lives on"
        );
        drop(pass);
        world.until(State::Paused).await;
        world.until(State::Stopped).await;
        assert!(closing.wait_for(Option::is_some).await.unwrap().is_some());
        assert!(endpoint.reenter(&run).await.is_err(), "the run is over");
        assert!(process::in_directory(&world.data()).is_empty(), "nothing is left running");
        assert!(!world.data().join("postmaster.pid").exists());
        assert_eq!(*world.host.clean.lock(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_advisory_lock_or_open_transaction_is_work_an_idle_session_is_not() {
    let idle = Some(Duration::from_millis(200));
    let world = world(Choice::Auto, idle, PauseTimeout::Skip);
    let endpoint = world.fleet.endpoint(&world.id);
    let lease = endpoint.acquire().await.unwrap();
    let session = client(&lease.run.socket().path()).await;
    session.batch_execute("select pg_advisory_lock(1)").await.unwrap();
    drop(lease);
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(endpoint.state(), State::Active, "an advisory lock is held");
    assert!(endpoint.pause().await.is_err());
    session.batch_execute("select pg_advisory_unlock(1); begin; select 1").await.unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(endpoint.state(), State::Active, "a transaction is open");
    session.batch_execute("commit").await.unwrap();
    world.until(State::Stopped).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_postmaster_is_healed_and_nothing_committed_is_lost() {
    let world = world(Choice::Auto, None, PauseTimeout::Forever);
    let endpoint = world.fleet.endpoint(&world.id);
    let lease = endpoint.acquire().await.unwrap();
    let session = client(&lease.run.socket().path()).await;
    session.batch_execute("create table t(n int); insert into t values (42)").await.unwrap();
    let mut closing = lease.run.closing();
    process::signal(endpoint.pid().unwrap(), Signal::KILL);
    let how = *closing.wait_for(Option::is_some).await.unwrap();
    assert_eq!(how, Some(Closing::Crashed));
    drop(lease);
    let lease = endpoint.acquire().await;
    assert!(lease.is_ok(), "{:?}", world.host.diary.lock());
    let lease = lease.unwrap();
    let again = client(&lease.run.socket().path()).await;
    assert_eq!(again.query_one("select n from t", &[]).await.unwrap().get::<_, i32>(0), 42);
    assert!(world.host.diary.lock().iter().any(|h| matches!(h, Happening::Crashed { .. })));
    drop(lease);
    endpoint.suspend(SleepReason::Request).await.unwrap();
    assert!(process::in_directory(&world.data()).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_fleet_adopts_active_and_frozen_computes_and_nothing_else() {
    let mut world = world(Choice::Auto, None, PauseTimeout::Forever);
    world.fleet.endpoint(&world.id).wake(Cause::Request).await.unwrap();
    let pid = world.fleet.endpoint(&world.id).pid().unwrap();
    for frozen in [false, true] {
        if frozen {
            world.fleet.endpoint(&world.id).pause().await.unwrap();
        }
        // The server dies: its actors are gone at once, its computes are not.
        world.scope.close(Duration::from_secs(1)).await;
        let (next, scope) = fleet(&world.root, Arc::clone(&world.host), world.choice);
        assert_eq!(next.adopt_all().await, [world.id.clone()]);
        (world.fleet, world.scope) = (next, scope);
        let endpoint = world.fleet.endpoint(&world.id);
        assert_eq!(endpoint.pid(), Some(pid), "the same process");
        assert_eq!(endpoint.state(), if frozen { State::Paused } else { State::Active });
        let lease = endpoint.acquire().await.unwrap();
        client(&lease.run.socket().path()).await.query_one("select 1", &[]).await.unwrap();
    }
    world.fleet.shut_down(false, Duration::from_secs(20)).await;
    // A pid file and a record that name somebody else's process are not believed.
    let me = std::process::id();
    std::fs::write(
        world.data().join("postmaster.pid"),
        format!("{me}\n/x\n1\n5432\n/tmp\n\n 1 2\nready   \n"),
    )
    .unwrap();
    let (next, _scope) = fleet(&world.root, Arc::clone(&world.host), world.choice);
    assert!(next.adopt_all().await.is_empty());
    let endpoint = next.endpoint(&world.id);
    endpoint.wake(Cause::Request).await.unwrap();
    assert_ne!(endpoint.pid(), Some(me));
    next.shut_down(false, Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_that_was_taken_over_never_acts_again() {
    let world = world(Choice::Off, None, PauseTimeout::Forever);
    let (still, next, _scope) = world.taken_over().await;
    let endpoint = next.endpoint(&world.id);
    let pid = endpoint.pid();
    drop(still);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((endpoint.pid(), endpoint.state()), (pid, State::Active), "{:?}", world.host.diary.lock());
    assert!(world.root.join("computes").join(world.id.as_str()).join("compute.json").exists());
    assert!(world.fleet.hold(Duration::from_millis(50)).await.is_none(), "nobody gets a turn");
    next.shut_down(false, Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_just_logging_in_is_asked_for_a_password_after_a_takeover() {
    let world = world(Choice::Off, None, PauseTimeout::Forever);
    let endpoint = world.fleet.endpoint(&world.id);
    endpoint.wake(Cause::Request).await.unwrap();
    let _still = world.fleet.hold(Duration::from_secs(5)).await.unwrap();
    endpoint.give_away();
    assert!(endpoint.gate().pass().is_none(), "who works asks the other server");
    let asked = endpoint.admin("postgres").await.unwrap();
    asked.query_one("select rolpassword from pg_authid where rolname = 'app_owner'", &[]).await.unwrap();
    assert_eq!(endpoint.gate().look().inside(), 0);
}

/// And if it does act, it harms no run but its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_run_is_no_harm_to_the_next() {
    let world = world(Choice::Off, None, PauseTimeout::Forever);
    let (still, next, _scope) = world.taken_over().await;
    let endpoint = next.endpoint(&world.id);
    let pid = endpoint.pid();
    // The first fleet knows that its run has ended, and next is told not to heal it.
    let before = world.fleet.endpoint(&world.id);
    let told = before.suspend(SleepReason::Request);
    let (told, ()) = tokio::join!(told, async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        still.end();
    });
    told.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((endpoint.pid(), endpoint.state()), (pid, State::Active), "{:?}", world.host.diary.lock());
    next.shut_down(false, Duration::from_secs(20)).await;
}

/// A server that stands in another group than the one before it: another unit of systemd, another session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn computes_of_a_server_that_stood_elsewhere_are_moved_and_live_on() {
    let mut world = world(Choice::Auto, None, PauseTimeout::Forever);
    world.fleet.shut_down(false, Duration::from_secs(20)).await;
    for choice in [Choice::V2, Choice::V1] {
        let instance = world.root.file_name().unwrap().to_str().unwrap().trim_start_matches('.').to_owned();
        let Ok(Cgroups::V2(base) | Cgroups::V1(base)) = Cgroups::detect(choice, &instance) else { continue };
        let outer = base.parent().unwrap().to_owned();
        let _unused = std::fs::remove_dir(&base);
        let places =
            ["a", "b"].map(|unit| outer.join(format!("{instance}-{unit}")).join(base.file_name().unwrap()));
        let in_place = |place: &PathBuf| match choice {
            Choice::V2 => Cgroups::V2(place.clone()),
            _ => Cgroups::V1(place.clone()),
        };
        let group = |place: &Path| place.join(world.id.as_str());
        (world.fleet, world.scope) = fleet_in(&world.root, Arc::clone(&world.host), in_place(&places[0]));
        let endpoint = world.fleet.endpoint(&world.id);
        let lease = endpoint.acquire().await.unwrap();
        let pid = endpoint.pid().unwrap();
        // In version 1 it enters its group after the first row.
        drop(lease.ticket.expect("it was woken"));
        let mut session = client(&lease.run.socket().path()).await;
        drop(lease.pass);
        let begin = Mono::now();
        while !std::fs::read_to_string(group(&places[0]).join("cgroup.procs"))
            .is_ok_and(|all| !all.is_empty())
        {
            assert!(begin.elapsed() < Duration::from_secs(10), "it does not enter its group");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for (round, frozen) in [false, true].into_iter().enumerate() {
            if frozen {
                world.fleet.endpoint(&world.id).pause().await.unwrap();
            }
            world.scope.close(Duration::from_secs(1)).await;
            let (next, scope) =
                fleet_in(&world.root, Arc::clone(&world.host), in_place(&places[(round + 1) % 2]));
            assert_eq!(next.adopt_all().await, [world.id.clone()], "{choice:?}, frozen: {frozen}");
            (world.fleet, world.scope) = (next, scope);
            let endpoint = world.fleet.endpoint(&world.id);
            assert_eq!(endpoint.pid(), Some(pid), "the same process");
            assert_eq!(endpoint.state(), if frozen { State::Paused } else { State::Active });
            assert!(!places[round % 2].exists(), "nothing is left where it was");
            if frozen {
                let query = session.query_one("select 1", &[]);
                assert!(
                    tokio::time::timeout(Duration::from_millis(200), query).await.is_err(),
                    "it stands still"
                );
            }
            let lease = endpoint.acquire().await.unwrap();
            session = client(&lease.run.socket().path()).await;
            session.query_one("select 1", &[]).await.unwrap();
        }
        world.fleet.shut_down(false, Duration::from_secs(20)).await;
        for unit in ["a", "b"] {
            let _made_by_us = std::fs::remove_dir(outer.join(format!("{instance}-{unit}")));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_wakes_are_one_start_and_a_failed_start_tells_why() {
    let world = world(Choice::Auto, None, PauseTimeout::Forever);
    let endpoint = world.fleet.endpoint(&world.id);
    let leases = futures_util::future::join_all((0..50).map(|_| endpoint.acquire())).await;
    let pids: Vec<u32> = leases.iter().map(|l| l.as_ref().unwrap().run.pid()).collect();
    assert!(pids.iter().all(|pid| *pid == pids[0]));
    assert_eq!(leases.iter().filter(|l| l.as_ref().unwrap().ticket.is_some()).count(), 1, "one woke it");
    drop(leases);
    endpoint.suspend(SleepReason::Request).await.unwrap();

    let control = world.data().join("global/pg_control");
    task::blocking(move || std::fs::write(control, "not a control file")).await.unwrap();
    let error = endpoint.acquire().await.unwrap_err();
    assert_eq!((error.sqlstate(), error.code()), ("57P03", "compute-did-not-start"));
    let again = endpoint.acquire().await.unwrap_err();
    assert!(again.to_string().contains("next try"), "backs off instead of trying at once: {again}");
    let diary = world.host.diary.lock();
    let tail = diary.iter().find_map(|h| match h {
        Happening::StartFailed { log_tail, .. } => Some(log_tail.clone()),
        _ => None,
    });
    assert!(tail.unwrap().iter().any(|line| line.contains("pg_control")), "{diary:?}");
}
