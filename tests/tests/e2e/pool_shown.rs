//! What the console of `dormouse pool` shows, cell by cell, where exporters and people look for PgBouncer's.

use std::net::TcpListener;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_runtime::task::Scope;
use tokio_postgres::{Client, NoTls};

use crate::pool_ini::{Pooler, WITHIN, server};

/// The rows of a command of the console.
fn rows(pooler: &Pooler, command: &str) -> Vec<Vec<String>> {
    let dir = pooler.dir.path().display().to_string();
    let said = pooler.psql(&pooler.dsn(&dir, "pgbouncer", "''", "pgbouncer"), command).good();
    said.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect()
}

/// The first row whose cells at these places are these.
#[track_caller]
fn row<'a>(rows: &'a [Vec<String>], wanted: &[(usize, &str)]) -> &'a [String] {
    let found = rows.iter().find(|row| wanted.iter().all(|(place, cell)| row[*place] == *cell));
    found.unwrap_or_else(|| panic!("{wanted:?} in {rows:?}"))
}

async fn connect(dsn: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(dsn, NoTls).await.unwrap();
    Scope::new().spawn("test-client", async move {
        let _ended = connection.await;
    });
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_and_servers() {
    let Some(foreign) = server(15) else { return };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = silent.local_addr().unwrap().port().to_string();
    let mut pooler = Pooler::new();
    pooler.write(
        &format!(
            "db = host=127.0.0.1 port={} dbname=postgres\nslow = host=127.0.0.1 port={nobody} query_wait_timeout=5",
            foreign.port()
        ),
        "auth_type = scram-sha-256\npool_mode = transaction\nserver_check_delay = 0.5",
        "\"s\" \"new\"\n",
    );
    pooler.start();
    let (dir, port) = (pooler.dir.path().display().to_string(), pooler.port.to_string());
    let local = connect(&(pooler.dsn(&dir, "s", "new", "db") + " application_name=here")).await;
    let remote = connect(&(pooler.dsn("127.0.0.1", "s", "new", "db") + " application_name=there")).await;
    let _kept = local.prepare("select 1").await.unwrap();
    remote.batch_execute("begin; select 1").await.unwrap();
    local.batch_execute("select 1").await.unwrap();

    let clients = rows(&pooler, "show clients");
    let here = row(&clients, &[(18, "here")]);
    assert_eq!(here[5..9], ["unix", &port, "unix", &port]);
    assert_eq!((&here[16], &here[19]), (&std::process::id().to_string(), &"1".to_owned()));
    let there = row(&clients, &[(18, "there")]);
    assert_eq!((&*there[5], &*there[7], &there[8], &*there[16]), ("127.0.0.1", "127.0.0.1", &port, "0"));

    let active = [(4, "active"), (18, "there"), (15, there[14].as_str())];
    let servers = rows(&pooler, "show servers");
    assert_eq!(row(&servers, &active)[13], "0");
    row(&servers, &[(4, "idle"), (18, "here"), (15, "")]);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let servers = rows(&pooler, "show servers");
    let resting = row(&servers, &[(4, "used")]);
    assert!(row(&rows(&pooler, "show pools"), &[(0, "db")])[10] == "1");
    local.batch_execute("select 1").await.unwrap();
    let servers = rows(&pooler, "show servers");
    let again = row(&servers, &[(20, &resting[20])]);
    assert!(
        again[10] > again[9] && again[10] > resting[10],
        "it was asked later than it was opened: {again:?}"
    );
    assert!(rows(&pooler, "reconnect").is_empty());
    assert_eq!(row(&rows(&pooler, "show servers"), &active)[13], "1", "it is closed after its transaction");

    let waits = pooler.dsn("127.0.0.1", "s", "new", "slow");
    std::thread::scope(|scope| {
        scope.spawn(|| pooler.psql(&waits, "select 1").bad());
        let start = Mono::now();
        while !rows(&pooler, "show servers").iter().any(|row| row[2] == "slow") {
            assert!(start.elapsed() < WITHIN);
            std::thread::sleep(Duration::from_millis(20));
        }
        let servers = rows(&pooler, "show servers");
        row(&servers, &[(2, "slow"), (4, "new"), (5, "127.0.0.1"), (6, &nobody)]);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_file_names_and_how_it_is_set() {
    let Some(foreign) = server(15) else { return };
    let mut pooler = Pooler::new();
    let port = foreign.port();
    pooler.write(
        &format!(
            "many = host=127.0.0.1,localhost port={port} dbname=postgres\n\
             one = host=127.0.0.1 port={port} load_balance_hosts=Disable"
        ),
        "auth_type = SCRAM-SHA-256\npool_mode = transaction\nstats_period = 1\n[peers]\n3 = host=/nowhere",
        "\"s\" \"new\"\n\"m\" \"old\"\n",
    );
    pooler.start();
    let lists = rows(&pooler, "show lists");
    for (list, items) in
        [("databases", "3"), ("users", "3"), ("peers", "1"), ("pools", "1"), ("used_clients", "1")]
    {
        assert_eq!(row(&lists, &[(0, list)])[1], items, "{list}");
    }
    let config = rows(&pooler, "show config");
    for (name, value, default) in [
        ("default_pool_size", "20", "20"),
        ("pool_mode", "transaction", "session"),
        ("auth_type", "scram-sha-256", "md5"),
    ] {
        assert_eq!(row(&config, &[(0, name)])[1..3], [value, default], "{name}");
    }
    let databases = rows(&pooler, "show databases");
    let balanced = |name: &str| row(&databases, &[(0, name)])[10].clone();
    assert_eq!((balanced("many").as_str(), balanced("one").as_str()), ("round-robin", ""));
    assert_eq!(pooler.psql(&pooler.dsn("127.0.0.1", "s", "new", "many"), "select 1").good(), "1");
    assert_eq!(row(&rows(&pooler, "show pools"), &[(0, "many")])[16], "round-robin");
    // Another file, from now on.
    let other = pooler.path("other.ini");
    let text = std::fs::read_to_string(pooler.path("p.ini")).unwrap();
    std::fs::write(&other, text.replacen("one = ", "more = host=127.0.0.1\none = ", 1)).unwrap();
    rows(&pooler, &format!("set conffile = '{}'", other.display()));
    rows(&pooler, "reload");
    row(&rows(&pooler, "show databases"), &[(0, "more")]);
    // In every period, whether anything happens or not.
    pooler.wait_for_log(
        "LOG stats: 0 xacts/s, 0 queries/s, 0 client parses/s, 0 server parses/s, 0 binds/s, in 0 B/s",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_clients_are_their_own_roles() {
    let Some(foreign) = server(15) else { return };
    let mut pooler = Pooler::new();
    let databases =
        format!("db = host=127.0.0.1 port={} dbname=postgres user=s password=new", foreign.port());
    let write = |pooler: &Pooler, users: &str| {
        let settings = format!("auth_type = md5\npool_mode = transaction\n[users]\n{users}");
        pooler.write(&databases, &settings, "\"s\" \"new\"\n\"m\" \"old\"\n\"clear\" \"plain\"\n");
    };
    write(&pooler, "clear = client_idle_timeout=600");
    pooler.start();
    let other = pooler.connect("clear", "plain", "db").await;
    let idle = pooler.connect("m", "old", "db").await;
    for client in [&idle, &other] {
        client.batch_execute("select 1").await.unwrap();
    }
    // The pool's role is `s`, and what holds for that is nobody's business here.
    write(&pooler, "m = client_idle_timeout=1\nclear = client_idle_timeout=600\ns = client_idle_timeout=0.1");
    rows(&pooler, "reload");
    let ends = async {
        while !idle.is_closed() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WITHIN, ends).await.unwrap();
    pooler.wait_for_log("closing because: client_idle_timeout");
    other.batch_execute("select 1").await.unwrap();
}
