//! The ledger and the quotas, with a real server: what a clock beside it saw is what it tells, whatever dies meanwhile.

use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_tests::{Project, Server};
use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// How much may be missing of a time that no crash cut: transitions are stored at once.
const TOLERANCE: f64 = 1.0;

fn totals(server: &Server) -> Value {
    let (status, report) = server.api("GET", "/usage", &json!({}));
    assert_eq!(status, 200, "{report}");
    report["totals"].clone()
}

fn number(totals: &Value, name: &str) -> f64 {
    totals[name].as_f64().unwrap_or_else(|| panic!("{name} in {totals}"))
}

/// Waits until the transition to Stopped is stored.
fn settled(server: &Server, project: &Project) -> Value {
    assert_eq!(server.act(project, "suspend").0, 200);
    let mut last = Value::Null;
    server.until_true("the last use is stored", || {
        let now = totals(server);
        let same = now == last;
        last = now;
        std::thread::sleep(Duration::from_millis(250));
        same
    });
    last
}

fn pass(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

async fn ask(client: &Client) {
    client.query_one("select repeat('x', 100000)", &[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_used_is_told_once_whatever_dies() {
    let mut server = Server::start(&["--pause-timeout", "1h"]);
    let project = server.default_project();
    // It was perhaps awake for its first project; from here on only this test wakes it.
    let before = settled(&server, &project);
    let wakes = number(&before, "wakes");

    // Active, and the server dies in the middle; its compute lives on, and is adopted.
    let start = Mono::now();
    let client = server.connect().await;
    pass(1500);
    ask(&client).await;
    server.kill_9();
    pass(1500);
    server.start_again();
    let client = server.connect().await;
    ask(&client).await;
    pass(700);
    drop(client);
    let after = settled(&server, &project);
    let lived = start.elapsed().as_secs_f64();
    let active = number(&after, "active_seconds") - number(&before, "active_seconds");
    assert!(active <= lived && active >= 3.7 - TOLERANCE, "{active} of {lived}");
    let size = server.endpoint_of(&project)["autoscaling_limit_min_cu"].as_f64().unwrap();
    let cu = number(&after, "cu_seconds") - number(&before, "cu_seconds");
    assert!(cu >= (3.7 - TOLERANCE) * size, "{cu} of {lived} at {size}");
    assert_eq!(number(&after, "wakes") - wakes, 1.0, "an adoption is no wake");
    // The second answer at least; the first one's bytes were perhaps lost with the server.
    let egress = number(&after, "egress_bytes") - number(&before, "egress_bytes");
    assert!((100_000.0..250_000.0).contains(&egress), "{egress}");
    assert!(number(&after, "ingress_bytes") > number(&before, "ingress_bytes"));
    let queries = number(&after, "queries") - number(&before, "queries");
    assert!((1.0..=6.0).contains(&queries), "{queries}");

    // Paused, and the server dies; frozen computes are adopted, too.
    drop(server.connect().await);
    server.until_true("it pauses", || server.act(&project, "pause").0 == 200);
    let start = Mono::now();
    pass(700);
    server.kill_9();
    pass(700);
    server.start_again();
    let frozen = settled(&server, &project);
    let paused = number(&frozen, "paused_seconds") - number(&after, "paused_seconds");
    let lived = start.elapsed().as_secs_f64();
    assert!(paused <= lived && paused >= 1.4 - TOLERANCE, "{paused} of {lived}");

    // The compute dies with its server: nobody knows for how long it lived, so that is not counted.
    drop(server.connect().await);
    let postmaster = server.postmaster_of(&project);
    let awake = Mono::now();
    server.kill_9();
    dormouse_compute::sandbox::process::signal(postmaster, rustix::process::Signal::KILL);
    pass(1200);
    server.start_again();
    let dead = settled(&server, &project);
    let active = number(&dead, "active_seconds") - number(&frozen, "active_seconds");
    assert!(active <= awake.elapsed().as_secs_f64(), "{active}");
    assert!(server.stop().1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_server_goes_on_counting_and_what_is_stored_is_counted_while_none_runs() {
    let ports = [dormouse_tests::free_port().to_string(), dormouse_tests::free_port().to_string()];
    let mut server = Server::start(&["--pg-port", &ports[0], "--http-port", &ports[1]]);
    let project = server.default_project();
    let before = settled(&server, &project);
    let start = Mono::now();
    let client = server.connect().await;
    pass(1000);
    let replaced = server.take_over(&[], &[]).unwrap();
    ask(&client).await;
    pass(1000);
    drop((client, replaced));
    let after = settled(&server, &project);
    let lived = start.elapsed().as_secs_f64();
    let active = number(&after, "active_seconds") - number(&before, "active_seconds");
    assert!(active <= lived && active >= 2.0 - TOLERANCE, "{active} of {lived}");
    assert_eq!(number(&after, "wakes") - number(&before, "wakes"), 1.0);
    assert!(number(&after, "egress_bytes") - number(&before, "egress_bytes") >= 100_000.0, "{after}");

    // An orderly stop stores everything, also what is in the store.
    server.until_true("its branch is measured", || server.metrics().contains("reconciler=\"weigh\""));
    pass(1000);
    assert!(server.stop().1);
    pass(500);
    server.start_again();
    let stored = number(&totals(&server), "storage_byte_hours");
    // A fresh cluster has some 20 to 40 MB, for some seconds.
    assert!(stored > 1e6 / 3600.0 && stored < 100e6 / 60.0, "{stored}");
    let told = server.cli_json(&["usage", "--by", "hour"]);
    assert_eq!(told["granularity"], "hour");
    let periods: f64 =
        told["periods"].as_array().unwrap().iter().map(|p| number(&p["totals"], "active_seconds")).sum();
    assert!((periods - number(&told["totals"], "active_seconds")).abs() < 1e-6, "{told}");
    assert_eq!(told["branches"].as_array().unwrap().len(), 1, "{told}");
    assert!(server.stop().1);
}

fn http_query(server: &Server) -> (u16, Value) {
    let base = server.ready()["console"].as_str().unwrap().trim_end_matches('/').to_owned();
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut reply = agent
        .post(format!("{base}/sql"))
        .header("neon-connection-string", server.dsn())
        .send(json!({"query": "select 1", "params": []}).to_string())
        .unwrap();
    (reply.status().as_u16(), serde_json::from_str(&reply.body_mut().read_to_string().unwrap()).unwrap())
}

/// All ways in are closed, with the reason.
async fn is_refused(server: &Server) {
    let pooled = server.ready()["pooled_connection_string"].as_str().unwrap().to_owned();
    for dsn in [server.dsn().to_owned(), pooled] {
        let refused = match server.try_connect(&dsn).await {
            Err(error) => error,
            // A pooled client that finds a remembered greeting is told with its first statement.
            Ok(client) => client.simple_query("select 1").await.unwrap_err(),
        };
        let error = refused.as_db_error().unwrap_or_else(|| panic!("{refused:?}"));
        assert_eq!(error.code(), &SqlState::CONFIGURATION_LIMIT_EXCEEDED, "{error:?}");
        assert_eq!(error.message(), "the project's active time quota is used up");
        assert!(error.hint().unwrap().contains("dormouse quota set active_seconds"), "{error:?}");
    }
    let (status, error) = http_query(server);
    assert_eq!((status, &error["code"]), (400, &json!("53400")), "{error}");
}

async fn is_let_in(server: &Server) {
    let pooled = server.ready()["pooled_connection_string"].as_str().unwrap().to_owned();
    for dsn in [pooled, server.dsn().to_owned()] {
        let client = server.try_connect(&dsn).await.unwrap();
        client.simple_query("select 1").await.unwrap();
    }
    let (status, told) = http_query(server);
    assert_eq!(status, 200, "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_that_is_used_up_refuses_until_it_is_raised() {
    let mut server = Server::start(&[]);
    let project = server.default_project();
    is_let_in(&server).await;
    pass(1500);
    let path = format!("/projects/{}/quotas", project.id);

    // Nearly used up: it is said, and nothing else happens.
    let used = number(&settled(&server, &project), "active_seconds");
    assert!(used > 1.0, "{used}");
    let soft = json!({"quotas": [{"measure": "active_seconds", "limit": used * 1.1, "action": "suspend"}]});
    let (status, told) = server.api("PUT", &path, &soft);
    assert_eq!((status, &told["quotas"][0]["state"]), (200, &json!("soft")), "{told}");
    let event = server.until_event(&project, "quota_soft");
    assert_eq!(event["measure"], "active_seconds");

    // Used up while somebody works: the endpoint is suspended.
    let _client = server.connect().await;
    let hard = json!({"period": "month", "quotas": [{"measure": "active_seconds", "limit": used, "action": "suspend"}]});
    let (_, told) = server.api("PUT", &path, &hard);
    assert_eq!(told["quotas"][0]["state"], "exceeded", "{told}");
    assert!(told["quotas"][0]["resets_at"].as_str().unwrap().ends_with("-01T00:00:00Z"), "{told}");
    server.until_state(&project, "stopped");
    let event = server.until_event(&project, "quota_exceeded");
    assert_eq!(event["suspends"], true);
    is_refused(&server).await;
    let (status, error) = server.act(&project, "start");
    assert_eq!((status, &error["code"]), (429, &json!("quota-exceeded")), "{error}");

    // A new server knows it before it lets anybody in.
    server.kill_9();
    server.start_again();
    is_refused(&server).await;
    assert_eq!(server.state(), "stopped");

    // Raised: they come in at once.
    let done = server.cli_json(&["quota", "set", "active_seconds=1000000"]);
    assert_eq!(done["quotas"][0]["action"], "suspend", "{done}");
    is_let_in(&server).await;

    // A limit that is reached between two heartbeats ends it then, and not ten seconds after the wake.
    let used = number(&settled(&server, &project), "active_seconds");
    let near = json!({"quotas": [{"measure": "active_seconds", "limit": used + 3.0, "action": "suspend"}]});
    assert_eq!(server.api("PUT", &path, &near).0, 200);
    let client = server.connect().await;
    server.until_state(&project, "stopped");
    drop(client);
    let lived = number(&settled(&server, &project), "active_seconds") - used;
    assert!((2.9..8.0).contains(&lived), "{lived}");
    assert_eq!(server.cli_json(&["quota", "set", "active_seconds=1000000"])["quotas"][0]["state"], "ok");

    // Neon's words for the same.
    let neon = |seconds: u64| json!({"project": {"settings": {"quota": {"active_time_seconds": seconds}}}});
    let (status, told) = server.api("PATCH", &format!("/projects/{}", project.id), &neon(1));
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["project"]["settings"]["quota"]["active_time_seconds"], 1);
    server.until_state(&project, "stopped");
    is_refused(&server).await;
    assert_eq!(server.api("PATCH", &format!("/projects/{}", project.id), &neon(0)).0, 200);
    is_let_in(&server).await;
    assert_eq!(server.api("GET", &path, &json!({})).1["quotas"], json!([]));
    assert!(server.stop().1);
}
