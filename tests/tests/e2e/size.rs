//! Computes that grow and shrink by themselves, and those that are kept ready before anybody comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_compute::limits::Controllers;
use dormouse_compute::postgres::discover::Installations;
use dormouse_tests::{Project, Server, note};
use serde_json::{Value, json};

/// Idle for a minute makes it smaller; what a busy machine needs comes on top.
const SHRINKS_WITHIN: Duration = Duration::from_secs(90);

/// A statement of some milliseconds that needs nothing but a processor.
const WORK: &str = "select sum(i) from generate_series(1, 20000) i";

/// Something that goes on while the test does something else.
#[allow(clippy::disallowed_methods, reason = "a test has no scope, and ends with its tasks")]
fn task<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> tokio::task::JoinHandle<T> {
    tokio::spawn(work)
}

/// Two clients that work without a pause, until they are stopped.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    async fn start(server: &Server) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut clients = Vec::new();
        for _ in 0..2 {
            let (client, stop, done) = (server.connect().await, Arc::clone(&stop), Arc::clone(&done));
            clients.push(task(async move {
                while !stop.load(Ordering::Relaxed) {
                    client.simple_query(WORK).await.expect("no statement fails while the size changes");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        Self { stop, done, clients }
    }

    /// Statements in a second and a half.
    async fn throughput(&self) -> u64 {
        let before = self.done.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        self.done.load(Ordering::Relaxed) - before
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
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

async fn grows_and_shrinks(cgroup: &str) {
    let mut server = Server::start(&["--cgroup", cgroup]);
    let project = server.default_project();
    server.change_endpoint(&project, &bounds(0.25, 0.25));
    let load = Load::start(&server).await;
    server.until_true("it is measured", || server.endpoint_of(&project)["live"]["measured"] == true);
    assert_eq!(cu(&server, &project), 0.25, "a wake is not limited, but then it begins small");

    // Others may take the processors meanwhile, so it may take more than one try to see the throughput follow.
    let (mut small, mut large) = (0, 0);
    for _ in 0..8 {
        server.change_endpoint(&project, &bounds(0.25, 0.25));
        server.until_true("its bounds hold at once", || cu(&server, &project) == 0.25);
        small = load.throughput().await;
        server.change_endpoint(&project, &bounds(0.25, 0.5));
        server.until_true("it grows", || cu(&server, &project) == 0.5);
        large = load.throughput().await;
        if large * 10 >= small * 13 {
            break;
        }
    }
    assert!(large * 10 >= small * 13, "{small} statements with 0.25 CU, {large} with 0.5");
    let steps = resized(&server, &project);
    assert!(steps.contains(&(0.25, 0.5, "cpu".to_owned())), "{steps:?}");
    let uses = server.endpoint_of(&project)["live"].clone();
    assert!(uses["cpu_cores"].as_f64().unwrap() > 0.05, "{uses}");
    assert!(uses["memory_bytes"].as_u64().unwrap() > 0 && uses["connections"] == 2, "{uses}");
    assert_eq!(uses["memory_limit_bytes"], 2_u64 << 30, "{uses}");

    // The next server finds it as it is.
    load.stop().await;
    server.kill_9();
    server.start_again();
    assert_eq!(cu(&server, &project), 0.5, "adopted with its size");

    let idle = Mono::now();
    while cu(&server, &project) > 0.25 {
        assert!(idle.elapsed() < SHRINKS_WITHIN, "{:?}\n{}", resized(&server, &project), server.log());
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert!(idle.elapsed() > Duration::from_secs(50), "not before a minute is over");
    assert_eq!(resized(&server, &project).last(), Some(&(0.5, 0.25, "idle".to_owned())));
    assert!(server.metrics().contains("dormouse_resizes_total"));
    assert!(server.stop().1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compute_under_load_grows_and_shrinks_and_its_throughput_follows() {
    if let Controllers::Missing(why) = Controllers::examine() {
        note(&format!("no controllers here: {why}"));
        return;
    }
    grows_and_shrinks("auto").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_wait_for_a_pool_make_it_grow() {
    if let Controllers::Missing(why) = Controllers::examine() {
        note(&format!("no controllers here: {why}"));
        return;
    }
    let mut server = Server::start(&[]);
    let project = server.default_project();
    server.cli_json(&["pooler", "config", "default_pool_size=1"]);
    server.change_endpoint(&project, &bounds(0.25, 0.5));
    let pooled = server.ready()["pooled_connection_string"].as_str().unwrap().to_owned();
    let (has, wants) =
        (server.try_connect(&pooled).await.unwrap(), server.try_connect(&pooled).await.unwrap());
    server.until_true("it is measured", || server.endpoint_of(&project)["live"]["measured"] == true);
    has.simple_query("begin").await.unwrap();
    let waits = task(async move { wants.simple_query("select 1").await.map(|_| ()) });
    server.until_true("it grows", || resized(&server, &project) == [(0.25, 0.5, "pool_wait".to_owned())]);
    assert_eq!(server.endpoint_of(&project)["live"]["pool_waiting"], 1);
    has.simple_query("commit").await.unwrap();
    waits.await.unwrap().unwrap();
    server.until_true("nobody waits", || server.endpoint_of(&project)["live"]["pool_waiting"] == 0);
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
    let client = server.connect().await;
    let warmed = |events: &[Value]| {
        events.iter().filter(|event| event["kind"] == "prewarmed").cloned().collect::<Vec<_>>()
    };
    server.until_true("it is warmed", || warmed(&server.events_of(&project)).len() == 2);
    let last = warmed(&server.events_of(&project))[0].clone();
    // 10 MB are 40 chunks; catalogs come on top.
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
