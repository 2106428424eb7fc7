//! Many at once: everybody is served, nothing is started twice, and sleepers cost nothing.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_base::{BranchId, EndpointId, ProjectId};
use dormouse_runtime::task::Scope;
use dormouse_tests::{Server, note};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_postgres::NoTls;

/// Connects, runs one statement, and returns its only number.
async fn ask(dsn: String, statement: &'static str) -> Result<i64, tokio_postgres::Error> {
    let (client, connection) = dsn.parse::<tokio_postgres::Config>()?.connect(NoTls).await?;
    Scope::new().spawn("storm-client", async move {
        let _ended = connection.await;
    });
    Ok(client.query_one(statement, &[]).await?.get(0))
}

async fn ask_all(dsns: Vec<String>, statement: &'static str) -> Vec<i64> {
    let all: JoinSet<_> = dsns.into_iter().map(|dsn| ask(dsn, statement)).collect();
    all.join_all().await.into_iter().map(|answer| answer.expect("everybody is served")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_sleepers_wake_at_the_same_instant() {
    let mut server = Server::start(&[]);
    let projects: Vec<_> = (0..20).map(|_| server.create_project(&json!({}))).collect();
    projects.iter().for_each(|p| assert_eq!(server.state_of(p), "stopped"));
    let start = Mono::now();
    let answers = ask_all(projects.iter().map(|p| p.dsn.clone()).collect(), "select 1::int8").await;
    note(&format!("20 sleepers woke in {:?}", start.elapsed()));
    assert_eq!(answers, vec![1; 20]);
    for project in &projects {
        let woke = server.until_event(project, "woke");
        assert_eq!(woke["cause"], "client", "{woke}");
        assert!(woke["phases"]["ready_us"].as_u64().unwrap() > 0, "{woke}");
    }
    let (took, well) = server.stop();
    assert!(well && took < Duration::from_secs(30), "{took:?}");
    assert!(server.computes().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_clients_of_one_sleeper_start_it_once() {
    let mut server = Server::start(&[]);
    let question = "select (extract(epoch from pg_postmaster_start_time()) * 1000000)::int8";
    let started: HashSet<i64> =
        ask_all(vec![server.dsn().to_owned(); 50], question).await.into_iter().collect();
    assert_eq!(started.len(), 1, "all are served by the same postmaster");
    let project = server.default_project();
    server.until_event(&project, "woke");
    let wakes = server.events_of(&project).iter().filter(|e| e["kind"] == "woke").count();
    assert_eq!(wakes, 1);
    let log = std::fs::read_to_string(server.home_of(&project).join("postgres.log")).unwrap();
    assert_eq!(log.matches("starting PostgreSQL").count(), 1, "{log}");
    assert!(server.stop().1);
}

/// User and system time of a process.
fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // USER_HZ is 100 wherever Linux runs PostgreSQL.
    Duration::from_millis(ticks * 10)
}

fn rss_megabytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Registers `count` more projects like the default one: rows only, as when their directories were
/// never used. (Making them through the API copies a cluster each, which is not what is measured.)
fn register(server: &Server, count: u32) {
    let db = rusqlite::Connection::open(server.data().join("metadata.sqlite")).unwrap();
    let copy = |table: &str, changes: &[(&str, &dyn rusqlite::ToSql)]| {
        let named = |name: &String| changes.iter().position(|(n, _)| n == name);
        let statement = db.prepare(&format!("SELECT * FROM {table} LIMIT 1")).unwrap();
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let values: Vec<String> =
            columns.iter().map(|c| named(c).map_or_else(|| c.clone(), |n| format!("?{}", n + 1))).collect();
        let sql = format!(
            "INSERT INTO {table} ({}) SELECT {} FROM {table} LIMIT 1",
            columns.join(", "),
            values.join(", ")
        );
        let values: Vec<&dyn rusqlite::ToSql> = changes.iter().map(|(_, value)| *value).collect();
        db.execute(&sql, &values[..]).unwrap();
    };
    for slot in 1..=count {
        let last = EndpointId::generate();
        let (project, branch) = (ProjectId::generate(), BranchId::generate());
        let (project, branch, endpoint) = (project.as_str(), branch.as_str(), last.as_str());
        let slot = 1000 + slot;
        copy("projects", &[("id", &project), ("name", &project)]);
        copy("branches", &[("id", &branch), ("storage_id", &branch), ("project_id", &project)]);
        copy(
            "endpoints",
            &[("id", &endpoint), ("project_id", &project), ("branch_id", &branch), ("slot", &slot)],
        );
        copy("roles", &[("branch_id", &branch)]);
        copy("databases", &[("id", &slot), ("branch_id", &branch)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_sleepers_cost_nothing() {
    let mut server = Server::start(&[]);
    assert!(server.stop().1);
    register(&server, 200);
    server.start_again();
    let (_, status) = server.api("GET", "/status", &Value::Null);
    let states = status["endpoints"].as_array().unwrap();
    assert!(states.len() > 200 && states.iter().all(|e| e["state"] == "stopped"), "{}", states.len());
    // What the start left to do (spares) must be over before anything is measured.
    let pid = server.pid();
    let (mut before, mut spent) = (cpu_time(pid), Duration::MAX);
    let patience = Mono::now();
    while spent >= Duration::from_millis(200) {
        assert!(patience.elapsed() < Duration::from_secs(20), "{spent:?} of CPU time in 3 s, asleep");
        tokio::time::sleep(Duration::from_secs(3)).await;
        let now = cpu_time(pid);
        (spent, before) = (now - before, now);
    }
    let rss = rss_megabytes(pid);
    note(&format!("200 sleepers: {rss} MB, and {spent:?} of CPU time in 3 s"));
    assert!(rss < 200, "{rss} MB");
    assert!(server.computes().is_empty());
    // The one among them that the store knows wakes as quickly as ever.
    assert_eq!(ask(server.dsn().to_owned(), "select 1::int8").await.unwrap(), 1);
    assert!(server.stop().1);
}
