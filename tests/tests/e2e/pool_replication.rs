//! `dormouse pool` and replication clients: each has a connection of its own, and is one of the pool's clients all the
//! same.

use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_tests::foreign::Foreign;
use dormouse_tests::raw::{PROTOCOL_3_0, Raw, Welcome, startup};

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
