//! `dormouse pool -R`: a new process takes over from the one that runs, with its sockets and its clients.

use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use dormouse_compute::sandbox::process;
use dormouse_runtime::task::Scope;
use dormouse_tests::raw::{PROTOCOL_3_0, Raw, prefixed, startup};
use rustix::process::Signal;
use tokio::io::AsyncReadExt;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::pool_ini::{Pooler, WITHIN, server};

/// SSLRequest, behind its length.
const ASK_FOR_TLS: [u8; 4] = [4, 0xd2, 0x16, 0x2f];

/// Of most of the pools.
const SETTINGS: &str = "auth_type = scram-sha-256\npool_mode = transaction";

/// Starts a process in the place of the one that runs, which is returned.
fn replace(pooler: &mut Pooler) -> Child {
    let old = pooler.child.take().unwrap();
    let mut command = pooler.command();
    command.arg("-R").stdout(Stdio::piped());
    pooler.start_with(command);
    old
}

/// The console's own account sees how many clients of the database the new process has.
fn clients(pooler: &Pooler) -> usize {
    let admin = pooler.console();
    pooler.psql(&admin, "show clients").good().lines().filter(|line| line.contains("|db|")).count()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WITHIN, waited).await.unwrap_or_else(|_| panic!("{what}"));
}

async fn ends(mut old: Child) {
    until("the old process ends", || old.try_wait().unwrap().is_some()).await;
    assert!(old.wait().unwrap().success());
}

async fn ask(client: &Client, sql: &str) -> String {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_takes_the_sockets_over() {
    let Some(foreign) = server(15) else { return };
    let mut pooler = Pooler::started(&foreign, SETTINGS);
    let client = pooler.connect("s", "new", "db").await;
    let mut old = replace(&mut pooler);
    for host in ["127.0.0.1".to_owned(), pooler.dir.path().display().to_string()] {
        assert_eq!(pooler.psql(&pooler.dsn(&host, "s", "new", "db"), "select 1").good(), "1", "{host}");
    }
    client.batch_execute("select 1").await.unwrap();
    drop(client);
    assert!(old.wait().unwrap().success());
    let pid = std::fs::read_to_string(pooler.path("pid")).unwrap();
    assert_eq!(pid.trim().parse(), Ok(pooler.child.as_ref().unwrap().id()));
    let socket = pooler.dir.path().display().to_string();
    assert_eq!(pooler.psql(&pooler.dsn(&socket, "s", "new", "db"), "select 2").good(), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_go_on_in_the_process_that_takes_over() {
    let Some(foreign) = server(15) else { return };
    let mut pooler = Pooler::new();
    // A verifier is all that is known here, so the server is shown what logins have left.
    let verifier = foreign.sql("postgres", "select rolpassword from pg_authid where rolname = 's'");
    pooler.write(
        &format!("db = host=127.0.0.1 port={} dbname=postgres", foreign.port()),
        "auth_type = scram-sha-256\npool_mode = transaction",
        &format!("\"s\" \"{verifier}\"\n"),
    );
    pooler.start();
    let rests = pooler.connect("s", "new", "db").await;
    rests.batch_execute("set work_mem = '77MB'").await.unwrap();
    let adds = rests.prepare("select $1::int4 + 1").await.unwrap();
    let works = pooler.connect("s", "new", "db").await;
    works.batch_execute("begin; create temporary table t on commit drop as select 7 as v").await.unwrap();
    let sleeps = pooler.connect("s", "new", "db").await;
    let sleeps = Arc::new(sleeps);
    let sleeper = Arc::clone(&sleeps);
    let (tell, slept) = tokio::sync::oneshot::channel();
    Scope::new().spawn("test-sleeper", async move {
        let row = ask(&sleeper, "select pg_sleep(1)::text || 'slept'").await;
        tell.send(row).unwrap();
    });
    let listens = pooler.connect("s", "new", "db").await;
    listens.batch_execute("listen c").await.unwrap();

    let old = replace(&mut pooler);
    until("who rests goes on there", || clients(&pooler) > 0).await;
    assert_eq!(ask(&rests, "select current_setting('work_mem')").await, "77MB");
    assert_eq!(rests.query_one(&adds, &[&6_i32]).await.unwrap().get::<_, i32>(0), 7);
    assert_eq!(ask(&works, "select v::text from t").await, "7", "it is in the middle of a transaction");
    works.batch_execute("commit").await.unwrap();
    assert_eq!(slept.await.unwrap(), "slept");
    until("who worked follows", || clients(&pooler) == 3).await;
    let servers = "select count(*) from pg_stat_activity where usename = 's'";
    until("the old one keeps no servers but that of who stays", || foreign.sql("postgres", servers) == "2")
        .await;
    assert_eq!(ask(&listens, "select 'here'").await, "here");
    drop(listens);
    ends(old).await;

    for client in [&rests, &works, &*sleeps] {
        assert_eq!(ask(client, "select 'there'").await, "there");
    }
    let sleeping = rests.batch_execute("select pg_sleep(20)");
    tokio::pin!(sleeping);
    let token = rests.cancel_token();
    let ended = loop {
        tokio::select! {
            ended = &mut sleeping => break ended,
            () = tokio::time::sleep(Duration::from_millis(100)) => {
                token.cancel_query(tokio_postgres::NoTls).await.unwrap();
            }
        }
    };
    assert_eq!(ended.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED), "by the key it has always had");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_looked_up_goes_along_and_a_file_that_says_otherwise_counts() {
    let Some(foreign) = server(15) else { return };
    let mut pooler = Pooler::new();
    let port = foreign.port();
    foreign.sql("postgres", "create role x login password 'secret'");
    let entry = |name: &str| format!("{name} = host=127.0.0.1 port={port} dbname=postgres");
    let write = |pooler: &Pooler, databases: &str| {
        let password = dormouse_tests::foreign::PASSWORD;
        let list = format!("\"postgres\" \"{password}\"\n\"s\" \"new\"\n");
        pooler.write(
            databases,
            "auth_type = scram-sha-256\nauth_user = postgres\npool_mode = session",
            &list,
        );
    };
    write(&pooler, &[entry("db"), entry("gone")].join("\n"));
    pooler.start();
    let looked_up = pooler.connect("x", "secret", "db").await;
    assert_eq!(ask(&looked_up, "select session_user::text").await, "x");
    let other = pooler.connect("x", "secret", "db").await;
    let gone = pooler.connect("s", "new", "gone").await;

    write(&pooler, &entry("db"));
    let old = replace(&mut pooler);
    until("it is told", || gone.is_closed()).await;
    ends(old).await;
    for client in [&looked_up, &other] {
        assert_eq!(ask(client, "select session_user::text").await, "x");
    }
    assert!(pooler.log().contains("no such database: gone"), "{}", pooler.log());
    drop((looked_up, other));

    let forced = format!("{} user=s password=new", entry("db"));
    let client = pooler.connect("x", "secret", "db").await;
    write(&pooler, &forced);
    ends(replace(&mut pooler)).await;
    assert_eq!(ask(&client, "select session_user::text").await, "s", "as the file says now");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_stay_when_nobody_comes_for_them() {
    let Some(foreign) = server(15) else { return };
    let mut pooler = Pooler::started(&foreign, SETTINGS);
    let client = pooler.connect("s", "new", "db").await;
    client.batch_execute("set work_mem = '77MB'").await.unwrap();
    // psql has no use for what comes along with the answer.
    let admin = pooler.console();
    pooler.psql(&admin, "takeover clients").good();
    pooler.wait_for_log("clients stay here");
    assert_eq!(ask(&client, "select current_setting('work_mem')").await, "77MB");
    drop(client);
    assert!(pooler.ended());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_just_logging_in_is_let_in_and_follows() {
    let Some(foreign) = server(15) else { return };
    let mut pooler = Pooler::started(&foreign, SETTINGS);
    let mut raw = Raw::open(pooler.port).await;
    // Without TLS the answer is one letter, and then it waits for the client's name.
    raw.send(&prefixed(&ASK_FOR_TLS)).await;
    assert_eq!(raw.stream.read_u8().await.unwrap(), b'N');
    let old = replace(&mut pooler);
    raw.login(&startup(PROTOCOL_3_0, &[("user", "s"), ("database", "db")]), "new").await.unwrap();
    ends(old).await;
    raw.query("select 'there'").await;
    assert_eq!(raw.rows().await.unwrap(), ["there"]);
}

async fn begun(pooler: &Pooler) -> Client {
    let client = pooler.connect("s", "new", "db").await;
    client.batch_execute("begin").await.unwrap();
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_turned_away_on_the_way() {
    let Some(foreign) = server(15) else { return };
    // The old process has all connections that the role may have, and three clients where the new one takes one.
    foreign.sql("postgres", "alter role s connection limit 2");
    let mut pooler =
        Pooler::started(&foreign, &format!("{SETTINGS}\ndefault_pool_size = 2\nmax_client_conn = 3"));
    let written = std::fs::read_to_string(pooler.path("p.ini")).unwrap();
    let (one, two) = (begun(&pooler).await, begun(&pooler).await);
    let rests = Arc::new(pooler.connect("s", "new", "db").await);
    std::fs::write(pooler.path("p.ini"), written.replace("max_client_conn = 3", "max_client_conn = 1"))
        .unwrap();
    let old = replace(&mut pooler);
    until("who rests goes on there", || clients(&pooler) == 1).await;
    let (asker, (tell, told)) = (Arc::clone(&rests), tokio::sync::oneshot::channel());
    Scope::new().spawn("test-asker", async move {
        tell.send(ask(&asker, "select 'served'").await).unwrap();
    });
    let admin = pooler.console();
    pooler.psql(&admin, "disable db").good();
    tokio::time::sleep(Duration::from_millis(300)).await;
    for client in [&one, &two] {
        client.batch_execute("commit").await.unwrap();
    }
    assert_eq!(told.await.unwrap(), "served", "it has waited for a place");
    ends(old).await;
    for client in [&one, &two, &*rests] {
        assert_eq!(ask(client, "select 'there'").await, "there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_start_takes_nothing_and_a_paused_one_gives_nothing() {
    let Some(foreign) = server(15) else { return };
    let pooler = Pooler::started(&foreign, SETTINGS);
    let written = std::fs::read_to_string(pooler.path("p.ini")).unwrap();
    let refused = |why: &str| {
        let said = pooler.command().arg("-R").output().unwrap();
        assert!(!said.status.success());
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.contains(why), "{said}");
        assert_eq!(pooler.psql(&pooler.dsn("127.0.0.1", "s", "new", "db"), "select 1").good(), "1");
    };
    for (wrong, why) in [
        (
            "client_tls_sslmode = require\nclient_tls_cert_file = /nowhere/c\nclient_tls_key_file = /nowhere/k",
            "/nowhere/c",
        ),
        ("pidfile = /nowhere/pid", "/nowhere/pid"),
        ("logfile = /nowhere/log", "/nowhere/log"),
    ] {
        std::fs::write(pooler.path("p.ini"), format!("{written}\n[pgbouncer]\n{wrong}\n")).unwrap();
        refused(why);
    }
    std::fs::write(pooler.path("p.ini"), written).unwrap();
    let admin = pooler.console();
    pooler.psql(&admin, "pause").good();
    let said = pooler.command().arg("-R").output().unwrap();
    assert!(String::from_utf8_lossy(&said.stderr).contains("RESUME first"));
    pooler.psql(&admin, "resume").good();
    assert_eq!(pooler.psql(&pooler.dsn("127.0.0.1", "s", "new", "db"), "select 1").good(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_works_for_long_passes_through_all_that_came_meanwhile() {
    let Some(foreign) = server(15) else { return };
    let mut pooler = Pooler::started(&foreign, SETTINGS);
    let works = begun(&pooler).await;
    let first = replace(&mut pooler);
    // It is asked to end as well, as scripts do; that is under way.
    process::signal(first.id(), Signal::TERM);
    let second = replace(&mut pooler);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(ask(&works, "select 'works'").await, "works");
    works.batch_execute("commit").await.unwrap();
    ends(first).await;
    ends(second).await;
    assert_eq!((clients(&pooler), ask(&works, "select 'there'").await.as_str()), (1, "there"));
}
