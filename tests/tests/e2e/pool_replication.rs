//! `dormouse pool` and replication clients: each has a connection of its own, and is one of the pool's clients all the
//! same.

use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_compute::sandbox::process::signal;
use dormouse_pgwire::startup::encode_cancel;
use dormouse_tests::foreign::Foreign;
use dormouse_tests::raw::{PROTOCOL_3_0, Raw, Welcome, startup};

use rustix::process::Signal;

use crate::pool_ini::{Pooler, WITHIN, server};

/// A pooler with two places, in front of a server that lets `s` replicate.
fn pooler() -> Option<(Foreign, Pooler)> {
    let foreign = server(15)?;
    foreign.sql("postgres", "alter role s replication");
    foreign.admit("host replication s 127.0.0.1/32 scram-sha-256");
    let mut pooler = Pooler::new();
    pooler.write(
        &format!("db = host=127.0.0.1 port={} dbname=postgres pool_size=2", foreign.port()),
        "auth_type = scram-sha-256\npool_mode = transaction\nquery_wait_timeout = 5",
        "\"s\" \"new\"\n",
    );
    pooler.start();
    Some((foreign, pooler))
}

/// A client that asks for the log of changes.
async fn replicate(pooler: &Pooler, kind: &str) -> (Raw, Welcome) {
    let parameters = [("user", "s"), ("database", "db"), ("replication", kind), ("application_name", "rep")];
    let mut raw = Raw::open(pooler.port).await;
    let welcome = raw.login(&startup(PROTOCOL_3_0, &parameters), "new").await.unwrap();
    (raw, welcome)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replication_client_takes_one_place_and_leaves_the_others() {
    let Some((_foreign, pooler)) = pooler() else { return };
    let (_first, _) = replicate(&pooler, "database").await;
    let dsn = pooler.dsn("127.0.0.1", "s", "new", "db");
    assert_eq!(pooler.psql(&dsn, "select 1").good(), "1");
    let (_second, _) = replicate(&pooler, "true").await;
    let said = pooler.psql(&dsn, "select 2").bad();
    assert!(said.contains("query_wait_timeout"), "both places are taken: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_does_not_keep_the_place_of_a_client_that_has_left() {
    let Some((foreign, pooler)) = pooler() else { return };
    let (mut first, _) = replicate(&pooler, "database").await;
    let (_second, _) = replicate(&pooler, "database").await;
    first.query("select pg_backend_pid()").await;
    let process: u32 = first.rows().await.unwrap()[0].parse().unwrap();
    signal(process, Signal::STOP);
    drop(first);
    let again = tokio::time::timeout(WITHIN, replicate(&pooler, "database")).await;
    signal(process, Signal::CONT);
    again.expect("its place is free");
    drop(foreign);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_while_it_waits_for_a_server_is_no_client_any_more() {
    let Some((foreign, pooler)) = pooler() else { return };
    let dir = pooler.dir.path().display().to_string();
    let waiting = || pooler.psql(&pooler.dsn(&dir, "pgbouncer", "''", "pgbouncer"), "show clients").good();
    let waits = || waiting().lines().filter(|line| line.contains("|logical|waiting|")).count();
    let (_first, _second) = (replicate(&pooler, "database").await, replicate(&pooler, "database").await);
    let third = tokio::time::timeout(Duration::from_millis(500), replicate(&pooler, "database"));
    tokio::join!(third, until(|| waits() == 1)).0.unwrap_err();
    until(|| waits() == 0).await;
    drop(foreign);
}

/// Waits, for less than `query_wait_timeout` here.
async fn until(done: impl Fn() -> bool) {
    let start = Mono::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(3), "it does not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How many of these clients' connections the server has.
fn until_connections(foreign: &Foreign, wanted: &str) {
    let count = "select count(*) from pg_stat_activity where application_name = 'rep'";
    let start = Mono::now();
    while foreign.sql("postgres", count) != wanted {
        assert!(start.elapsed() < WITHIN, "not {wanted} connections");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_replication_clients_and_end_them() {
    let Some((foreign, pooler)) = pooler() else { return };
    let dir = pooler.dir.path().display().to_string();
    let admin = |sql: &str| pooler.psql(&pooler.dsn(&dir, "pgbouncer", "''", "pgbouncer"), sql).good();
    let (mut logical, _) = replicate(&pooler, "database").await;
    logical.query("select repeat('x', 1000)").await;
    assert_eq!(logical.rows().await.unwrap()[0].len(), 1000);
    let (mut physical, _) = replicate(&pooler, "true").await;
    for (table, side) in [("clients", "C"), ("servers", "S")] {
        let rows = admin(&format!("show {table}"));
        for kind in ["logical", "physical"] {
            let start = format!("{side}|s|db|{kind}|active|127.0.0.1|");
            assert!(rows.lines().any(|line| line.starts_with(&start)), "{start}: {rows}");
        }
    }
    let pools = admin("show pools");
    assert!(pools.contains("db|s|2|0|0|0|2|0|0|0|0|0|0|"), "{pools}");
    let totals = admin("show stats_totals");
    let row = totals.lines().find(|line| line.starts_with("db|")).unwrap();
    let cells: Vec<u64> = row.split('|').skip(1).map(|cell| cell.parse().unwrap()).collect();
    assert!(cells[3] > 20 && cells[4] > 1000, "bytes from and to clients: {totals}");
    let clients = admin("show clients");
    let row = clients.lines().find(|line| line.starts_with("C|s|db|logical|")).unwrap();
    admin(&format!("kill_client {}", row.split('|').nth(20).unwrap()));
    assert_eq!(logical.error().await.fields.code(), "57P01");
    assert!(logical.message().await.is_none());
    until_connections(&foreign, "1");
    admin("kill db");
    assert_eq!(physical.error().await.fields.code(), "57P01");
    until_connections(&foreign, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replication_client_runs_can_be_cancelled() {
    let Some((foreign, pooler)) = pooler() else { return };
    let (mut client, welcome) = replicate(&pooler, "database").await;
    client.query("select pg_sleep(20)").await;
    let sleeps =
        "select count(*) from pg_stat_activity where query = 'select pg_sleep(20)' and state = 'active'";
    let start = Mono::now();
    while foreign.sql("postgres", sleeps) != "1" {
        assert!(start.elapsed() < WITHIN, "it does not begin");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let key = welcome.key.unwrap();
    Raw::open(pooler.port).await.send(&encode_cancel(key.pid, key.secret.expose())).await;
    assert_eq!(client.rows().await.unwrap_err().fields.code(), "57014");
}
