//! How long clients of a pool may take, and what they are told when it was too long.

use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_pgwire::backend::NoticeResponse;
use dormouse_tests::pooled::Pooler;
use dormouse_tests::raw::Raw;
use dormouse_tests::say::{Say, exchange};

/// Longer than any limit here, shorter than what waits for one.
const SOON: Duration = Duration::from_secs(10);

/// The connection ends with this code and word in the message.
async fn ends(client: &mut Raw, code: &str, message: &str) {
    let error = client.error().await;
    assert_eq!((error.fields.code(), error.fields.message()), (code, message));
    assert!(error.fields.is_fatal() && error.fields.hint().is_some());
    assert!(client.rest(SOON).await.is_empty(), "the end follows");
}

async fn number_of(client: &mut Raw, what: &str) -> String {
    client.query(&format!("select count(*) from pg_stat_activity where {what}")).await;
    client.rows().await.unwrap().remove(0)
}

/// Waits until nothing of this kind is left in PostgreSQL.
async fn until_none(client: &mut Raw, what: &str) {
    let start = Mono::now();
    while number_of(client, what).await != "0" {
        assert!(start.elapsed() < SOON, "still there: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_cancelled() {
    let pooler = Pooler::start(&[("query_timeout", "0.5")]);
    let (mut slow, mut other) = (pooler.client("transaction").await, pooler.client("transaction").await);
    for _ in 0..3 {
        slow.query("select 1").await;
        slow.rows().await.unwrap();
    }
    slow.query("select pg_sleep(60)").await;
    let start = Mono::now();
    ends(&mut slow, "57014", "query timeout").await;
    assert!(start.elapsed() >= Duration::from_millis(400) && start.elapsed() < SOON, "{:?}", start.elapsed());
    until_none(&mut other, "query like '%pg_sleep(60)' and pid <> pg_backend_pid()").await;
}

#[tokio::test]
async fn a_transaction_may_be_open_for_a_while_only() {
    let pooler = Pooler::start(&[("transaction_timeout", "1"), ("idle_transaction_timeout", "0.3")]);
    let (mut idle, mut busy) = (pooler.client("transaction").await, pooler.client("session").await);
    idle.query("begin").await;
    idle.rows().await.unwrap();
    ends(&mut idle, "25P03", "idle transaction timeout").await;
    busy.query("begin").await;
    busy.rows().await.unwrap();
    let start = Mono::now();
    let end = loop {
        busy.query("select pg_sleep(0.05)").await;
        if let Err(error) = busy.rows().await {
            break error;
        }
        assert!(start.elapsed() < SOON);
    };
    assert_eq!((end.fields.code(), end.fields.message()), ("25P04", "transaction timeout"));
    let mut other = pooler.client("transaction").await;
    until_none(&mut other, "state like 'idle in transaction%'").await;
}

#[tokio::test]
async fn an_idle_client_goes_and_a_busy_one_stays() {
    let pooler = Pooler::start(&[("client_idle_timeout", "0.5")]);
    let (mut idle, mut kept) = (pooler.client("transaction").await, pooler.client("session").await);
    let mut ear = pooler.client("transaction").await;
    ear.query("listen news").await;
    ear.rows().await.unwrap();
    kept.query("select pg_sleep(1)").await;
    kept.rows().await.unwrap();
    ends(&mut idle, "57P05", "client_idle_timeout").await;
    ends(&mut kept, "57P05", "client_idle_timeout").await;
    ear.query("select 'here'").await;
    assert_eq!(ear.rows().await.unwrap(), ["here"], "who listens may wait");
}

#[tokio::test]
async fn who_waits_is_told_so() {
    let pooler = Pooler::start(&[
        ("default_pool_size", "1"),
        ("query_wait_notify", "0.2"),
        ("query_wait_timeout", "1"),
    ]);
    let (mut has, mut wants) = (pooler.client("transaction").await, pooler.client("transaction").await);
    has.query("begin").await;
    has.rows().await.unwrap();
    wants.query("select 1").await;
    let frame = wants.message().await.unwrap();
    assert_eq!(char::from(frame.tag), 'N');
    let notice = NoticeResponse::decode(&frame.body).unwrap();
    assert!(notice.fields.message().contains("client being queued"), "{notice:?}");
    let error = wants.error().await;
    assert_eq!(error.fields.code(), "53300");
    has.query("commit").await;
    has.rows().await.unwrap();
}

#[tokio::test]
async fn statement_mode_has_no_transaction_blocks() {
    let pooler = Pooler::start(&[]);
    let mut client = pooler.client("statement").await;
    client.query("begin; select 1; commit").await;
    assert_eq!(client.rows().await.unwrap(), ["1"], "a block that ends in its statement is none");
    client.query("begin").await;
    let done = client.message().await.unwrap();
    assert_eq!(char::from(done.tag), 'C');
    ends(&mut client, "0A000", "transaction blocks not allowed in statement pooling mode").await;
    let mut other = pooler.client("statement").await;
    until_none(&mut other, "state like 'idle in transaction%'").await;
}

#[tokio::test]
async fn a_backend_that_was_idle_is_checked() {
    let pooler = Pooler::start(&[
        ("server_check_delay", "0"),
        (
            "server_check_query",
            "select 1/(n - n) from (select current_setting('is_superuser')::bool::int) t(n) where exists (select from pg_class where relname = 'broken')",
        ),
    ]);
    let mut client = pooler.client("transaction").await;
    let pid = |rows: Vec<String>| rows[0].clone();
    client.query("select pg_backend_pid()").await;
    let first = pid(client.rows().await.unwrap());
    client.query("select pg_backend_pid()").await;
    assert_eq!(pid(client.rows().await.unwrap()), first, "the check passes");
    client.query("create table broken()").await;
    client.rows().await.unwrap();
    client.query("select pg_backend_pid()").await;
    assert_ne!(pid(client.rows().await.unwrap()), first, "a backend that fails its check is replaced");
}

#[tokio::test]
async fn own_notifications_have_the_number_that_the_client_was_told() {
    let pooler = Pooler::start(&[]);
    let (mut client, welcome) = pooler.welcomed("transaction").await;
    let mut other = pooler.client("transaction").await;
    client.query("listen \"Odd \"\"name\"").await;
    client.rows().await.unwrap();
    client.query("notify \"Odd \"\"name\", 'mine'").await;
    let told = welcome.key.unwrap().pid.to_be_bytes();
    assert!(notification(&mut client).await.starts_with(&told));
    other.query("notify \"Odd \"\"name\", 'yours'").await;
    other.rows().await.unwrap();
    let body = notification(&mut client).await;
    assert!(!body.starts_with(&told) && body.ends_with(b"yours\0"), "{body:?}");
}

async fn notification(client: &mut Raw) -> Vec<u8> {
    loop {
        let frame = client.message().await.expect("a notification");
        if frame.tag == b'A' {
            return frame.body.to_vec();
        }
    }
}

#[tokio::test]
async fn simple_queries_end_their_clients_where_they_are_not_wanted() {
    let pooler = Pooler::start(&[("disable_pqexec", "1")]);
    for mode in ["transaction", "session"] {
        let mut client = pooler.client(mode).await;
        let select = Say::new().parse("", "select 1").bind("", "", &[]).execute("", 0).sync();
        exchange(&mut client, &select, "1 2 D:1 C:SELECT_1 Z:I").await;
        client.query("select 1").await;
        ends(&mut client, "0A000", "PQexec disallowed").await;
    }
}
