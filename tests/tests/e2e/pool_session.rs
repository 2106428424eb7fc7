//! Session mode: statements have their clients' own names on the backend, and nobody meets another's there.

use dormouse_tests::pooled::Pooler;
use dormouse_tests::raw::Raw;
use dormouse_tests::say::{Say, exchange};

use crate::pool_house::{House, pooled, python, skipped};

/// A session leaves these, of which its texts do not tell.
const LEAVES: &str = "do $$ begin perform set_config('my.' || 'x', 'secret', false); end $$;
    create or replace function leaves() returns text language sql as $$ select set_config('work_mem', '77MB', false) $$;
    select leaves()";

const LEFT: &str = "select coalesce(current_setting('my.x', true), '') || ' ' || current_setting('work_mem')";

const NAMES: &str = "select coalesce(string_agg(name || ' ' || from_sql, ', ' order by name), '') from pg_prepared_statements";

async fn ask(client: &mut Raw, sql: &str) -> String {
    client.query(sql).await;
    client.rows().await.unwrap().remove(0)
}

fn prepare(name: &str, sql: &str) -> Say {
    Say::new().parse(name, sql).sync()
}

fn uses(name: &str, values: &[&str]) -> Say {
    Say::new().bind("", name, values).execute("", 0).sync()
}

async fn one_namespace(pooler: &Pooler) {
    let mut raw = pooler.client("session").await;
    exchange(&mut raw, &prepare("s1", "select $1::text"), "1 Z:I").await;
    exchange(&mut raw, &prepare("s1", "select 2"), "E:42P05 Z:I").await;
    exchange(&mut raw, &prepare("dormouse_1", "select 'mine'"), "1 Z:I").await;
    assert_eq!(ask(&mut raw, "execute s1('by sql')").await, "by sql");
    exchange(&mut raw, &Say::new().query("prepare s2 as select 's2'"), "C:PREPARE Z:I").await;
    exchange(&mut raw, &uses("s2", &[]), "2 D:s2 C:SELECT_1 Z:I").await;
    exchange(&mut raw, &prepare("s2", "select 2"), "E:42P05 Z:I").await;
    assert_eq!(ask(&mut raw, NAMES).await, "dormouse_1 false, s1 false, s2 true");
    exchange(&mut raw, &Say::new().query("deallocate s1; deallocate s1"), "C:DEALLOCATE E:26000 Z:I").await;
    exchange(&mut raw, &uses("s1", &["x"]), "E:26000 Z:I").await;
    let again = prepare("s1", "select 'again'").bind("", "s1", &[]).execute("", 0).sync();
    exchange(&mut raw, &again, "1 Z:I 2 D:again C:SELECT_1 Z:I").await;
    exchange(&mut raw, &Say::new().close_statement("s2").sync(), "3 Z:I").await;
    assert_eq!(ask(&mut raw, NAMES).await, "dormouse_1 false, s1 false");
    exchange(&mut raw, &Say::new().query("discard all"), "C:DISCARD_ALL Z:I").await;
    exchange(&mut raw, &uses("s1", &[]), "E:26000 Z:I").await;
    // The unnamed one across series, and up to a simple query.
    exchange(&mut raw, &prepare("", "select 'unnamed'"), "1 Z:I").await;
    exchange(&mut raw, &uses("", &[]), "2 D:unnamed C:SELECT_1 Z:I").await;
    exchange(&mut raw, &uses("s1", &[]), "E:26000 Z:I").await;
    exchange(&mut raw, &uses("", &[]), "2 D:unnamed C:SELECT_1 Z:I").await;
    assert_eq!(ask(&mut raw, NAMES).await, "");
    exchange(&mut raw, &uses("", &[]), "E:26000 Z:I").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_and_the_protocol_have_one_namespace() {
    let pooler = Pooler::start(&[("default_pool_size", "1")]);
    one_namespace(&pooler).await;
}

/// Only one backend, and a reset query that ends nothing: clients of both modes come one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_client_meets_nothing_foreign() {
    for reset in ["select 1", "", "reset all"] {
        let pooler = Pooler::start(&[("default_pool_size", "1"), ("server_reset_query", reset)]);
        let mut pids = Vec::new();
        for round in 0..3 {
            let text = format!("select 'round {round}'");
            let mut raw = pooler.client("session").await;
            pids.push(ask(&mut raw, "select pg_backend_pid()").await);
            assert_eq!(ask(&mut raw, NAMES).await, "", "{reset}");
            exchange(&mut raw, &prepare("s1", &text), "1 Z:I").await;
            exchange(&mut raw, &uses("s1", &[]), &format!("2 D:round_{round} C:SELECT_1 Z:I")).await;
            assert_eq!(ask(&mut raw, LEFT).await, " 4MB", "{reset}");
            assert_eq!(ask(&mut raw, LEAVES).await, "77MB");
            raw.send(&Say::new().terminate().0).await;
            drop(raw);
            let mut other = pooler.client("transaction").await;
            assert_eq!(ask(&mut other, LEFT).await, " 4MB", "{reset}");
            exchange(&mut other, &uses("s1", &[]), "E:26000 Z:I").await;
            exchange(&mut other, &prepare("s1", "select 'pooled'"), "1 Z:I").await;
            exchange(&mut other, &uses("s1", &[]), "2 D:pooled C:SELECT_1 Z:I").await;
            exchange(&mut other, &prepare("", "select 'pooled'"), "1 Z:I").await;
            other.send(&Say::new().terminate().0).await;
        }
        assert!(pids.iter().all(|pid| *pid == pids[0]), "one backend: {pids:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_slept_has_its_statements() {
    if !pooled() {
        return;
    }
    let house = House::new();
    let mut raw = house.raw(&[("pool_mode", "session")]).await;
    let table = Say::new().query("create table t as select 1 as a; create table gone as select 1 as a");
    exchange(&mut raw, &table, "C:SELECT_1 C:SELECT_1 Z:I").await;
    let told = prepare("told", "select * from t").describe_statement("told").sync();
    exchange(&mut raw, &told, "1 Z:I t: T:a Z:I").await;
    exchange(&mut raw, &prepare("s1", "select $1::text"), "1 Z:I").await;
    exchange(&mut raw, &prepare("gone", "select * from gone"), "1 Z:I").await;
    exchange(&mut raw, &prepare("", "select 'unnamed'"), "1 Z:I").await;
    house.suspend();
    exchange(&mut raw, &uses("", &[]), "2 D:unnamed C:SELECT_1 Z:I").await;
    assert_eq!(ask(&mut raw, NAMES).await, "gone false, s1 false, told false");
    assert_eq!(ask(&mut raw, "execute s1('by sql')").await, "by sql");
    exchange(&mut raw, &uses("s1", &["bound"]), "2 D:bound C:SELECT_1 Z:I").await;
    exchange(&mut raw, &uses("told", &[]), "2 D:1 C:SELECT_1 Z:I").await;
    house.suspend();
    let direct = house.server.try_connect(house.direct()).await.unwrap();
    // Who has locked its tables may wait for it.
    direct.batch_execute("begin; lock table t; lock table gone").await.unwrap();
    assert_eq!(ask(&mut raw, "show lock_timeout").await, "0");
    assert_eq!(ask(&mut raw, NAMES).await, "s1 false");
    direct.batch_execute("rollback").await.unwrap();
    drop(direct);
    exchange(&mut raw, &uses("told", &[]), "2 D:1 C:SELECT_1 Z:I").await;
    house.suspend();
    let direct = house.server.try_connect(house.direct()).await.unwrap();
    direct.batch_execute("alter table t add b int; drop table gone").await.unwrap();
    drop(direct);
    exchange(&mut raw, &uses("s1", &["still"]), "2 D:still C:SELECT_1 Z:I").await;
    exchange(&mut raw, &uses("told", &[]), "E:0A000 Z:I").await;
    exchange(&mut raw, &uses("gone", &[]), "E:42P01 Z:I").await;
    exchange(&mut raw, &Say::new().query("deallocate told"), "C:DEALLOCATE Z:I").await;
    let anew = prepare("told", "select * from t").describe_statement("told").sync();
    exchange(&mut raw, &anew, "1 Z:I t: T:a|b Z:I").await;
    house.assert_clean_log();
}

#[test]
fn psycopg_finds_its_names() {
    if !pooled() || skipped("python", "pool_session.py") {
        return;
    }
    let house = House::new();
    let dsn = house.dsn().replace("-pooler", "-pooler%20pool_mode%3Dsession");
    house.drive(&python(), &[], "python/pool_session.py", &[], &dsn);
    house.assert_clean_log();
}
