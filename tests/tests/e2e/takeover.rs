//! A new server takes over from the one that runs: nobody who connects is refused, clients at rest go on in it without
//! noticing, work under way ends well; and if either of the two dies on the way, the other one has everything.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_runtime::task::Scope;
use dormouse_tests::{Server, note};
use tokio_postgres::{Client, NoTls};

fn pooled(server: &Server) -> String {
    server.ready()["pooled_connection_string"].as_str().unwrap().to_owned()
}

async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
}

async fn text(client: &Client, sql: &str) -> String {
    client.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
}

/// Waits for what another process does.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Mono::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(40), "{what} does not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Clients that connect, ask and leave, for as long as it lives.
struct Storm {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    scope: Scope,
    failures: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Storm {
    fn of(dsns: &[String]) -> Self {
        let storm = Self {
            stop: Arc::default(),
            served: Arc::default(),
            scope: Scope::new(),
            failures: Arc::default(),
        };
        for dsn in dsns.iter().cycle().take(6) {
            let dsn = dsn.clone();
            let (stop, served) = (Arc::clone(&storm.stop), Arc::clone(&storm.served));
            let failures = Arc::clone(&storm.failures);
            storm.scope.spawn("storm", async move {
                while !stop.load(Ordering::Relaxed) {
                    match once(&dsn).await {
                        Ok(()) => served.fetch_add(1, Ordering::Relaxed),
                        Err(error) => return failures.lock().unwrap().push(format!("{error:?}")),
                    };
                }
            });
        }
        storm
    }

    fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }

    /// Ends it; nobody may have failed.
    async fn calm(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        assert!(self.scope.close(Duration::from_secs(40)).await, "a client hangs");
        let failures = self.failures.lock().unwrap().clone();
        assert!(failures.is_empty(), "{failures:?}");
        self.served.load(Ordering::Relaxed)
    }
}

async fn once(dsn: &str) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = dsn.parse::<tokio_postgres::Config>()?.connect(NoTls).await?;
    let ask = async move {
        let got: i32 = client.query_one("select 1", &[]).await?.get(0);
        assert_eq!(got, 1);
        Ok(())
    };
    let (asked, connected) = tokio::join!(ask, connection);
    asked.and(connected)
}

/// A client over TLS.
struct Psql {
    child: std::process::Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Psql {
    fn start(uri: &str) -> Self {
        let mut command = Command::new("psql");
        command.args(["-X", "-A", "-t", "-q", "-w", uri]).env("HOME", "/nonexistent");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, answers }
    }

    fn ask(&mut self, sql: &str) -> String {
        writeln!(self.child.stdin.as_mut().unwrap(), "{sql};").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Psql {
    fn drop(&mut self) {
        // The end of its input is a goodbye.
        drop(self.child.stdin.take());
        let _reaped = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_do_not_notice_a_new_server() {
    let mut server = Server::start(&[]);
    let setup = server.connect().await;
    setup.batch_execute("create table t(n int8); create table told(n int8)").await.unwrap();
    let (postmaster, old_pid) = (server.postmaster(), server.pid());
    let key = server.ready()["api_key"].as_str().unwrap().to_owned();

    let rests = server.try_connect(&pooled(&server)).await.unwrap();
    rests.batch_execute("set app.who = 'anna'; set timezone = 'Asia/Tokyo'").await.unwrap();
    let prepared = rests.prepare("select count(*) + $1::int8 from t").await.unwrap();
    let told = rests.prepare("select * from told").await.unwrap();
    let session = server.try_connect(&format!("{}&pool_mode=session", server.dsn())).await;
    let direct = server.connect().await;
    direct.batch_execute("create temp table mine as select 42::int8 as n; listen news").await.unwrap();
    let backend = number(&direct, "select pg_backend_pid()::int8").await;
    let mut working = Vec::new();
    for dsn in [server.dsn().to_owned(), pooled(&server)] {
        let client = server.try_connect(&dsn).await.unwrap();
        client.batch_execute("begin; insert into t values (1)").await.unwrap();
        working.push(client);
    }

    let storm = Storm::of(&[server.dsn().to_owned(), pooled(&server)]);
    until("the storm begins", || storm.served() > 20).await;
    let mut old = tokio::task::block_in_place(|| server.take_over(&[], &[])).unwrap();
    let before = storm.served();
    until("the storm goes on", || storm.served() > before + 20).await;

    // At rest: here already, with all they had.
    assert_eq!(text(&rests, "show app.who").await, "anna");
    assert_eq!(text(&rests, "show timezone").await, "Asia/Tokyo");
    let counted: i64 = rests.query_one(&prepared, &[&10_i64]).await.unwrap().get(0);
    assert_eq!(counted, 10);
    assert_eq!(number(&direct, "select n from mine").await, 42);
    assert_eq!(number(&direct, "select pg_backend_pid()::int8").await, backend);
    direct.batch_execute("alter table told add also text").await.unwrap();
    let other = rests.query(&told, &[]).await.unwrap_err();
    assert_eq!(other.code().unwrap().code(), "0A000", "it was told of one column");
    drop(session);
    // At work: with the old one until they rest.
    assert!(old.lives(), "it has clients at work");
    for client in &working {
        client.batch_execute("insert into t values (2); commit; insert into t values (3)").await.unwrap();
    }
    assert!(old.ended(), "it ends well when nobody is left");
    for client in working.iter().chain([&rests, &direct, &setup]) {
        assert_eq!(number(client, "select count(*) from t").await, 6);
    }
    note(&format!("{} clients came during the takeover", storm.calm().await));

    // The new one is what everybody finds.
    assert_ne!(server.pid(), old_pid);
    assert_eq!(server.postmaster(), postmaster, "the compute goes on");
    assert_eq!(server.ready()["api_key"].as_str().unwrap(), key);
    assert_eq!(server.cli_json(&["status"])["endpoints"][0]["pid"], postmaster);
    assert_eq!(server.api_as(&key, "GET", "/status", &serde_json::Value::Null).0, 200);
    // It has the life of the compute in its hands, and its cancel keys.
    let cancel = direct.cancel_token();
    let sleeping = async { direct.batch_execute("select pg_sleep(60)").await.unwrap_err() };
    let cancelling = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        cancel.cancel_query(NoTls).await.unwrap();
    };
    let (cancelled, ()) = tokio::join!(sleeping, cancelling);
    assert_eq!(cancelled.code().unwrap().code(), "57014");
    let project = server.default_project();
    server.until_true("it pauses", || server.act(&project, "pause").0 == 200);
    assert_eq!(number(&direct, "select n from mine").await, 42, "it thaws for a session that moved");
    assert_eq!(server.act(&project, "suspend").0, 200);
    assert_eq!(number(&rests, "select count(*) from t").await, 6, "it wakes for a client that moved");
    assert_eq!(text(&rests, "show app.who").await, "anna");

    // And once more, of one that took over, with a sleeping compute. Who came over TLS stays where it is, and has the
    // new server wake what it needs.
    let mut encrypted = Psql::start(&format!("{}&sslmode=require", pooled(&server)));
    assert_eq!(encrypted.ask("select 'before'"), "before");
    assert_eq!(server.act(&project, "suspend").0, 200);
    let mut old = tokio::task::block_in_place(|| server.take_over(&[], &[])).unwrap();
    assert_eq!(encrypted.ask("select 'after'"), "after");
    assert_eq!(server.state(), "active");
    assert!(old.lives());
    drop(encrypted);
    assert!(old.ended());
    assert_eq!(number(&rests, "select count(*) from t").await, 6);
    assert!(server.stop().1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_server_that_dies_changes_nothing() {
    let mut server = Server::start(&[]);
    let direct = server.connect().await;
    direct
        .batch_execute("create table t(n int8); create temp table mine as select 42::int8 as n")
        .await
        .unwrap();
    let rests = server.try_connect(&pooled(&server)).await.unwrap();
    rests.batch_execute("set app.who = 'anna'").await.unwrap();
    let works = server.try_connect(&pooled(&server)).await.unwrap();
    works.batch_execute("begin; insert into t values (1)").await.unwrap();
    let (postmaster, project) = (server.postmaster(), server.default_project());
    let storm = Storm::of(&[server.dsn().to_owned(), pooled(&server)]);
    for place in ["welcomed", "prepared", "owner", "serving"] {
        let armed = format!("takeover.ask.{place}=kill");
        let failed =
            tokio::task::block_in_place(|| server.take_over(&[], &[("DORMOUSE_FAILPOINTS", armed.as_str())]));
        assert!(failed.is_err(), "{place}: it was to die");
        assert!(server.ended().is_none(), "{place}: the old one goes on");
        let before = storm.served();
        until("the storm goes on", || storm.served() > before + 6).await;
        assert_eq!(number(&direct, "select n from mine").await, 42);
        assert_eq!(text(&rests, "show app.who").await, "anna");
        server.until_true("the API answers", || server.endpoint()["pid"] == postmaster);
    }
    works.batch_execute("commit").await.unwrap();
    note(&format!("{} clients came during four takeovers that failed", storm.calm().await));
    // Computes and control are in order.
    server.until_true("it pauses", || server.act(&project, "pause").0 == 200);
    assert_eq!(number(&direct, "select n from mine").await, 42);
    assert_eq!(server.act(&project, "suspend").0, 200);
    assert_eq!(number(&rests, "select count(*) from t").await, 1);
    // Another address is not this server's to give.
    let elsewhere = server.take_over(&["--listen", "127.0.0.2"], &[]).map(drop).unwrap_err();
    assert!(elsewhere.contains("a takeover keeps its addresses"), "{elsewhere}");
    let mut old = tokio::task::block_in_place(|| server.take_over(&[], &[])).unwrap();
    assert!(old.ended());
    assert_eq!(text(&rests, "show app.who").await, "anna");
    assert!(server.stop().1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_server_that_dies_leaves_everything_to_the_new_one() {
    for place in ["quiet", "given"] {
        let dir = dormouse_tests::passable_dir();
        let armed = format!("takeover.give.{place}=kill");
        let environment = [("DORMOUSE_FAILPOINTS", armed.as_str())];
        let mut server = Server::start_in(&dir.path().join("data"), &[], &environment);
        let client = server.connect().await;
        client.batch_execute("create table t(n int8); insert into t values (1)").await.unwrap();
        let postmaster = server.postmaster();
        let mut old = tokio::task::block_in_place(|| server.take_over(&[], &[])).unwrap();
        assert!(!old.ended(), "{place}: it was to die");
        assert_eq!(server.postmaster(), postmaster, "{place}");
        let client = server.connect().await;
        assert_eq!(number(&client, "select count(*) from t").await, 1, "{place}");
        assert!(server.stop().1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_move_is_served_until_the_time_is_up() {
    let mut server = Server::start(&["--idle-timeout", "1s"]);
    let (direct, project) = (server.connect().await, server.default_project());
    direct.batch_execute("create table t(n int8)").await.unwrap();
    let config: tokio_postgres::Config = pooled(&server).parse().unwrap();
    let (pinned, works) =
        (server.session_of(&config).await.unwrap(), server.session_of(&config).await.unwrap());
    pinned.client.batch_execute("create temp table mine as select 42::int8 as n").await.unwrap();
    works.client.batch_execute("begin; insert into t values (1)").await.unwrap();
    let mut old = tokio::task::block_in_place(|| server.take_over(&["--takeover-limit", "6s"], &[])).unwrap();
    // Asleep or awake, the old one's clients get to their backends through the new one.
    assert_eq!(number(&pinned.client, "select n from mine").await, 42);
    works.client.batch_execute("insert into t values (2)").await.unwrap();
    assert!(old.lives());
    let (told, broken) = (pinned.last_words().await, works.last_words().await);
    for error in [told, broken] {
        assert_eq!(error.code().code(), "57P01");
        assert!(error.message().contains("another server took over"), "{error:?}");
    }
    assert!(old.ended());
    assert_eq!(number(&direct, "select count(*) from t").await, 0, "the transaction is rolled back");
    // Nothing of the old one keeps it awake.
    server.until_state(&project, "paused");
    assert!(server.stop().1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_just_logging_in_is_let_in() {
    let mut server = Server::start(&[]);
    let awake = server.connect().await;
    // The old one has accepted them, and nothing has been said yet.
    let mut early = Vec::new();
    for dsn in [server.dsn().to_owned(), pooled(&server)] {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", server.pg_port())).await.unwrap();
        early.push((stream, dsn.parse::<tokio_postgres::Config>().unwrap()));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut old = tokio::task::block_in_place(|| server.take_over(&[], &[])).unwrap();
    let scope = Scope::new();
    for (stream, config) in early {
        let (client, connection) = config.connect_raw(stream, NoTls).await.unwrap();
        scope.spawn("client", async move {
            let _ended = connection.await;
        });
        assert_eq!(number(&client, "select 1::int8").await, 1);
    }
    assert!(scope.close(Duration::from_secs(10)).await);
    assert!(old.ended());
    assert_eq!(number(&awake, "select 1::int8").await, 1);
    assert!(server.stop().1);
}

#[test]
fn without_a_server_it_is_an_ordinary_start() {
    let mut server = Server::start(&["--takeover"]);
    assert!(server.log().contains("no server runs here to take over from"), "{}", server.log());
    assert!(server.stop().1);
}
