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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_role_may_not_have_it_does_not_get_by_a_statement_of_another() {
    let pooler = Pooler::start(&[("default_pool_size", "1")]);
    pooler.foreign.sql(
        "postgres",
        "create role low; create schema hidden; create table hidden.t as select 42 as v; grant select on hidden.t to low;
         create function secret() returns text immutable language plpgsql as $$ begin return 'SECRET'; end $$;
         revoke all on function secret() from public",
    );
    const SECRET: &str = "select secret()";
    const HIDDEN: &str = "select v from hidden.t";
    let (mut high, mut low) = (pooler.client("transaction").await, pooler.client("transaction").await);
    for _ in 0..3 {
        exchange(&mut high, &all_of_it("", SECRET), "1 2 D:SECRET C:SELECT_1 Z:I").await;
        exchange(&mut high, &all_of_it("", HIDDEN), "1 2 D:42 C:SELECT_1 Z:I").await;
    }
    // PostgreSQL asks for the function when it plans, and for the schema when it analyses.
    let refused = [(SECRET, "1 E:42501"), (HIDDEN, "E:42501")];
    set(&mut low, "set role low").await;
    for (text, answer) in refused {
        exchange(&mut low, &all_of_it("", text), &format!("{answer} Z:I")).await;
    }
    set(&mut low, "reset role").await;
    for how in
        ["set local role low", "select set_config('role', 'low', true), set_config('my.id', '7', true)"]
    {
        for (text, answer) in refused {
            set(&mut low, "begin").await;
            set(&mut low, how).await;
            exchange(&mut low, &all_of_it("", text), &format!("{answer} Z:E")).await;
            set(&mut low, "rollback").await;
        }
    }
    for (text, answer) in refused {
        set(&mut low, "begin").await;
        exchange(&mut low, &plays("low"), "1 2 D:low C:SELECT_1 Z:T").await;
        exchange(&mut low, &all_of_it("", text), &format!("{answer} Z:E")).await;
        set(&mut low, "rollback").await;
    }
    exchange(&mut low, &all_of_it("", SECRET), "1 2 D:SECRET C:SELECT_1 Z:I").await;
}

/// As services say it that play the role of each request.
fn plays(role: &str) -> Say {
    let text = "select set_config('role', $1, true)";
    Say::new().parse("", text).bind("", "", &[role]).execute("", 0).sync()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_in_a_role_that_a_parameter_tells_is_parsed_once_for_it() {
    let pooler = Pooler::start(&[("default_pool_size", "1")]);
    pooler.foreign.sql("postgres", "create role anna; create role bob");
    let (mut one, mut other) = (pooler.client("transaction").await, pooler.client("transaction").await);
    const WHO: &str = "select current_user::text";
    for _ in 0..3 {
        for client in [&mut one, &mut other] {
            for role in ["anna", "bob"] {
                set(client, "begin").await;
                exchange(client, &plays(role), &format!("1 2 D:{role} C:SELECT_1 Z:T")).await;
                exchange(client, &all_of_it("", WHO), &format!("1 2 D:{role} C:SELECT_1 Z:T")).await;
                set(client, "commit").await;
            }
        }
    }
    one.query(&format!("select count(*) from pg_prepared_statements where statement = '{WHO}'")).await;
    assert_eq!(one.rows().await.unwrap(), ["2"], "one for each role");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_planner_computes_has_the_clients_own_format() {
    let pooler = Pooler::start(&[("default_pool_size", "1")]);
    let (mut a, mut b) = (pooler.client("transaction").await, pooler.client("transaction").await);
    set(&mut a, "set bytea_output = hex; set extra_float_digits = 1; set quote_all_identifiers = off").await;
    set(&mut b, "set bytea_output = escape; set extra_float_digits = 0; set quote_all_identifiers = on")
        .await;
    for _ in 0..3 {
        for (text, of_a, of_b) in [
            (r"select '\x01'::bytea::text", r"\x01", r"\001"),
            ("select (1.0::float8 / 3)::text", "0.3333333333333333", "0.333333333333333"),
            ("select quote_ident('abc')", "abc", "\"abc\""),
        ] {
            exchange(&mut a, &all_of_it("", text), &format!("1 2 D:{of_a} C:SELECT_1 Z:I")).await;
            exchange(&mut b, &all_of_it("", text), &format!("1 2 D:{of_b} C:SELECT_1 Z:I")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_made_with_the_clients_own_settings() {
    let pooler = Pooler::start(&[("default_pool_size", "1")]);
    pooler.foreign.sql(
        "postgres",
        "create table pt as select g as a from generate_series(1, 10000) g; create index on pt (a); analyze pt",
    );
    let scans = || {
        pooler.foreign.sql("postgres", "select pg_stat_force_next_flush()");
        pooler.foreign.sql("postgres", "select seq_scan from pg_stat_user_tables where relname = 'pt'")
    };
    let text = "select count(*) from pt where a between 10 and 12";
    let mut client = pooler.client("transaction").await;
    for _ in 0..3 {
        exchange(&mut client, &all_of_it("", text), "1 2 D:3 C:SELECT_1 Z:I").await;
    }
    set(&mut client, "select pg_stat_force_next_flush()").await;
    let before = scans();
    set(
        &mut client,
        "set enable_indexscan = off; set enable_bitmapscan = off; set enable_indexonlyscan = off",
    )
    .await;
    exchange(&mut client, &all_of_it("", text), "1 2 D:3 C:SELECT_1 Z:I").await;
    set(&mut client, "select pg_stat_force_next_flush()").await;
    assert_ne!(scans(), before);
}
