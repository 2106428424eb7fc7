//! Computes that grow and shrink by themselves, and those that are kept ready before anybody comes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_compute::limits::files;
use dormouse_compute::postgres::discover::Installations;
use dormouse_tests::{Project, Server, note, passable_dir};
use serde_json::{Value, json};

/// What the server of this test waits for before a size becomes smaller, instead of a minute, seconds.
const SHRINKS_AFTER: u64 = 4;

/// A statement of some milliseconds that needs nothing but a processor.
const WORK: &str = "select sum(i) from generate_series(1, 20000) i";

/// Works without a pause until `enough` has been called, and counts in `done`.
const WORK_ON: &str = "do $$ begin
    while not (select is_called from enough) loop
        perform sum(i) from generate_series(1, 2000) i;
        perform nextval('done');
    end loop;
end $$";

/// Something that goes on while the test does something else.
#[allow(clippy::disallowed_methods, reason = "a test has no scope, and ends with its tasks")]
fn task<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> tokio::task::JoinHandle<T> {
    tokio::spawn(work)
}

/// Two clients in one long statement each, so that nothing waits for the machine to bring the next one; and one with
/// short ones, which must not fail.
struct Load {
    control: tokio_postgres::Client,
    stop: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    async fn start(server: &Server) -> Self {
        let control = server.connect().await;
        control.batch_execute("create sequence enough; create sequence done cache 1").await.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = Vec::new();
        for _ in 0..2 {
            let client = server.connect().await;
            clients.push(task(async move { client.batch_execute(WORK_ON).await.unwrap() }));
        }
        let (client, ended) = (server.connect().await, Arc::clone(&stop));
        clients.push(task(async move {
            while !ended.load(Ordering::Relaxed) {
                client.simple_query(WORK).await.expect("no statement fails while the size changes");
            }
        }));
        Self { control, stop, clients }
    }

    async fn done(&self) -> i64 {
        self.control.query_one("select last_value from done", &[]).await.unwrap().get(0)
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.control.batch_execute("select nextval('enough')").await.unwrap();
        for client in self.clients {
            client.await.unwrap();
        }
    }
}

/// A compute's group, as the kernel tells: nothing here is what the server says of itself.
struct Group {
    cpu: PathBuf,
    usage: PathBuf,
    is_v2: bool,
}

/// What was used of it in a while.
#[derive(Debug, Clone, Copy)]
struct Used {
    /// Processors; never more than it really was, however late this process was to look.
    cores: f64,
    /// In so many of its turns it was held back.
    held_back: u64,
    /// Rounds of the load's work.
    rounds: i64,
}

impl Group {
    fn of(postmaster: u32) -> Self {
        let own = std::fs::read_to_string(format!("/proc/{postmaster}/cgroup")).unwrap();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let dir = |controller: &str| -> Option<PathBuf> {
            let path = own.lines().find_map(|line| {
                let fields: Vec<&str> = line.splitn(3, ':').collect();
                fields[1].split(',').any(|one| one == controller).then(|| fields[2].trim_start_matches('/'))
            })?;
            let mount = mounts.lines().find_map(|line| {
                let fields: Vec<&str> = line.split(' ').collect();
                let is_it = if controller.is_empty() {
                    fields[2] == "cgroup2"
                } else {
                    fields[2] == "cgroup" && fields[3].split(',').any(|one| one == controller)
                };
                is_it.then(|| fields[1].to_owned())
            })?;
            Some(Path::new(&mount).join(path))
        };
        match (dir("cpu"), dir("cpuacct")) {
            (Some(cpu), Some(usage)) if cpu.join("cpu.cfs_quota_us").exists() => {
                Self { cpu, usage, is_v2: false }
            }
            _ => {
                let dir = dir("").expect("one of both versions");
                Self { cpu: dir.clone(), usage: dir, is_v2: true }
            }
        }
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.cpu.join(name)).unwrap()
    }

    /// The processors that the kernel lets it have.
    fn quota(&self) -> f64 {
        let quota = if self.is_v2 {
            files::cpu_max(&self.read("cpu.max"))
        } else {
            files::cfs_quota(&self.read("cpu.cfs_quota_us"), &self.read("cpu.cfs_period_us"))
        };
        quota.unwrap()
    }

    /// Has it go before everybody else on this machine, as far as its quota allows. Otherwise what it gets says more
    /// about its neighbours. `false`: that may not be asked for here.
    fn goes_first(&self) -> bool {
        let name = if self.is_v2 { "cpu.weight" } else { "cpu.shares" };
        let most = if self.is_v2 { "10000" } else { "262144" };
        let above = self.cpu.parent().unwrap().to_owned();
        [above, self.cpu.clone()].iter().all(|dir| std::fs::write(dir.join(name), most).is_ok())
    }

    fn cpu_us(&self) -> u64 {
        let name = if self.is_v2 { "cpu.stat" } else { "cpuacct.usage" };
        let text = std::fs::read_to_string(self.usage.join(name)).unwrap();
        if self.is_v2 { files::cpu_stat(&text) } else { files::cpuacct_usage(&text) }.unwrap()
    }

    fn held_back(&self) -> u64 {
        let stat = self.read("cpu.stat");
        stat.lines().find_map(|line| line.strip_prefix("nr_throttled ")?.parse().ok()).unwrap()
    }

    async fn used(&self, load: &Load) -> Used {
        let (rounds, held_back) = (load.done().await, self.held_back());
        let (start, before) = (Mono::now(), self.cpu_us());
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let cpu_us = self.cpu_us() - before;
        Used {
            cores: cpu_us as f64 / 1e6 / start.elapsed().as_secs_f64(),
            held_back: self.held_back() - held_back,
            rounds: load.done().await - rounds,
        }
    }
}

fn cu(server: &Server, project: &Project) -> f64 {
    server.endpoint_of(project)["current_cu"].as_f64().unwrap_or(0.0)
}

/// Changes of size so far, oldest first: (from, to, why).
fn resized(server: &Server, project: &Project) -> Vec<(f64, f64, String)> {
    let mut events = server.events_of(project);
    events.reverse();
    let all = events.iter().filter(|event| event["kind"] == "resized");
    let number = |value: &Value| value.as_f64().unwrap();
    all.map(|e| (number(&e["from_cu"]), number(&e["to_cu"]), e["reason"].as_str().unwrap().to_owned()))
        .collect()
}

fn bounds(min: f64, max: f64) -> Value {
    json!({ "autoscaling_limit_min_cu": min, "autoscaling_limit_max_cu": max })
}

/// Whether the server limits its computes; if not, what is to be tested is not there.
fn limits(server: &Server) -> bool {
    let limits = !server.log().contains("computes are not limited");
    if !limits {
        note("no controllers here: sizes are not tested");
    }
    limits
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compute_under_load_grows_and_shrinks_and_its_throughput_follows() {
    let dir = passable_dir();
    let shrinks_after = SHRINKS_AFTER.to_string();
    let mut server =
        Server::start_in(&dir.path().join("data"), &[], &[("DORMOUSE_TEST_SHRINK_AFTER", &shrinks_after)]);
    if !limits(&server) {
        return;
    }
    let project = server.default_project();
    server.change_endpoint(&project, &bounds(0.25, 0.25));
    let load = Load::start(&server).await;
    server.until_true("it is measured", || server.endpoint_of(&project)["live"]["measured"] == true);
    assert_eq!(cu(&server, &project), 0.25, "a wake is not limited, but then it begins small");
    let group = Group::of(server.postmaster_of(&project));
    let goes_first = group.goes_first();

    // What is so on every machine: the kernel knows the quota, and holds it back.
    assert_eq!(group.quota(), 0.25);
    let small = group.used(&load).await;
    assert!(small.cores <= 0.3, "more than its quota, savings included: {small:?}");
    // Who is held back by a quota uses it up, and who uses it up gets more.
    let must_grow = goes_first || small.held_back > 30;
    server.change_endpoint(&project, &bounds(0.25, 0.5));
    if must_grow {
        server.until_true("it grows", || cu(&server, &project) == 0.5);
        let steps = || resized(&server, &project);
        server.until_true("that is on its list", || !steps().is_empty());
        assert_eq!(steps(), [(0.25, 0.5, "cpu".to_owned())]);
    } else {
        note("others took the processors: the growth was not tested");
        server.change_endpoint(&project, &bounds(0.5, 0.5));
        server.until_true("its bounds hold at once", || cu(&server, &project) == 0.5);
        server.change_endpoint(&project, &bounds(0.25, 0.5));
    }
    assert_eq!(group.quota(), 0.5);
    let large = group.used(&load).await;
    assert!(large.cores <= 0.6, "more than its quota, savings included: {large:?}");
    assert!(
        large.cores > small.cores * 1.5 || large.held_back < 10,
        "held back at less: {small:?}, {large:?}"
    );
    if large.cores > small.cores * 1.5 {
        assert!(
            large.rounds * 10 > small.rounds * 13,
            "its throughput does not follow: {small:?}, {large:?}"
        );
    } else {
        note("others took the processors: that its throughput follows was not tested");
    }
    let uses = server.endpoint_of(&project)["live"].clone();
    assert!(uses["cpu_cores"].as_f64().unwrap() > 0.0, "{uses}");
    assert!(uses["memory_bytes"].as_u64().unwrap() > 0 && uses["connections"] == 4, "{uses}");
    assert_eq!(uses["memory_limit_bytes"], 2_u64 << 30, "{uses}");

    // The next server finds it as it is.
    load.stop().await;
    server.kill_9();
    assert_eq!(group.quota(), 0.5);
    let idle = Mono::now();
    server.start_again();
    assert_eq!(cu(&server, &project), 0.5, "adopted with its size");
    server.until_true("it shrinks", || cu(&server, &project) == 0.25);
    assert!(
        idle.elapsed() > Duration::from_secs(SHRINKS_AFTER),
        "not before it has been idle for long enough"
    );
    assert_eq!(group.quota(), 0.25);
    let shrunk = || resized(&server, &project).last() == Some(&(0.5, 0.25, "idle".to_owned()));
    server.until_true("it is on its list", shrunk);
    assert!(server.metrics().contains("dormouse_resizes_total"));
    assert!(server.stop().1);
    assert!(!group.cpu.exists(), "nothing is left of its group");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_wait_for_a_pool_make_it_grow() {
    let mut server = Server::start(&[]);
    if !limits(&server) {
        return;
    }
    let project = server.default_project();
    server.cli_json(&["pooler", "config", "default_pool_size=1"]);
    // What its start costs is no reason.
    server.change_endpoint(&project, &bounds(0.25, 0.25));
    let pooled = server.ready()["pooled_connection_string"].as_str().unwrap().to_owned();
    let (has, wants) =
        (server.try_connect(&pooled).await.unwrap(), server.try_connect(&pooled).await.unwrap());
    has.simple_query("begin").await.unwrap();
    let live = |name: &str| server.endpoint_of(&project)["live"][name].clone();
    server.until_true("it is measured and rests", || {
        live("measured") == true && live("cpu_cores").as_f64().is_some_and(|cores| cores < 0.05)
    });
    let waits = task(async move { wants.simple_query("select 1").await.map(|_| ()) });
    server.until_true("one waits", || live("pool_waiting") == 1);
    assert_eq!(live("connections"), 1, "both share it");
    server.change_endpoint(&project, &bounds(0.25, 0.5));
    server.until_true("it grows", || resized(&server, &project) == [(0.25, 0.5, "pool_wait".to_owned())]);
    has.simple_query("commit").await.unwrap();
    waits.await.unwrap().unwrap();
    server.until_true("nobody waits", || live("pool_waiting") == 0);
    assert!(server.stop().1);
}

#[tokio::test]
async fn without_cgroups_the_configured_size_is_told() {
    let mut server = Server::start(&["--cgroup", "off"]);
    let project = server.default_project();
    assert_eq!(server.endpoint_of(&project)["current_cu"], Value::Null, "asleep it has no size");
    server.change_endpoint(&project, &bounds(0.5, 2.0));
    let _client = server.connect().await;
    let shown = server.endpoint_of(&project);
    assert_eq!((&shown["current_cu"], &shown["live"]["measured"]), (&json!(0.5), &json!(false)), "{shown}");
    server.change_endpoint(&project, &bounds(1.0, 2.0));
    server.until_true("it follows", || cu(&server, &project) == 1.0);
    assert!(server.log().contains("computes are not limited"));
    assert!(server.stop().1);
}

#[tokio::test]
async fn windows_keep_it_warm_and_a_project_wakes_at_once() {
    let mut server = Server::start(&["--idle-timeout", "1s", "--pause-timeout", "0"]);
    let project = server.default_project();
    // Whatever the time is, this window is open.
    server.cli_json(&["endpoint", "update", "--keep-warm", "* * * * * for 5m"]);
    server.until_state(&project, "active");
    assert_eq!(server.until_event(&project, "woke")["cause"], "keep_warm");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(server.state_of(&project), "active", "it would have slept twice by now");
    let shown = server.endpoint_of(&project);
    assert_eq!(shown["keep_warm"], json!([{ "schedule": "* * * * *", "minutes": 5 }]), "{shown}");
    server.cli_json(&["endpoint", "update", "--no-keep-warm"]);
    server.until_state(&project, "stopped");

    // Never sleeping holds at once, too.
    server.cli_json(&["endpoint", "update", "--suspend-timeout", "-1"]);
    server.until_state(&project, "active");
    server.cli_json(&["endpoint", "update", "--suspend-timeout", "1"]);
    server.until_state(&project, "stopped");

    for name in ["a", "b"] {
        server.cli_json(&["branch", "create", name]);
    }
    let woken = server.cli_json(&["project", "wake"]);
    let endpoints = woken["endpoints"].as_array().unwrap();
    assert_eq!(endpoints.len(), 3, "{woken}");
    assert!(endpoints.iter().all(|e| e["was"] == "stopped" && e["error"].is_null()), "{woken}");
    let (status, refused) = server.api(
        "PATCH",
        &format!("/projects/{}/endpoints/{}", project.id, project.endpoint),
        &json!({ "endpoint": { "keep_warm": [{ "schedule": "sometimes", "minutes": 5 }] } }),
    );
    assert_eq!((status, &refused["code"]), (400, &json!("bad-setting")), "{refused}");
    assert!(server.stop().1);
}

#[tokio::test]
async fn the_working_set_is_read_again_at_a_wake() {
    let mut server = Server::start(&["--idle-timeout", "1s", "--pause-timeout", "0"]);
    let project = server.default_project();
    server.cli_json(&["endpoint", "update", "--prewarm", "true"]);
    let client = server.connect().await;
    client
        .batch_execute("create table t as select i, repeat('x', 500) as x from generate_series(1, 20000) i")
        .await
        .unwrap();
    drop(client);
    server.until_state(&project, "stopped");
    let warmed = |server: &Server| {
        let events = server.events_of(&project);
        events.into_iter().filter(|event| event["kind"] == "prewarmed").collect::<Vec<_>>()
    };
    // Looking for what is in memory has an end, also on a machine that is busy with something else.
    let mut tries = 0;
    let (client, last) = loop {
        tries += 1;
        let client = server.connect().await;
        server.until_true("it is warmed", || warmed(&server).len() == tries + 1);
        let last = warmed(&server)[0].clone();
        // 10 MB are 40 chunks; catalogs come on top.
        if last["chunks"].as_u64().unwrap() >= 40 || tries == 5 {
            break (client, last);
        }
        client.query_one("select count(*) from t", &[]).await.unwrap();
        drop(client);
        server.until_state(&project, "stopped");
    };
    assert!(last["chunks"].as_u64().unwrap() >= 40, "{last}");
    if Installations::discover(&[]).newest().is_some_and(|newest| newest.has_library("pg_prewarm")) {
        assert!(last["blocks"].as_u64().unwrap() > 100, "{last}");
        let row = client.query_one("show shared_preload_libraries", &[]).await.unwrap();
        assert!(row.get::<_, String>(0).contains("pg_prewarm"));
    }
    drop(client);
    // Its worker is no work.
    server.until_state(&project, "stopped");
    assert!(server.stop().1);
}
