//! What a text means depends on when and under which settings PostgreSQL reads it: one backend, clients with
//! different settings. The drivers' side of it is in `tests/drivers`.

use dormouse_tests::pooled::Pooler;
use dormouse_tests::raw::Raw;
use dormouse_tests::say::{Say, exchange, replies};

/// A series that prepares and runs one statement.
fn all_of_it(name: &str, text: &str) -> Say {
    Say::new().parse(name, text).bind("", name, &[]).execute("", 0).sync()
}

async fn set(raw: &mut Raw, text: &str) {
    raw.query(text).await;
    raw.rows().await.unwrap();
}

/// Minutes of midnight beyond that of UTC.
const MIDNIGHT: &str =
    "select extract(epoch from '2024-06-01'::timestamptz - '2024-06-01 00:00+00')::int / 60";

/// The month that a date begins with, or the day.
const MONTH: &str = "select extract(month from date '03/02/2024')::int";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_client_reads_with_its_own_settings() {
    let pooler = Pooler::start(&[("default_pool_size", "1")]);
    let (mut a, mut b) = (pooler.client("transaction").await, pooler.client("transaction").await);
    set(&mut a, "set timezone to 'Asia/Tokyo'; set datestyle to 'ISO, DMY'").await;
    set(&mut b, "set timezone to 'UTC'; set datestyle to 'ISO, MDY'; set standard_conforming_strings to off")
        .await;
    set(&mut b, "set escape_string_warning to off").await;
    for round in 0..4 {
        // Without a name it is shared from the second time on; with one at once.
        let name = ["", "", "", "s"][round];
        for (client, minutes, month, length) in [(&mut a, "-540", "2", "4"), (&mut b, "0", "3", "3")] {
            let rows = |row: &str| format!("1 2 D:{row} C:SELECT_1 Z:I");
            exchange(client, &all_of_it(name, MIDNIGHT), &rows(minutes)).await;
            if !name.is_empty() {
                exchange(client, &Say::new().bind("", name, &[]).execute("", 0).sync(), &rows(minutes)[2..])
                    .await;
                exchange(client, &Say::new().close_statement(name).sync(), "3 Z:I").await;
            }
            exchange(client, &all_of_it("", MONTH), &rows(month)).await;
            exchange(client, &all_of_it("", r"select length('a\\b')"), &rows(length)).await;
        }
    }
    // Who changes a setting and prepares again gets what it means now.
    set(&mut a, "set timezone to 'UTC'").await;
    for name in ["", "", "t"] {
        exchange(&mut a, &all_of_it(name, MIDNIGHT), "1 2 D:0 C:SELECT_1 Z:I").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_have_the_types_of_their_own_schema() {
    let pooler = Pooler::start(&[("default_pool_size", "1")]);
    pooler.foreign.sql(
        "postgres",
        "create schema a; create schema b; create table a.t (v int); create table b.t (v text)",
    );
    let (mut a, mut b) = (pooler.client("transaction").await, pooler.client("transaction").await);
    set(&mut a, "set search_path to a").await;
    set(&mut b, "set search_path to b").await;
    let describe = Say::new().parse("s", "insert into t values ($1)").describe_statement("s").sync();
    let close = Say::new().close_statement("s").sync();
    for _ in 0..2 {
        for (client, kind) in [(&mut a, "23"), (&mut b, "25")] {
            exchange(client, &describe, &format!("1 t:{kind} n Z:I")).await;
            exchange(client, &close, "3 Z:I").await;
        }
    }
    // The same in transactions, by settings that PostgreSQL does not report.
    for _ in 0..3 {
        for (client, path, kind) in [(&mut a, "b", "25"), (&mut b, "a", "23")] {
            set(client, "begin").await;
            set(client, &format!("set local search_path to {path}")).await;
            exchange(client, &describe, &format!("1 t:{kind} n Z:T")).await;
            exchange(client, &close, "3 Z:T").await;
            set(client, "rollback").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn now_is_when_it_is_said() {
    let pooler = Pooler::start(&[("default_pool_size", "1")]);
    let (mut a, mut b) = (pooler.client("transaction").await, pooler.client("transaction").await);
    let say = all_of_it("", "select timestamptz 'now'");
    let mut seen = std::collections::BTreeSet::new();
    for client in [&mut a, &mut b] {
        for _ in 0..4 {
            client.send(&say.0).await;
            seen.insert(replies(client, 5).await.join(" "));
        }
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
}
