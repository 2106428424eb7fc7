//! Sessions and sleep: what is kept through a pause, what is said before a stop, what waits.

use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_compute::sandbox::process;
use dormouse_tests::raw::{PROTOCOL_3_0, Raw, prefixed, startup};
use dormouse_tests::{Project, Server};
use rustix::process::Signal;
use serde_json::json;

fn pause(server: &Server, project: &Project) {
    let (status, reply) = server.act(project, "pause");
    assert_eq!(status, 200, "{reply}");
    assert_eq!(server.state_of(project), "paused");
}

#[tokio::test]
async fn a_session_is_kept_through_a_pause() {
    let server = Server::start(&[]);
    let project = server.default_project();
    let client = server.connect().await;
    let setup = "set work_mem = '9MB'; set application_name = 'kept'; create temp table mine(n int);
        insert into mine values (1), (2); select setseed(0.5); listen ch";
    client.batch_execute(setup).await.unwrap();
    let statement = client
        .prepare("select sum(n), current_setting('work_mem'), pg_backend_pid() from mine")
        .await
        .unwrap();
    let pid: i32 = client.query_one(&statement, &[]).await.unwrap().get(2);
    for _ in 0..3 {
        pause(&server, &project);
        let row = client.query_one(&statement, &[]).await.unwrap();
        assert_eq!((row.get::<_, i64>(0), row.get::<_, &str>(1), row.get::<_, i32>(2)), (3, "9MB", pid));
        assert_eq!(server.state_of(&project), "active");
    }
    server.assert_clean_log(&[]);
}

/// Enough that chance is not what helps.
const ROUNDS: usize = 3;

#[tokio::test]
async fn messages_sent_to_a_paused_database_all_arrive() {
    let server = Server::start(&[]);
    let project = server.default_project();
    let packet = startup(PROTOCOL_3_0, &[("user", "app_owner"), ("database", "app")]);
    let mut raw = Raw::open(server.pg_port()).await;
    raw.login(&packet, &server.password()).await.unwrap();
    for _ in 0..ROUNDS {
        pause(&server, &project);
        // Several statements at once, and one in two pieces.
        for number in 0..20 {
            raw.query(&format!("select {number}")).await;
        }
        for number in 0..20 {
            assert_eq!(raw.rows().await.unwrap(), [number.to_string()]);
        }
        pause(&server, &project);
        raw.send(b"Q\0\0").await;
        raw.stream.set_nodelay(true).unwrap();
        raw.send(b"\0\x0fselect 77;").await;
        raw.send(b"\0").await;
        let got = raw.rows().await;
        assert_eq!(got.unwrap(), ["77"]);
    }
    // A goodbye wakes nobody.
    pause(&server, &project);
    let thaws = || server.events_of(&project).iter().filter(|e| e["kind"] == "thawed").count();
    raw.send(b"X\0\0\0\x04").await;
    assert_eq!(raw.rest(Duration::from_secs(10)).await, b"");
    assert_eq!(server.state_of(&project), "paused");
    // Two in each round; they are written down in the background.
    server.until_true("all thaws are written down", || thaws() >= 2 * ROUNDS);
    assert_eq!(thaws(), 2 * ROUNDS);
}

#[tokio::test]
async fn an_idle_session_is_told_why_it_ends() {
    let server = Server::start(&[]);
    let project = server.default_project();
    for through_pause in [false, true] {
        let (first, second) = (server.session().await, server.session().await);
        first.client.batch_execute("select 1").await.unwrap();
        if through_pause {
            pause(&server, &project);
        }
        assert_eq!(server.act(&project, "suspend").0, 200);
        for session in [first, second] {
            let words = session.last_words().await;
            assert_eq!((words.code().code(), words.severity()), ("57P01", "FATAL"), "{words:?}");
            assert!(words.detail().is_some_and(|d| d.contains("goes to sleep")), "{words:?}");
            assert!(words.hint().is_some_and(|h| h.contains("wakes up by itself")), "{words:?}");
        }
        assert_eq!(server.state_of(&project), "stopped");
    }
    server.assert_clean_log(&[]);
}

/// Three sessions meet one stop: a busy one finishes, then is told; one that comes meanwhile waits,
/// and is served by the next start.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_work_finish_and_turns_nobody_away() {
    let server = std::sync::Arc::new(Server::start(&[]));
    let project = server.default_project();
    let busy = server.session().await;
    busy.client.batch_execute("create table t(n int)").await.unwrap();
    let before = server.postmaster_of(&project);
    let (asker, at) = (std::sync::Arc::clone(&server), project.clone());
    let (sender, suspended) = tokio::sync::oneshot::channel();
    let work = busy.client.batch_execute(
        "begin; insert into t values (1); select pg_sleep(2); insert into t values (2); commit",
    );
    let rest = async {
        let watch = server.session().await;
        let sleeping = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
        while watch.client.query_one(sleeping, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        dormouse_runtime::task::thread("suspend", move || {
            let _gone = sender.send(asker.act(&at, "suspend"));
        });
        let words = watch.last_words().await;
        assert_eq!(words.code().code(), "57P01", "an idle session leaves at once");
        assert_eq!(server.state_of(&project), "stopping");
        let late = server.connect().await;
        late.query_one("select count(*) from t", &[]).await.unwrap().get::<_, i64>(0)
    };
    let (worked, seen) = tokio::join!(work, rest);
    worked.unwrap();
    assert_eq!(seen, 2, "the late session sees what the busy one committed");
    assert_eq!(busy.last_words().await.code().code(), "57P01");
    assert_eq!(suspended.await.unwrap().0, 200);
    assert_ne!(server.postmaster_of(&project), before, "served by the next start");
    server.assert_clean_log(&[]);
}

/// Another project beside it falls asleep in the same time, so this is not only slowness.
#[tokio::test]
async fn an_open_transaction_keeps_it_awake() {
    let server = Server::start(&["--idle-timeout", "1s", "--pause-timeout", "0"]);
    let (busy, idle) = (server.default_project(), server.create_project(&json!({ "name": "idle" })));
    let holder = server.session().await;
    holder.client.batch_execute("begin; create table t(n int)").await.unwrap();
    for _ in 0..2 {
        let other = server.try_connect(&idle.dsn).await.unwrap();
        other.batch_execute("select 1").await.unwrap();
        server.until_state(&idle, "stopped");
    }
    assert_eq!(server.state_of(&busy), "active");
    holder.client.batch_execute("insert into t values (1); commit").await.unwrap();
    let start = Mono::now();
    server.until_state(&busy, "stopped");
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(holder.last_words().await.code().code(), "57P01");
}

/// psql sends all of a file, whatever became of its first row.
#[tokio::test]
async fn what_is_left_of_a_failed_copy_keeps_nobody_awake() {
    let server = Server::start(&["--idle-timeout", "1s"]);
    let project = server.default_project();
    let mut raw = Raw::open(server.pg_port()).await;
    let packet = startup(PROTOCOL_3_0, &[("user", "app_owner"), ("database", "app")]);
    raw.login(&packet, &server.password()).await.unwrap();
    raw.query("create table t(n int)").await;
    raw.rows().await.unwrap();
    raw.query("copy t from stdin").await;
    assert_eq!(raw.message().await.unwrap().tag, b'G');
    let row = |text: &str| [b"d", prefixed(text.as_bytes()).as_slice()].concat();
    raw.send(&row("no number\n")).await;
    assert_eq!(raw.rows().await.unwrap_err().fields.code(), "22P02");
    for number in 0..1000 {
        raw.send(&row(&format!("{number}\n"))).await;
    }
    raw.send(&[&b"c"[..], &prefixed(b"")].concat()).await;
    server.until_state(&project, "paused");
    raw.query("select count(*) from t").await;
    assert_eq!(raw.rows().await.unwrap(), ["0"]);
    server.assert_clean_log(&[]);
}

/// The first of two statements has been answered, the second has not.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipelined_statement_may_finish_when_a_stop_begins() {
    let server = std::sync::Arc::new(Server::start(&[]));
    let project = server.default_project();
    server.connect().await.batch_execute("create table t(n int); insert into t values (1)").await.unwrap();
    let mut raw = Raw::open(server.pg_port()).await;
    let packet = startup(PROTOCOL_3_0, &[("user", "app_owner"), ("database", "app")]);
    raw.login(&packet, &server.password()).await.unwrap();
    let step = |sql: &str| {
        let parse = prefixed(format!("\0{sql}\0\0\0").as_bytes());
        let (bind, execute, sync) = (prefixed(&[0; 8]), prefixed(&[0; 5]), prefixed(b""));
        [&b"P"[..], &parse, b"B", &bind, b"E", &execute, b"S", &sync].concat()
    };
    let slow = "update t set n = 2 where pg_sleep(2)::text = ''";
    raw.send(&[step("select 1"), step(slow)].concat()).await;
    assert_eq!(raw.rows().await.unwrap(), ["1"]);
    let (asker, at) = (std::sync::Arc::clone(&server), project.clone());
    let (sender, suspended) = tokio::sync::oneshot::channel();
    dormouse_runtime::task::thread("suspend", move || {
        let _gone = sender.send(asker.act(&at, "suspend"));
    });
    assert!(raw.rows().await.is_ok(), "it is not cut off");
    assert_eq!(raw.error().await.fields.code(), "57P01");
    assert_eq!(suspended.await.unwrap().0, 200);
    let n: i32 = server.connect().await.query_one("select n from t", &[]).await.unwrap().get(0);
    assert_eq!(n, 2, "it was committed, and the client knows");
    server.assert_clean_log(&[]);
}

/// psql behind a pager. What it works with dies, and comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_keeps_no_later_run_awake() {
    let server = Server::start(&["--idle-timeout", "1s"]);
    let project = server.default_project();
    let mut raw = Raw::open(server.pg_port()).await;
    let packet = startup(PROTOCOL_3_0, &[("user", "app_owner"), ("database", "app")]);
    raw.login(&packet, &server.password()).await.unwrap();
    raw.query("copy (select repeat('x', 1000) from generate_series(1, 100000)) to stdout").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(server.state_of(&project), "active", "it is at work");
    let killed = server.postmaster_of(&project);
    process::signal(killed, Signal::KILL);
    server.until_true("it is healed, and sleeps", || {
        let shown = server.endpoint_of(&project);
        shown["state"] == "paused" && shown["pid"] != killed
    });
    let again: i32 = server.connect().await.query_one("select 1", &[]).await.unwrap().get(0);
    assert_eq!(again, 1);
    drop(raw);
}
