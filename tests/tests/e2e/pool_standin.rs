//! `dormouse pool` where it must be PgBouncer's equal: who is let in and how, the console, peers.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Command, Stdio};

use dormouse_base::clock::Mono;
use dormouse_tests::foreign::PASSWORD;
use dormouse_tests::raw::{PROTOCOL_3_0, Raw, startup};
use dormouse_tests::say::{Say, exchange};
use rustix::process::Signal;
use tokio_postgres::error::SqlState;

use crate::pool_ini::{Pooler, WITHIN, server};

/// The account that runs the tests.
fn account() -> String {
    let said = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8_lossy(&said.stdout).trim().to_owned()
}

#[test]
fn roles_are_looked_up_on_a_server() {
    let Some(foreign) = server(15) else { return };
    let mut pooler = Pooler::new();
    let port = foreign.port();
    foreign.sql("postgres", "create role late login password 'x' valid until '1999-01-01'");
    pooler.write(
        &format!("db = host=127.0.0.1 port={port} dbname=postgres\nforced = host=127.0.0.1 port={port} dbname=postgres user=s\n\
             bad = host=127.0.0.1 port={port} dbname=postgres auth_query='select $1::text'\nnowhere = host=127.0.0.1 port={port} auth_dbname=none"),
        "auth_type = md5\nauth_user = postgres\npool_mode = transaction",
        &format!("\"postgres\" \"{PASSWORD}\"\n\"s\" \"new\"\n"),
    );
    pooler.start();
    let ask = |user: &str, password: &str, database: &str| {
        pooler.psql(&pooler.dsn("127.0.0.1", user, password, database), "select session_user")
    };
    // Stored as MD5, and as SCRAM: then the server gets what the client's own proof has left.
    foreign.sql("postgres", "create role x login password 'secret'");
    assert_eq!(ask("m", "old", "db").good(), "m");
    assert_eq!(ask("x", "secret", "db").good(), "x");
    assert_eq!(ask("x", "secret", "forced").good(), "s");
    for (user, password, database, wanted) in [
        ("m", "wrong", "db", "password authentication failed"),
        ("late", "x", "db", "password authentication failed"),
        ("nobody", "x", "db", "no such user"),
        ("m", "old", "bad", "bouncer config error"),
        ("m", "old", "nowhere", "bouncer config error"),
        ("m", "old", "missing", "password authentication failed"),
    ] {
        let said = ask(user, password, database).bad();
        assert!(said.contains(wanted), "{user} {database}: {said}");
    }
    let log = pooler.log();
    for line in [
        "db/nobody@127.0.0.1:",
        "closing because: no such user (age=",
        "expected 2 columns from auth_query",
        "authentication database \"none\" is not configured",
        "login attempt: db=db user=m tls=no",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
    assert!(!log.contains(PASSWORD));
}

#[test]
fn a_list_that_cannot_be_read_stops_nobody_else() {
    let Some(foreign) = server(15) else { return };
    let mut pooler = Pooler::new();
    let port = foreign.port();
    pooler.write(
        &format!(
            "db = host=127.0.0.1 port={port} dbname=postgres\n\
             asks = host=127.0.0.1 port={port} dbname=postgres user=postgres password='{PASSWORD}'"
        ),
        "auth_type = md5\nauth_user = postgres\nauth_dbname = asks\npool_mode = transaction",
        "",
    );
    let list = pooler.path("users.txt");
    std::fs::remove_file(&list).unwrap();
    pooler.start();
    let ask = |user: &str, password: &str| {
        pooler.psql(&pooler.dsn("127.0.0.1", user, password, "db"), "select session_user")
    };
    assert_eq!(ask("m", "old").good(), "m", "it is looked up");
    assert!(pooler.log().contains("ERROR could not open auth_file"), "{}", pooler.log());

    // Others than the server knows, so that it shows whose word counts.
    let admin = pooler.dsn(&pooler.dir.path().display().to_string(), "pgbouncer", "''", "pgbouncer");
    let reload = || pooler.psql(&admin, "reload").good();
    std::fs::write(&list, "\"clear\" \"plain\"\n\"m\" \"mine\"\ns hunter2\n").unwrap();
    reload();
    assert_eq!((ask("clear", "plain").good().as_str(), ask("s", "new").good().as_str()), ("clear", "s"));
    assert!(ask("m", "old").bad().contains("password authentication failed"));
    let log = pooler.log();
    assert!(log.contains("users.txt, line 3: expected") && !log.contains("hunter2"), "{log}");

    std::fs::remove_file(&list).unwrap();
    reload();
    assert!(
        ask("m", "old").bad().contains("password authentication failed"),
        "the list of before still counts"
    );
}

#[test]
fn the_hba_file_decides() {
    let Some(foreign) = server(15) else { return };
    let mut pooler = Pooler::new();
    std::fs::write(
        pooler.path("hba"),
        "local db all peer map=m\nhost db s 127.0.0.1/32 scram-sha-256\nhost db m 127.0.0.1/32 reject\n\
         host pgbouncer all 127.0.0.1/32 reject\nhost all s 127.0.0.1/32 scram-sha-256\n",
    )
    .unwrap();
    std::fs::write(pooler.path("names"), format!("m {} clear\n", account())).unwrap();
    let dir = pooler.dir.path().display().to_string();
    pooler.write(
        &format!("db = host=127.0.0.1 port={} dbname=postgres", foreign.port()),
        &format!(
            "auth_type = hba\nadmin_users = s\nauth_hba_file = {dir}/hba\nauth_ident_file = {dir}/names"
        ),
        "\"m\" \"old\"\n\"s\" \"new\"\n\"clear\" \"plain\"\n",
    );
    pooler.start();
    let ask = |host: &str, user: &str, password: &str| {
        pooler.psql(&pooler.dsn(host, user, password, "db"), "select session_user")
    };
    assert_eq!(ask("127.0.0.1", "s", "new").good(), "s");
    assert_eq!(ask(&dir, "clear", "''").good(), "clear", "the account is proof enough");
    assert!(ask(&dir, "s", "new").bad().contains("unix socket login rejected"));
    assert!(ask("127.0.0.1", "m", "old").bad().contains("login rejected"));
    for console in ["pgbouncer", "dormouse"] {
        let said = pooler.psql(&pooler.dsn("127.0.0.1", "s", "new", console), "show version").bad();
        assert!(said.contains("login rejected"), "{console}: {said}");
    }
    assert!(ask("127.0.0.1", "clear", "plain").bad().contains("no authentication method is found"));
    assert!(pooler.log().contains("ident map m cannot be matched"), "{}", pooler.log());
    std::fs::write(pooler.path("hba"), "host db all 127.0.0.1/32 nonsense\n").unwrap();
    let admin = pooler.dsn(&dir, "pgbouncer", "''", "pgbouncer");
    assert!(pooler.psql(&admin, "reload").bad().contains("RELOAD failed"));
    assert!(pooler.log().contains("hba, line 1") && ask("127.0.0.1", "s", "new").good() == "s");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_by_socket_shows_what_there_is_and_ends_the_pooler() {
    let Some(foreign) = server(15) else { return };
    let mut pooler = Pooler::new();
    let port = foreign.port();
    pooler.write(
        &format!("db = host=127.0.0.1 port={port} dbname=postgres\nidle = host=127.0.0.1 port={port} pool_size=3 user=s\n\
             kept = host=127.0.0.1 port={port} dbname=postgres user=s min_pool_size=2"),
        "auth_type = scram-sha-256\npool_mode = transaction\n[users]\nm = pool_size=7 max_user_client_connections=1",
        "\"s\" \"new\"\n\"m\" \"old\"\n",
    );
    pooler.start();
    let dir = pooler.dir.path().display().to_string();
    let admin = |sql: &str| pooler.psql(&pooler.dsn(&dir, "pgbouncer", "''", "pgbouncer"), sql);
    let client = pooler.connect("s", "new", "db").await;
    client.batch_execute("select 1").await.unwrap();
    let databases = admin("show databases").good();
    for name in ["db", "idle", "kept", "pgbouncer"] {
        assert!(databases.lines().any(|line| line.starts_with(&format!("{name}|"))), "{databases}");
    }
    let users = admin("show users").good();
    assert!(
        users.lines().any(|line| line.starts_with("m|        7||") && line.ends_with("|0|1|0")),
        "{users}"
    );
    let clients = admin("show clients").good();
    assert!(
        clients.lines().any(|line| line.contains("|pgbouncer|pgbouncer|")) && clients.contains("|s|db|"),
        "{clients}"
    );
    let servers = admin("show servers").good();
    assert!(servers.contains(&format!("|127.0.0.1|{port}|127.0.0.1|")), "{servers}");
    // Kept up without any client.
    let start = Mono::now();
    let count = "select count(*) from pg_stat_activity where usename = 's' and datname = 'postgres'";
    while foreign.sql("postgres", count) != "3" {
        assert!(start.elapsed() < WITHIN, "{}", admin("show pools").good());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let version = Command::new(dormouse_tests::binary()).args(["pool", "--version"]).output().unwrap();
    assert_eq!(admin("show version").good(), String::from_utf8_lossy(&version.stdout).trim());
    assert!(admin("kill nonsense").bad().contains("no such database: nonsense"));
    // By one operator, with whom it ends.
    let dsn = pooler.dsn(&dir, "pgbouncer", "''", "pgbouncer");
    let suspends = ["-XAtq", "-d", &dsn, "-c", "suspend", "-c", "show state", "-c", "resume"];
    let said = dormouse_tests::programs::run(std::path::Path::new("psql"), &suspends, &[]).good();
    assert!(said.contains("suspended|yes"), "{said}");
    assert!(admin("resume").bad().contains("not paused"));
    // Only when everybody has left; meanwhile nobody else comes in, but for the console.
    admin("shutdown wait_for_clients").good();
    assert!(admin("resume").bad().contains("shutting down"));
    assert!(pooler.psql(&pooler.dsn(&dir, "s", "new", "db"), "select 1").bad().contains("shutting down"));
    assert!(pooler.psql(&pooler.dsn("127.0.0.1", "s", "new", "db"), "select 1").bad().contains("refused"));
    client.batch_execute("select 1").await.unwrap();
    drop(client);
    assert!(pooler.ended());
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_end_and_none_begins_when_servers_are_waited_for() {
    let Some(foreign) = server(15) else { return };
    let mut pooler = Pooler::new();
    pooler.write(
        &format!("db = host=127.0.0.1 port={} dbname=postgres", foreign.port()),
        "auth_type = scram-sha-256\npool_mode = transaction",
        "\"s\" \"new\"\n",
    );
    pooler.start();
    let (inside, outside) = (pooler.connect("s", "new", "db").await, pooler.connect("s", "new", "db").await);
    inside.batch_execute("begin").await.unwrap();
    outside.batch_execute("select 1").await.unwrap();
    pooler.signal(Signal::INT);
    pooler.wait_for_log("no new connections");
    inside.batch_execute("select 1").await.unwrap();
    let error = outside.batch_execute("select 1").await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::PROTOCOL_VIOLATION));
    pooler.wait_for_log("closing because: server shutting down");
    inside.batch_execute("commit").await.unwrap();
    assert!(pooler.ended());
}

#[tokio::test]
async fn a_cancel_request_finds_the_process_whose_client_it_is_from() {
    let Some(foreign) = server(15) else { return };
    let mut first = Pooler::new();
    let mut second = Pooler::new();
    second.port = first.port;
    let dirs = [&first, &second].map(|pooler| pooler.dir.path().display().to_string());
    for (own, pooler) in [(1, &first), (2, &second)] {
        let port = pooler.port;
        pooler.write(
            &format!("db = host=127.0.0.1 port={} dbname=postgres", foreign.port()),
            &format!(
                "auth_type = scram-sha-256\nso_reuseport = 1\npeer_id = {own}\n[peers]\n\
                 1 = host={} port={port}\n2 = host={} port={port}",
                dirs[0], dirs[1]
            ),
            "\"s\" \"new\"\n",
        );
    }
    first.start();
    second.start();
    // Whichever has the client, some of these requests come to the other one.
    let client = first.connect("s", "new", "db").await;
    let watcher = first.connect("s", "new", "db").await;
    let token = client.cancel_token();
    for round in 0..6 {
        // Each has a text of its own: the one before is still active for a moment after it was told that it ended.
        let sleep = format!("select pg_sleep(20), {round}");
        let sleeping = client.batch_execute(&sleep);
        tokio::pin!(sleeping);
        // A request that comes before the statement is nobody's, in PostgreSQL too.
        let sleeps = format!("select 1 from pg_stat_activity where query = '{sleep}' and state = 'active'");
        let begun = async {
            while watcher.query(&sleeps, &[]).await.unwrap().is_empty() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            ended = &mut sleeping => panic!("it ended by itself: {ended:?}"),
            () = begun => {}
        }
        token.cancel_query(tokio_postgres::NoTls).await.unwrap();
        let ended = tokio::time::timeout(WITHIN, sleeping).await.expect("it is cancelled");
        assert_eq!(ended.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
    }
}

#[test]
fn replication_has_a_connection_of_its_own() {
    let Some(foreign) = server(15) else { return };
    foreign.sql("postgres", "alter role s replication");
    foreign.admit("host replication s 127.0.0.1/32 scram-sha-256");
    let mut pooler = Pooler::new();
    pooler.write(
        &format!("db = host=127.0.0.1 port={} dbname=postgres pool_size=1", foreign.port()),
        "auth_type = scram-sha-256\npool_mode = transaction",
        "\"s\" \"new\"\n\"m\" \"old\"\n",
    );
    pooler.start();
    let dsn = pooler.dsn("127.0.0.1", "s", "new", "db");
    assert_eq!(pooler.psql(&dsn, "select 1").good(), "1");
    // The only place of the pool is taken by an idle backend, which makes room.
    for kind in ["database", "true"] {
        let said =
            pooler.psql(&format!("{dsn} replication={kind} application_name=rep"), "IDENTIFY_SYSTEM").good();
        assert_eq!(said.split('|').count(), 4, "{said}");
    }
    assert!(pooler.log().contains("closing because: evicted"), "{}", pooler.log());
    let refused = pooler.dsn("127.0.0.1", "m", "old", "db") + " replication=database";
    assert!(pooler.psql(&refused, "IDENTIFY_SYSTEM").bad().contains("login failed"));
    assert_eq!(pooler.psql(&dsn, "select 2").good(), "2");
}

#[test]
fn a_service_manager_is_told_and_its_sockets_are_used() {
    let Some(foreign) = server(15) else { return };
    let mut pooler = Pooler::new();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    pooler.port = tcp.local_addr().unwrap().port();
    let path = pooler.path(&format!(".s.PGSQL.{}", pooler.port));
    let unix = UnixListener::bind(&path).unwrap();
    let manager = UnixDatagram::bind(pooler.path("notify")).unwrap();
    manager.set_read_timeout(Some(WITHIN)).unwrap();
    let told = || {
        let mut text = [0; 128];
        let length = manager.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    pooler.write(
        &format!("db = host=127.0.0.1 port={} dbname=postgres", foreign.port()),
        "auth_type = scram-sha-256",
        "\"s\" \"new\"\n",
    );
    let plain = pooler.command();
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec 3<&0 4<&2 </dev/null 2>/dev/null; LISTEN_PID=$$ LISTEN_FDS=2 exec \"$@\"", "sh"])
        .arg(plain.get_program())
        .args(plain.get_args())
        .current_dir(pooler.dir.path())
        .env("NOTIFY_SOCKET", pooler.path("notify"))
        .stdin(OwnedFd::from(tcp))
        .stderr(OwnedFd::from(unix))
        .stdout(Stdio::piped());
    pooler.start_with(command);
    assert_eq!(told(), "READY=1");
    for host in ["127.0.0.1".to_owned(), pooler.dir.path().display().to_string()] {
        assert_eq!(pooler.psql(&pooler.dsn(&host, "s", "new", "db"), "select 1").good(), "1", "{host}");
    }
    pooler.wait_for_log("sockets passed from service manager");
    pooler.signal(Signal::HUP);
    assert!(told().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(told(), "READY=1");
    pooler.signal(Signal::QUIT);
    assert_eq!(told(), "STOPPING=1");
    assert!(pooler.ended());
    assert!(path.exists(), "it is the manager's");
}

#[test]
fn orders_may_come_before_the_first_client_of_a_database() {
    let Some(foreign) = server(15) else { return };
    let mut pooler = Pooler::new();
    pooler.write(
        &format!("* = host=127.0.0.1 port={}", foreign.port()),
        "auth_type = scram-sha-256\nquery_wait_timeout = 1",
        "\"s\" \"new\"\n",
    );
    pooler.start();
    let dir = pooler.dir.path().display().to_string();
    let admin = |sql: &str| pooler.psql(&pooler.dsn(&dir, "pgbouncer", "''", "pgbouncer"), sql);
    let ask = |database: &str| {
        pooler.psql(&pooler.dsn("127.0.0.1", "s", "new", database), "select current_database()")
    };
    for undoing in ["resume", "enable"] {
        assert!(admin(&format!("{undoing} postgres")).bad().contains("no such database: postgres"));
    }
    admin("pause postgres").good();
    let shown = admin("show databases").good();
    assert!(shown.lines().any(|line| line.starts_with("postgres|")), "{shown}");
    assert!(ask("postgres").bad().contains("query_wait_timeout"));
    admin("resume postgres").good();
    assert_eq!(ask("postgres").good(), "postgres");
    admin("disable template1").good();
    assert!(ask("template1").bad().contains("is disabled"));
    admin("enable template1").good();
    assert_eq!(ask("template1").good(), "template1");
    for order in ["reconnect", "wait_close", "kill"] {
        admin(&format!("{order} of_{order}")).good();
    }
    assert!(admin("pause pgbouncer").bad().contains("cannot pause admin db"));
}

#[test]
fn a_database_that_was_made_since_is_found() {
    let Some(foreign) = server(15) else { return };
    let mut pooler = Pooler::new();
    pooler.write(
        &format!("* = host=127.0.0.1 port={}", foreign.port()),
        "auth_type = scram-sha-256\npool_mode = transaction\nserver_login_retry = 60",
        "\"s\" \"new\"\n",
    );
    pooler.start();
    let ask = || pooler.psql(&pooler.dsn("127.0.0.1", "s", "new", "later"), "select current_database()");
    assert!(ask().bad().contains("database \"later\" does not exist"));
    foreign.sql("postgres", "create database later");
    assert_eq!(ask().good(), "later");
}

#[tokio::test]
async fn a_taken_name_in_a_failed_transaction_is_postgresqls_to_refuse() {
    let Some(foreign) = server(15) else { return };
    let pooler = Pooler::started(&foreign, "auth_type = scram-sha-256\npool_mode = transaction");
    let mut raw = Raw::open(pooler.port).await;
    raw.login(&startup(PROTOCOL_3_0, &[("user", "s"), ("database", "db")]), "new").await.unwrap();
    let prepare = Say::new().parse("s1", "select 1").sync();
    exchange(&mut raw, &prepare, "1 Z:I").await;
    // As pgx does it when a table has changed under its statement: it forgets that, but can close nothing now.
    exchange(&mut raw, &Say::new().query("begin; select 1/0"), "C:BEGIN E:22012 Z:E").await;
    exchange(&mut raw, &prepare, "E:25P02 Z:E").await;
    exchange(&mut raw, &Say::new().query("rollback"), "C:ROLLBACK Z:I").await;
    exchange(&mut raw, &Say::new().bind("", "s1", &[]).execute("", 0).sync(), "2 D:1 C:SELECT_1 Z:I").await;
    // Without waiting for the error.
    let all = Say::new().query("begin; select 1/0").parse("s1", "select 1").sync();
    exchange(&mut raw, &all, "C:BEGIN E:22012 Z:E E:25P02 Z:E").await;
    exchange(&mut raw, &Say::new().query("rollback"), "C:ROLLBACK Z:I").await;
    // Else it ends the client, as with PgBouncer.
    raw.send(&prepare.0).await;
    assert!(raw.error().await.fields.message().contains("already prepared"));
}
