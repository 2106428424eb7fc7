//! What is killed comes back, and nothing that was acknowledged is lost.
//!
//! [`ledger`] kills everything in turn under load and compares; [`broken`] is a PostgreSQL that
//! cannot start; here are the single crashes, with what everybody gets to know about them.

mod broken;
mod ledger;

use dormouse_compute::sandbox::process;
use dormouse_tests::{Project, Server, posix_segments, sysv_segments};
use rustix::process::Signal;
use serde_json::json;

/// Nothing of a compute may be left: no process, no shared memory.
pub(crate) fn nothing_is_left(server: &Server, project: &Project) {
    let uid = server.uid_of(project);
    assert_eq!(server.processes_of(project), Vec::<u32>::new());
    if uid != 0 && rustix::process::geteuid().is_root() {
        assert!(!process::any_of_user(uid), "a process of user {uid} is left");
        assert_eq!(sysv_segments(uid), []);
        assert_eq!(posix_segments(uid), Vec::<std::path::PathBuf>::new());
    }
}

/// The backend of a session, as PostgreSQL and the operating system know it.
async fn backend_of(client: &tokio_postgres::Client) -> u32 {
    let pid: i32 = client.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    u32::try_from(pid).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_postmaster_is_healed_and_everybody_is_told() {
    let mut server = Server::start(&[]);
    let project = server.default_project();
    let (idle, busy) = (server.connect().await, server.connect().await);
    idle.batch_execute("create table t(n int)").await.unwrap();
    let statement = tokio::task::JoinSet::from_iter([async move {
        busy.batch_execute("insert into t values (1); begin; insert into t values (2); select pg_sleep(60)")
            .await
    }]);
    server.until_true("the statement runs", || server.processes_of(&project).len() > 6);
    let killed = server.postmaster_of(&project);
    process::signal(killed, Signal::KILL);

    let error = statement.join_all().await.remove(0).unwrap_err();
    let told = error.code().map(|c| c.code().to_owned());
    assert!(
        matches!(told.as_deref(), Some("57P02" | "57P01")) || error.is_closed(),
        "a running statement ends with a clear word or a clean close: {error:?}"
    );
    let error = idle.simple_query("select 1").await.unwrap_err();
    let told = error.code().map(|c| c.code().to_owned());
    assert!(matches!(told.as_deref(), Some("57P02" | "57P01")) || error.is_closed(), "{error:?}");

    // Nobody connects: it comes back by itself.
    server.until_true("it is healed", || {
        let shown = server.endpoint_of(&project);
        shown["state"] == "active" && shown["pid"] != killed
    });
    let crashed = server.until_event(&project, "crashed");
    assert_eq!(crashed["how"], "signal 9", "{crashed}");
    assert!(crashed["log_tail"].is_array(), "{crashed}");
    server.until_true("the heal is on the list", || {
        server.events_of(&project).iter().any(|e| e["kind"] == "woke" && e["cause"] == "heal")
    });
    let again = server.connect().await;
    let rows: i64 = again.query_one("select count(*) from t", &[]).await.unwrap().get(0);
    assert_eq!(rows, 0, "one query is one transaction: without its commit nothing of it counts");
    drop(again);
    server.act(&project, "suspend");
    nothing_is_left(&server, &project);
    assert!(server.stop().1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_backend_ends_its_sessions_but_not_the_endpoint() {
    let mut server = Server::start(&[]);
    let project = server.default_project();
    let (victim, other) = (server.connect().await, server.connect().await);
    victim.batch_execute("create table t(n int); insert into t values (1)").await.unwrap();
    let postmaster = server.postmaster_of(&project);
    process::signal(backend_of(&victim).await, Signal::KILL);
    for session in [&victim, &other] {
        let error = loop {
            // PostgreSQL ends the other sessions a moment later.
            if let Err(error) = session.simple_query("select 1").await {
                break error;
            }
        };
        let told = error.code().map(|c| c.code().to_owned());
        assert!(matches!(told.as_deref(), Some("57P02" | "57P01")) || error.is_closed(), "{error:?}");
    }
    // PostgreSQL recovers by itself, and the proxy waits for it or says so.
    let start = dormouse_base::clock::Mono::now();
    let client = loop {
        match server.try_connect(server.dsn()).await {
            Ok(client) => break client,
            Err(error) => {
                let told = error.code().map(|c| c.code().to_owned());
                assert!(matches!(told.as_deref(), Some("57P03" | "57P02" | "57P01")), "{error:?}");
                assert!(start.elapsed().as_secs() < 20, "{error:?}");
            }
        }
    };
    let rows: i64 = client.query_one("select count(*) from t", &[]).await.unwrap().get(0);
    assert_eq!((rows, server.postmaster_of(&project)), (1, postmaster));
    drop(client);
    assert!(server.stop().1);
    assert!(server.computes().is_empty());
}

#[tokio::test]
async fn a_crash_while_paused_is_healed() {
    let mut server = Server::start(&[]);
    let project = server.create_project(&json!({}));
    let client = server.try_connect(&project.dsn).await.unwrap();
    client.batch_execute("create table t(n int); insert into t values (1)").await.unwrap();
    assert_eq!(server.act(&project, "pause").0, 200);
    let killed = server.postmaster_of(&project);
    process::signal(killed, Signal::KILL);
    server.until_true("it is healed", || {
        let shown = server.endpoint_of(&project);
        shown["state"] == "active" && shown["pid"] != killed
    });
    let again = server.try_connect(&project.dsn).await.unwrap();
    let rows: i64 = again.query_one("select count(*) from t", &[]).await.unwrap().get(0);
    assert_eq!(rows, 1);
    let error = client.simple_query("select 1").await.unwrap_err();
    let told = error.code().map(|c| c.code().to_owned());
    assert!(matches!(told.as_deref(), Some("57P02" | "57P01")) || error.is_closed(), "{error:?}");
    drop(again);
    assert!(server.stop().1);
    nothing_is_left(&server, &project);
}
