//! `dormouse pool` while an operator holds it up: PAUSE by signal and by the console, with another configuration, an
//! absent server, sessions and listeners; and what RECONNECT and limits of time mean for who keeps a server.

use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_tests::foreign::Foreign;
use rustix::process::Signal;
use tokio_postgres::Client;

use crate::pool_ini::{Pooler, WITHIN, server};

/// Long enough for a statement that does not wait.
const A_WHILE: Duration = Duration::from_millis(300);

fn pooler(foreign: &Foreign, database: &str, settings: &str) -> Pooler {
    let mut pooler = Pooler::new();
    configure(&pooler, foreign, database, settings);
    pooler.start();
    pooler
}

fn configure(pooler: &Pooler, foreign: &Foreign, database: &str, settings: &str) {
    pooler.write(
        &format!("db = host=127.0.0.1 port={} {database}", foreign.port()),
        &format!("auth_type = scram-sha-256\nadmin_users = admin\n{settings}"),
        "\"s\" \"new\"\n\"admin\" \"admin\"\n",
    );
}

fn console(pooler: &Pooler, command: &str) -> String {
    pooler.psql(&pooler.dsn("127.0.0.1", "admin", "admin", "pgbouncer"), command).good()
}

async fn text(client: &Client, sql: &str) -> String {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_configuration_does_not_end_the_pause_and_holds_for_who_waits() {
    let Some(foreign) = server(15) else { return };
    foreign.sql("postgres", "create database other");
    let pooler = pooler(&foreign, "dbname=postgres", "pool_mode = transaction");
    const WHERE: &str = "select current_database()::text";
    let before = pooler.connect("s", "new", "db").await;
    assert_eq!(text(&before, WHERE).await, "postgres");
    pooler.signal(Signal::USR1);
    pooler.wait_for_log("paused: nothing runs");
    let waits = text(&before, WHERE);
    tokio::pin!(waits);
    assert!(tokio::time::timeout(A_WHILE, &mut waits).await.is_err());

    configure(&pooler, &foreign, "dbname=other", "pool_mode = transaction");
    pooler.signal(Signal::HUP);
    pooler.wait_for_log("was read again");
    let late = pooler.connect("s", "new", "db").await;
    let late_waits = text(&late, WHERE);
    tokio::pin!(late_waits);
    assert!(tokio::time::timeout(A_WHILE, &mut waits).await.is_err(), "it waits on");
    assert!(tokio::time::timeout(A_WHILE, &mut late_waits).await.is_err(), "and so do others");

    pooler.signal(Signal::USR2);
    assert_eq!(waits.await, "other");
    assert_eq!(late_waits.await, "other");
}

#[test]
fn the_signal_closes_servers_that_rest_and_suspend_does_not() {
    let Some(foreign) = server(15) else { return };
    let pooler = pooler(&foreign, "dbname=postgres", "pool_mode = transaction\nquery_wait_timeout = 1");
    let dsn = pooler.dsn("127.0.0.1", "s", "new", "db");
    let servers = || foreign.sql("postgres", "select count(*) from pg_stat_activity where usename = 's'");
    assert_eq!(pooler.psql(&dsn, "select 1").good(), "1");
    assert_eq!(servers(), "1");
    // It is over with its operator, as with PgBouncer.
    console(&pooler, "suspend");
    pooler.wait_for_log("admin disappeared when suspended, doing RESUME");
    assert_eq!(servers(), "1");
    assert_eq!(pooler.psql(&dsn, "select 1").good(), "1");
    pooler.signal(Signal::USR1);
    pooler.wait_for_log("paused: nothing runs");
    let start = Mono::now();
    while servers() != "0" {
        assert!(start.elapsed() < WITHIN, "they are closed");
    }
    // PAUSE is not.
    assert!(pooler.psql(&dsn, "select 1").bad().contains("query_wait_timeout"));
    console(&pooler, "resume");
    assert_eq!(pooler.psql(&dsn, "select 1").good(), "1");
}

#[test]
fn pause_does_not_wait_for_a_server_that_is_away() {
    let Some(mut foreign) = server(15) else { return };
    let pooler = pooler(&foreign, "dbname=postgres", "pool_mode = transaction\nserver_login_retry = 15");
    let dsn = pooler.dsn("127.0.0.1", "s", "new", "db");
    assert_eq!(pooler.psql(&dsn, "select 1").good(), "1");
    foreign.stop();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| pooler.psql(&dsn, "select 2"));
        pooler.wait_for_log("cannot connect to a server");
        let start = Mono::now();
        console(&pooler, "pause");
        assert!(start.elapsed() < WITHIN);
        foreign.run();
        assert!(!waiting.is_finished(), "it waits for RESUME");
        console(&pooler, "resume");
        assert_eq!(waiting.join().unwrap().good(), "2");
        assert!(start.elapsed() < Duration::from_secs(10), "and not for server_login_retry");
    });
}

#[test]
fn what_a_database_was_ordered_and_what_everything_was_stand_beside_each_other() {
    let Some(foreign) = server(15) else { return };
    let pooler = pooler(&foreign, "dbname=postgres", "pool_mode = transaction\nquery_wait_timeout = 1");
    let say = |command: &str| pooler.psql(&pooler.dsn("127.0.0.1", "admin", "admin", "pgbouncer"), command);
    let done = |commands: &[&str]| commands.iter().for_each(|it| drop(say(it).good()));
    let refused = |command: &str, why: &str| {
        let said = say(command).bad();
        assert!(said.contains(why), "{command}: {said}");
    };
    let runs = || {
        let said = pooler.psql(&pooler.dsn("127.0.0.1", "s", "new", "db"), "select 1");
        assert!(said.ok || said.err.contains("query_wait_timeout"), "{}", said.err);
        said.ok
    };
    const NOT_PAUSED: &str = "pooler is not paused/suspended";
    done(&["pause db", "pause", "resume"]);
    assert!(!runs(), "RESUME of everything has ended PAUSE of one");
    refused("resume", NOT_PAUSED);
    refused("suspend", "cannot suspend with paused databases");
    done(&["resume db"]);
    assert!(runs());
    done(&["pause"]);
    refused("resume db", "database db is not paused");
    for command in ["pause", "pause db", "kill db", "kill", "suspend"] {
        refused(command, "already suspended/paused");
    }
    assert!(!runs());
    // By the signal, too.
    pooler.signal(Signal::USR2);
    pooler.wait_for_log("resumed");
    assert!(runs());
    refused("resume", NOT_PAUSED);
    pooler.signal(Signal::USR1);
    pooler.wait_for_log("paused: nothing runs");
    refused("pause db", "already suspended/paused");
    done(&["resume", "kill db"]);
    refused("resume", NOT_PAUSED);
    assert!(!runs());
    // One RESUME ends KILL of everything, and what was ordered before by name holds on.
    done(&["kill", "resume"]);
    assert!(!runs());
    done(&["resume db", "kill", "resume db"]);
    assert!(runs());
    done(&["resume"]);
    refused("resume", NOT_PAUSED);
    assert!(runs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pause_takes_the_servers_of_sessions_that_rest() {
    let Some(foreign) = server(15) else { return };
    let pooler = pooler(&foreign, "dbname=postgres", "pool_mode = session");
    let client = pooler.connect("s", "new", "db").await;
    client.batch_execute("set application_name = 'mine'").await.unwrap();
    const PID: &str = "select pg_backend_pid()::text";
    let pid = text(&client, PID).await;
    // One that is busy is waited for.
    let busy = pooler.connect("s", "new", "db").await;
    busy.batch_execute("begin").await.unwrap();
    std::thread::scope(|scope| {
        let paused = scope.spawn(|| console(&pooler, "pause"));
        std::thread::sleep(A_WHILE);
        assert!(!paused.is_finished());
        let runtime = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| runtime.block_on(busy.batch_execute("commit"))).unwrap();
        paused.join().unwrap();
    });
    assert_eq!(foreign.sql("postgres", "select count(*) from pg_stat_activity where usename = 's'"), "0");
    let waits = text(&client, PID);
    tokio::pin!(waits);
    assert!(tokio::time::timeout(A_WHILE, &mut waits).await.is_err());
    console(&pooler, "resume");
    assert_ne!(waits.await, pid);
    assert_eq!(text(&client, "show application_name").await, "mine");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_keeps_a_server_is_not_ended_for_doing_nothing() {
    let Some(foreign) = server(15) else { return };
    let settings = "pool_mode = transaction\nclient_idle_timeout = 1";
    let pooler = pooler(&foreign, "dbname=postgres", settings);
    let listener = pooler.connect("s", "new", "db").await;
    listener.batch_execute("listen news").await.unwrap();
    let other = pooler.connect("s", "new", "db").await;
    other.batch_execute("select 1").await.unwrap();
    pooler.wait_for_log("client_idle_timeout");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(other.batch_execute("select 1").await.is_err());
    listener.batch_execute("select 1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_busy_at_reconnect_ends_when_it_rests() {
    let Some(foreign) = server(15) else { return };
    let pooler = pooler(&foreign, "dbname=postgres", "pool_mode = session\nserver_fast_close = 1");
    let client = pooler.connect("s", "new", "db").await;
    client.batch_execute("begin").await.unwrap();
    console(&pooler, "reconnect");
    std::thread::scope(|scope| {
        let closed = scope.spawn(|| console(&pooler, "wait_close"));
        std::thread::sleep(A_WHILE);
        assert!(!closed.is_finished(), "its transaction runs");
        let runtime = tokio::runtime::Handle::current();
        let committed = tokio::task::block_in_place(|| runtime.block_on(client.batch_execute("commit")));
        assert!(committed.is_ok() || client.is_closed());
        closed.join().unwrap();
    });
}

/// Waits until a client is ended while it does nothing.
async fn until_ended(client: &Client) {
    let start = Mono::now();
    while !client.is_closed() {
        assert!(start.elapsed() < WITHIN, "it keeps its server");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_whose_entry_leads_elsewhere_now_ends_when_it_rests() {
    let Some(foreign) = server(15) else { return };
    let settings = "pool_mode = session\nserver_fast_close = ";
    let pooler = pooler(&foreign, "dbname=postgres", &format!("{settings}1"));
    let reload = |database: &str, fast: u8| {
        configure(&pooler, &foreign, database, &format!("{settings}{fast}"));
        console(&pooler, "reload");
    };
    let [rests, works] = [pooler.connect("s", "new", "db").await, pooler.connect("s", "new", "db").await];
    rests.batch_execute("select 1").await.unwrap();
    works.batch_execute("begin").await.unwrap();
    reload("dbname=postgres application_name=x", 1);
    until_ended(&rests).await;
    works.batch_execute("select 1").await.unwrap();
    assert!(works.batch_execute("commit").await.is_ok() || works.is_closed());
    until_ended(&works).await;
    // Without it they stay, and who has a new one has nothing to fear from it later.
    let stays = pooler.connect("s", "new", "db").await;
    stays.batch_execute("select 1").await.unwrap();
    reload("dbname=postgres application_name=y", 0);
    tokio::time::sleep(A_WHILE).await;
    stays.batch_execute("select 1").await.unwrap();
    let late = pooler.connect("s", "new", "db").await;
    late.batch_execute("select 1").await.unwrap();
    reload("dbname=postgres application_name=y", 1);
    until_ended(&stays).await;
    late.batch_execute("select 1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn guesses_at_once_are_not_for_free() {
    let Some(foreign) = server(15) else { return };
    let pooler = pooler(&foreign, "dbname=postgres", "pool_mode = transaction");
    let dsn = pooler.dsn("127.0.0.1", "s", "wrong", "db");
    let guess = || async {
        let error = tokio_postgres::connect(&dsn, tokio_postgres::NoTls).await.err().unwrap();
        error.code().map(|code| code.code().to_owned()).unwrap_or_default()
    };
    let told = futures_util::future::join_all((0..100).map(|_| guess())).await;
    let compared = told.iter().filter(|code| *code == "28P01").count();
    assert!((1..=20).contains(&compared), "{compared} of 100 were compared");
}
