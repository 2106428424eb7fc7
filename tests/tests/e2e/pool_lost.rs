//! A backend dies under a pooled client: the transaction is lost, the connection is not.

use dormouse_tests::pooled::Pooler;

use crate::pool_house::House;
use crate::pool_wire::{Say, exchange};

/// Ends the backend of whoever is in a transaction on this table, as an administrator would.
async fn end_backends(house: &House, table: &str) {
    let client = house.server.try_connect(house.direct()).await.unwrap();
    let end = format!(
        "select pg_terminate_backend(l.pid) from pg_locks l where l.relation = '{table}'::regclass and l.pid <> pg_backend_pid()"
    );
    assert!(!client.query(&end, &[]).await.unwrap().is_empty(), "nobody holds a lock");
}

#[tokio::test]
async fn a_lost_transaction_stays_failed_until_its_client_ends_it() {
    let house = House::new();
    if !crate::pool_house::pooled() {
        return;
    }
    let mut raw = house.raw(&[]).await;
    exchange(&mut raw, &Say::new().query("create table pool_lost (v int)"), "C:CREATE_TABLE Z:I").await;
    // Between two statements, simple protocol.
    exchange(&mut raw, &Say::new().query("begin"), "C:BEGIN Z:T").await;
    exchange(&mut raw, &Say::new().query("insert into pool_lost values (1)"), "C:INSERT_0_1 Z:T").await;
    end_backends(&house, "pool_lost").await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    exchange(&mut raw, &Say::new().query("insert into pool_lost values (2)"), "E:57P01 Z:E").await;
    // Whoever takes no notice commits nothing of the rest.
    exchange(&mut raw, &Say::new().query("insert into pool_lost values (3)"), "E:25P02 Z:E").await;
    let insert =
        Say::new().parse("", "insert into pool_lost values (4)").bind("", "", &[]).execute("", 0).sync();
    exchange(&mut raw, &insert, "E:25P02 Z:E").await;
    exchange(&mut raw, &Say::new().query("commit"), "C:ROLLBACK Z:I").await;
    // Extended protocol, and the rest of the series is skipped.
    exchange(&mut raw, &Say::new().query("begin"), "C:BEGIN Z:T").await;
    exchange(&mut raw, &Say::new().query("insert into pool_lost values (5)"), "C:INSERT_0_1 Z:T").await;
    end_backends(&house, "pool_lost").await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    exchange(&mut raw, &insert, "E:57P01 Z:E").await;
    exchange(&mut raw, &Say::new().query("rollback"), "C:ROLLBACK Z:I").await;
    // In the middle of a statement outside a transaction: an error, and nothing else.
    let ended = async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        end_backends(&house, "pool_lost").await;
    };
    let slow = Say::new().query("select count(*), pg_sleep(30) from pool_lost");
    tokio::join!(ended, exchange(&mut raw, &slow, "T:count|pg_sleep E:57P01 Z:I"));
    exchange(&mut raw, &Say::new().query("select count(*) from pool_lost"), "T:count D:0 C:SELECT_1 Z:I")
        .await;
}

/// Bytes of a row that no buffer between PostgreSQL and its client holds.
const LONG: usize = 100 << 20;

#[tokio::test]
async fn half_a_message_is_not_completed_by_other_words() {
    let house = House::new();
    let mut raw = house.raw(&[]).await;
    exchange(&mut raw, &Say::new().query("create table pool_half (v int)"), "C:CREATE_TABLE Z:I").await;
    let long = format!("begin; lock pool_half; select repeat('x', {LONG})");
    raw.send(&Say::new().query(&long).0).await;
    // Its beginning is there, and PostgreSQL waits until somebody takes the rest.
    let mut beginning = [0; 4096];
    while raw.stream.peek(&mut beginning).await.unwrap() < beginning.len() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    end_backends(&house, "pool_half").await;
    let got = raw.rest(std::time::Duration::from_secs(20)).await;
    let row = got.windows(8).position(|bytes| bytes == b"xxxxxxxx").expect("the row had begun");
    assert!(got.len() - row < LONG, "all of it came: nothing was cut");
    assert!(
        got[row..].iter().all(|byte| *byte == b'x'),
        "{:?}",
        String::from_utf8_lossy(&got[got.len() - 80..])
    );
}

/// More than is kept of a text until it is whole.
const UNREAD: usize = 65 << 20;

#[tokio::test]
async fn who_breaks_off_in_a_message_has_not_said_it() {
    let house = House::new();
    let mut raw = house.raw(&[]).await;
    exchange(&mut raw, &Say::new().query("create table pool_broken (v int)"), "C:CREATE_TABLE Z:I").await;
    let long = format!("insert into pool_broken values (1) -- {}", "z".repeat(UNREAD));
    let message = Say::new().query(&long).0;
    // A goodbye of ours, behind this, would be its end: the first two bytes of one are a letter and a zero.
    raw.send(&message[..message.len() - 2]).await;
    drop(raw);
    let mut other = house.raw(&[]).await;
    let waits = "select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid()
        and query like 'insert into pool_broken%'";
    for _ in 0..20 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        other.query("select count(*) from pool_broken").await;
        assert_eq!(other.rows().await.unwrap(), ["0"], "it was never said whole");
    }
    other.query(waits).await;
    assert_eq!(other.rows().await.unwrap(), ["0"], "nor is it under way");
}

#[tokio::test]
async fn a_setting_that_was_not_asked_for_yet_is_not_lost_without_a_word() {
    let pooler = Pooler::start(&[]);
    let (mut client, mut operator) = (pooler.client("transaction").await, pooler.client("session").await);
    // The operator has a backend of its own before the client has one.
    operator.query("select 1").await;
    operator.rows().await.unwrap();
    client.query("select pg_backend_pid()").await;
    let pid = client.rows().await.unwrap().remove(0);
    // What we ask behind its transaction reads this, so it waits when the backend ends.
    exchange(&mut operator, &Say::new().query("begin"), "C:BEGIN Z:T").await;
    let lock = "lock table pg_catalog.pg_authid in access exclusive mode";
    exchange(&mut operator, &Say::new().query(lock), "C:LOCK_TABLE Z:T").await;
    let set = Say::new().query("begin; set work_mem = '9MB'; commit");
    exchange(&mut client, &set, "C:BEGIN C:SET C:COMMIT Z:I").await;
    let end = Say::new().query(&format!("select pg_terminate_backend({pid})"));
    exchange(&mut operator, &end, "T:pg_terminate_backend D:t C:SELECT_1 Z:T").await;
    let error = client.error().await;
    assert!(error.fields.is_fatal() && error.fields.code() == "57P01", "{error:?}");
    exchange(&mut operator, &Say::new().query("rollback"), "C:ROLLBACK Z:I").await;
}
