//! pg_cron in a database that sleeps: the endpoint wakes by itself shortly before a job is due.

use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_compute::postgres::discover::Installations;
use dormouse_tests::{Server, note};
use serde_json::json;

/// A minute until the job, and what a busy machine needs.
const WITHIN: Duration = Duration::from_secs(85);

#[tokio::test]
async fn a_sleeping_database_wakes_for_its_job() {
    let installations = Installations::discover(&[]);
    let Some(major) = installations.iter().find(|i| i.has_library("pg_cron")).map(|i| i.major) else {
        note("pg_cron is installed for no version");
        return;
    };
    let mut server = Server::start(&["--idle-timeout", "1s", "--pause-timeout", "0"]);
    let project = server.create_project(&json!({
        "pg_version": major,
        "settings": { "preload_libraries": { "enabled_libraries": ["pg_cron"] } },
    }));
    let client = server.try_connect(&project.dsn).await.unwrap();
    client
        .batch_execute("create extension pg_cron; create table runs(at timestamptz default now(), n int)")
        .await
        .unwrap();
    client
        // Every minute is the most often that all versions of pg_cron understand.
        .batch_execute("select cron.schedule('job', '* * * * *', 'insert into runs(n) values (1)')")
        .await
        .unwrap();
    drop(client);
    server.until_state(&project, "stopped");
    let shown = server.endpoint_of(&project);
    assert!(shown["next_wake"].is_string(), "{shown}");

    // Nobody connects from here on. Its own order of events: asleep, awake for the job, asleep again.
    let events = || {
        let mut kinds = server.events_of(&project);
        kinds.reverse();
        kinds.retain(|e| e["kind"] == "woke" || e["kind"] == "stopped");
        kinds
    };
    let due = Mono::now();
    while !matches!(&events()[..], [.., a, b, c] if [a, b, c].map(|e| e["kind"].clone()) == ["stopped", "woke", "stopped"])
    {
        assert!(due.elapsed() < WITHIN, "{:?}\n{}", events(), server.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(events()[2]["cause"], "schedule", "{:?}", events());
    let client = server.try_connect(&project.dsn).await.unwrap();
    let runs = "select count(*) from runs where at < pg_postmaster_start_time()";
    let count: i64 = client.query_one(runs, &[]).await.unwrap().get(0);
    assert!(count >= 1, "the job ran in an earlier life of the database");
    drop(client);
    assert!(server.stop().1);
}
