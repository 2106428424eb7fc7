//! A PostgreSQL that cannot start: the client is told so, the operator why, and tries back off.

use std::os::unix::fs::FileExt;

use dormouse_tests::{Project, Server};
use serde_json::{Value, json};

/// Connects and must fail with this code; returns the hint.
async fn is_refused(server: &Server, project: &Project, code: &str) -> String {
    let error = server.try_connect(&project.dsn).await.unwrap_err();
    let told = error.as_db_error().unwrap_or_else(|| panic!("no word of the server: {error:?}"));
    assert_eq!(told.code().code(), code, "{told:?}");
    told.hint().unwrap_or_else(|| panic!("no hint: {told:?}")).to_owned()
}

fn failures(server: &Server, project: &Project) -> Vec<Value> {
    server.events_of(project).into_iter().filter(|e| e["kind"] == "start_failed").collect()
}

/// What `dormouse endpoint events` shows to the operator.
fn shown_to_the_operator(server: &Server, project: &Project) -> String {
    let output = server.cli(&["endpoint", "events", &project.endpoint, "--project", &project.id]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_bad_setting_is_reported_and_can_be_taken_back() {
    let mut server = Server::start(&[]);
    let project = server.create_project(&json!({}));
    server.change_endpoint(&project, &json!({ "settings": { "pg_settings": { "work_mem": "plenty" } } }));

    let hint = is_refused(&server, &project, "57P03").await;
    assert!(hint.contains("dormouse endpoint events"), "{hint}");
    let failed = server.until_event(&project, "start_failed");
    assert!(failed["log_tail"].to_string().contains("work_mem"), "{failed}");
    assert!(shown_to_the_operator(&server, &project).contains("work_mem"));

    // The next client does not start another try at once.
    is_refused(&server, &project, "57P03").await;
    assert_eq!(failures(&server, &project).len(), 1, "it backs off");
    // A person who asks gets a try, and an answer.
    let (status, reply) = server.act(&project, "start");
    assert_eq!(status, 503, "{reply}");
    server.until_true("the second failure is on the list", || failures(&server, &project).len() == 2);
    let waits: Vec<u64> =
        failures(&server, &project).iter().map(|e| e["retry_in_ms"].as_u64().unwrap()).collect();
    assert!(waits[0] > waits[1], "newest first, each waits longer: {waits:?}");

    // What was wrong may be right now: nobody waits.
    server.change_endpoint(&project, &json!({ "settings": { "pg_settings": {} } }));
    let client = server.try_connect(&project.dsn).await.unwrap();
    assert_eq!(client.query_one("select 1", &[]).await.unwrap().get::<_, i32>(0), 1);
    drop(client);
    assert!(server.stop().1);
}

#[tokio::test]
async fn a_corrupt_control_file_is_reported_and_can_be_put_right() {
    let mut server = Server::start(&[]);
    let project = server.create_project(&json!({}));
    let client = server.try_connect(&project.dsn).await.unwrap();
    client.batch_execute("create table t(n int); insert into t values (1)").await.unwrap();
    drop(client);
    assert_eq!(server.act(&project, "suspend").0, 200);
    let control = server.cluster_of(&project).join("global/pg_control");
    let good = std::fs::read(&control).unwrap();
    let file = std::fs::File::options().write(true).open(&control).unwrap();
    // Past the version numbers, so that only the checksum tells.
    file.write_all_at(&[0xff; 64], 64).unwrap();

    let hint = is_refused(&server, &project, "57P03").await;
    assert!(hint.contains("dormouse endpoint events"), "{hint}");
    let failed = server.until_event(&project, "start_failed");
    assert!(failed["log_tail"].to_string().contains("checksum"), "{failed}");
    assert!(server.processes_of(&project).is_empty());

    file.write_all_at(&good, 0).unwrap();
    // The back-off after one failure is a second; nobody has to ask for the next try.
    let start = dormouse_base::clock::Mono::now();
    let client = loop {
        match server.try_connect(&project.dsn).await {
            Ok(client) => break client,
            Err(error) => assert!(start.elapsed().as_secs() < 15, "{error:?}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    let rows: i64 = client.query_one("select count(*) from t", &[]).await.unwrap().get(0);
    assert_eq!(rows, 1);
    drop(client);
    assert!(server.stop().1);
}
