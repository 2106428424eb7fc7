//! Every installed PostgreSQL version goes through a whole life: made, used, paused, thawed, asleep,
//! awake, killed, healed.

use dormouse_compute::postgres::discover::Installations;
use dormouse_compute::sandbox::process;
use dormouse_tests::{Project, Server};
use rustix::process::Signal;
use serde_json::json;
use tokio_postgres::Client;

/// What must hold whatever the version.
const SETTINGS: [(&str, &str); 4] =
    [("fsync", "on"), ("full_page_writes", "on"), ("data_checksums", "on"), ("autovacuum", "on")];

async fn count(client: &Client) -> i64 {
    client.query_one("select count(*) from t", &[]).await.unwrap().get(0)
}

async fn whole_life(server: &Server, major: u16) {
    let project = server.create_project(&json!({ "pg_version": major }));
    let client = server.try_connect(&project.dsn).await.unwrap();
    let version: i32 =
        client.query_one("select current_setting('server_version_num')::int", &[]).await.unwrap().get(0);
    assert_eq!(version / 10_000, i32::from(major));
    for (name, wanted) in SETTINGS {
        let value: String = client.query_one("select current_setting($1)", &[&name]).await.unwrap().get(0);
        assert_eq!(value, wanted, "{name} in {major}");
    }
    client.batch_execute("create table t(n int); insert into t values (1)").await.unwrap();

    assert_eq!(server.act(&project, "pause").0, 200);
    assert_eq!(server.state_of(&project), "paused");
    client.batch_execute("insert into t values (2)").await.unwrap();
    assert_eq!(server.state_of(&project), "active", "a statement thaws it");

    assert_eq!(server.act(&project, "suspend").0, 200);
    assert_eq!(server.state_of(&project), "stopped");
    assert!(server.processes_of(&project).is_empty());
    let client = server.try_connect(&project.dsn).await.unwrap();
    assert_eq!(count(&client).await, 2);

    client.batch_execute("insert into t values (3)").await.unwrap();
    is_healed(server, &project).await;
}

async fn is_healed(server: &Server, project: &Project) {
    let killed = server.postmaster_of(project);
    process::signal(killed, Signal::KILL);
    server.until_true("it is healed without a client", || {
        let shown = server.endpoint_of(project);
        shown["state"] == "active" && shown["pid"] != killed
    });
    let client = server.try_connect(&project.dsn).await.unwrap();
    assert_eq!(count(&client).await, 3);
}

#[tokio::test]
async fn every_installed_version_lives_a_whole_life() {
    let mut server = Server::start(&[]);
    let majors: Vec<u16> = Installations::discover(&[]).iter().map(|i| i.major).collect();
    assert!(!majors.is_empty());
    for major in majors {
        whole_life(&server, major).await;
    }
    let (took, well) = server.stop();
    assert!(well && took.as_secs() < 30, "{took:?}");
    assert!(server.computes().is_empty());
}
