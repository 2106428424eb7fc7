//! Settings of the pools of one endpoint, database or role.

use std::time::Duration;

use dormouse_tests::Server;
use serde_json::json;

/// Waiting for a backend ends after this long where the setting says so.
const WAIT: Duration = Duration::from_secs(1);

async fn refusal(server: &Server, dsn: &str) -> String {
    let error = server.try_connect(dsn).await.map(drop).expect_err("it is let in");
    error.code().unwrap_or_else(|| panic!("{error:?}")).code().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn they_hold_for_whom_they_are_meant_at_once_and_after_a_restart() {
    let mut server = Server::start(&[]);
    let project = server.default_project();
    let pooled = || server.ready()["pooled_connection_string"].as_str().unwrap().to_owned();
    let (first, dsn) = (server.try_connect(&pooled()).await.unwrap(), pooled());
    server.cli_json(&["pooler", "config", "--role", "app_owner", "max_user_client_connections=1"]);
    assert_eq!(refusal(&server, &dsn).await, "53300", "the pool is there, and is told at once");
    // Nearer to the client, so it wins.
    let nearer = ["--endpoint", &project.endpoint, "--role", "app_owner"];
    let change = ["max_user_client_connections=2", "pool_size=1", "query_wait_timeout=1"];
    server.cli_json(&[&["pooler", "config"][..], &nearer, &change].concat());
    let second = server.try_connect(&dsn).await.unwrap();
    assert_eq!(refusal(&server, &dsn).await, "53300");
    first.batch_execute("begin; select 1").await.unwrap();
    let start = dormouse_base::clock::Mono::now();
    let error = second.batch_execute("select 1").await.expect_err("there is one backend only");
    assert_eq!(error.code().unwrap().code(), "53300");
    assert!(start.elapsed() >= WAIT);

    drop((first, second));
    server.stop();
    server.start_again();
    let shown = server.cli_json(&["pooler", "config", "--role", "app_owner"]);
    assert_eq!(shown["settings"], json!([]));
    let layers = shown["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2, "{layers:?}");
    let near = layers.iter().find(|layer| layer["endpoint"] == project.endpoint.as_str()).unwrap();
    assert_eq!(near["settings"]["default_pool_size"], "1");
    let pooled = server.ready()["pooled_connection_string"].as_str().unwrap();
    let both = (server.try_connect(pooled).await.unwrap(), server.try_connect(pooled).await.unwrap());
    assert_eq!(refusal(&server, pooled).await, "53300");
    drop(both);
    server.assert_clean_log(&[]);
}

#[test]
fn what_is_wrong_is_told_and_changes_nothing() {
    let server = Server::start(&[]);
    let change = |body: &serde_json::Value| server.api("PATCH", "/pooler", body);
    let (status, told) = change(&json!({"role": "anna", "settings": {"max_client_conn": "5"}}));
    assert_eq!((status, told["code"].as_str()), (400, Some("bad-pool-setting")), "{told}");
    assert!(told["message"].as_str().unwrap().contains("max_client_conn"), "{told}");
    let (status, told) = change(&json!({"endpoint": "ep-none", "settings": {"pool_size": "5"}}));
    assert_eq!((status, told["code"].as_str()), (404, Some("endpoint-not-found")), "{told}");
    let both = json!({"role": "anna", "settings": {"pool_size": "5", "query_timeout": "soon"}});
    assert_eq!(change(&both).0, 400);
    assert!(server.api("GET", "/pooler", &json!({})).1.get("layers").is_none());
}
