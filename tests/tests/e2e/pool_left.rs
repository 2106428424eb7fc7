//! Two clients, one backend: what one leaves behind there, the other never sees.
//!
//! | what is left                | by                                                                       |
//! |-----------------------------|--------------------------------------------------------------------------|
//! | a lock of the session       | one row of many, an error, a statement of SQL's `PREPARE`, code that fails |
//! | a setting, a custom setting | the same, `CALL`, `DO`, a name that is put together                      |
//! | another user                | `SET SESSION AUTHORIZATION` in a transaction                             |
//! | a temporary table           | code that commits and fails, a `search_path` that makes it one           |
//! | what a literal seemed to be | `standard_conforming_strings = off`                                      |
//! | a setting that is reported  | a function                                                               |
//! | any of these                | a text of more than 64 MiB, which nobody reads                           |

use dormouse_tests::checkout;
use dormouse_tests::foreign::Foreign;
use dormouse_tests::pooled::{PASSWORD, Pooler};
use dormouse_tests::programs::{driver_home, run};
use dormouse_tests::raw::Raw;
use dormouse_tests::say::{Say, exchange};

use crate::pool_house::skipped;

const MADE: &str = "create role bob; grant all on schema public to bob;
    create procedure set_tenant() language plpgsql as $$begin perform set_config('app.tenant', '42', false); end$$;
    create table one as select 1 as id";

fn one_backend() -> Pooler {
    let pooler = Pooler::start(&[("default_pool_size", "1"), ("query_wait_timeout", "1")]);
    pooler.foreign.sql("postgres", MADE);
    pooler
}

/// One statement by messages: with a limit of rows, or 0.
fn extended(sql: &str, rows: u32) -> Say {
    Say::new().parse("", sql).bind("", "", &[]).execute("", rows).sync()
}

fn simple(sql: &str) -> Say {
    Say::new().query(sql)
}

/// What one client says and hears; then what another asks.
async fn leaves_nothing(pooler: &Pooler, said: &[(Say, &str)], asks: &str, wanted: &str) {
    let (mut one, mut other) = (pooler.client("transaction").await, pooler.client("transaction").await);
    for (say, heard) in said {
        exchange(&mut one, say, heard).await;
    }
    assert_eq!(ask(&mut other, asks).await, wanted, "{asks}");
}

async fn ask(client: &mut Raw, sql: &str) -> String {
    client.query(sql).await;
    client.rows().await.unwrap().remove(0)
}

/// The same for what keeps the client on its backend, so that there is none for another, up to DISCARD ALL.
async fn keeps(pooler: &Pooler, said: &[(Say, &str)]) {
    let (mut one, mut other) = (pooler.client("transaction").await, pooler.client("transaction").await);
    for (say, heard) in said {
        exchange(&mut one, say, heard).await;
    }
    other.query("select 1").await;
    let error = other.error().await;
    assert_eq!(error.fields.code(), "53300", "it waits in vain");
    exchange(&mut one, &simple("discard all"), "C:DISCARD_ALL Z:I").await;
    let mut third = pooler.client("transaction").await;
    let none = "select count(*) from pg_locks where locktype = 'advisory'";
    exchange(&mut third, &simple(none), "T:count D:0 C:SELECT_1 Z:I").await;
}

const PATH: &str = "select current_setting('search_path')";
const USUAL: &str = "\"$user\", public";
const TENANT: &str = "select coalesce(current_setting('app.tenant', true), '')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_row_of_a_statement() {
    let pooler = one_backend();
    let lock = extended("select pg_try_advisory_lock(1)", 1);
    keeps(&pooler, &[(lock, "1 2 D:t s Z:I")]).await;
    let set = extended("select set_config('search_path', 'elsewhere', false)", 1);
    leaves_nothing(&pooler, &[(set.clone(), "1 2 D:elsewhere s Z:I")], PATH, USUAL).await;
    // And who set it has it.
    let (mut one, mut other) = (pooler.client("transaction").await, pooler.client("transaction").await);
    exchange(&mut one, &set, "1 2 D:elsewhere s Z:I").await;
    assert_eq!(ask(&mut other, PATH).await, USUAL);
    assert_eq!(ask(&mut one, PATH).await, "elsewhere");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors() {
    let pooler = one_backend();
    let locks = "do $$begin perform pg_advisory_lock(1); raise 'x'; end$$";
    keeps(&pooler, &[(extended(locks, 0), "1 2 E:P0001 Z:I")]).await;
    keeps(&pooler, &[(simple(locks), "E:P0001 Z:I")]).await;
    let scan = "select pg_try_advisory_lock(id), 1 / (id - 1) from one";
    keeps(&pooler, &[(extended(scan, 0), "1 2 E:22012 Z:I")]).await;
    let commits = "do $$begin set search_path = elsewhere; commit; raise 'x'; end$$";
    for say in [simple(commits), extended(commits, 0)] {
        let heard = if say.0[0] == b'Q' { "E:P0001 Z:I" } else { "1 2 E:P0001 Z:I" };
        leaves_nothing(&pooler, &[(say, heard)], PATH, USUAL).await;
    }
    let table = "do $$begin create temp table t (); commit; raise 'x'; end$$";
    keeps(&pooler, &[(simple(table), "E:P0001 Z:I")]).await;
    keeps(&pooler, &[(extended(table, 0), "1 2 E:P0001 Z:I")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_without_a_name() {
    let pooler = one_backend();
    let computed = "select set_config(k, v, false) from (values ('app.tenant', '42')) x (k, v)";
    for (sql, heard) in [
        ("call set_tenant()", "C:CALL Z:I"),
        ("do $$begin call set_tenant(); end$$", "C:DO Z:I"),
        (computed, "T:set_config D:42 C:SELECT_1 Z:I"),
    ] {
        leaves_nothing(&pooler, &[(simple(sql), heard)], TENANT, "").await;
    }
    let said = Say::new().parse("", "select set_config('app.' || $1, $2, false)");
    let said = said.bind("", "", &["tenant", "42"]).execute("", 0).sync();
    leaves_nothing(&pooler, &[(said, "1 2 D:42 C:SELECT_1 Z:I")], TENANT, "").await;
    leaves_nothing(&pooler, &[(extended("call set_tenant()", 0), "1 2 C:CALL Z:I")], TENANT, "").await;
    // The name in the text of a DO is known: its client has the setting wherever it is.
    let (mut one, mut other) = (pooler.client("transaction").await, pooler.client("transaction").await);
    let named = "do $$begin perform set_config('app.tenant', '42', false); end$$";
    exchange(&mut one, &simple(named), "C:DO Z:I").await;
    assert_eq!(ask(&mut other, TENANT).await, "");
    assert_eq!(ask(&mut one, TENANT).await, "42");
    assert_eq!(ask(&mut other, TENANT).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sql_has_prepared() {
    let pooler = one_backend();
    let prepare = |sql: &str| (simple(&format!("prepare p as {sql}")), "C:PREPARE Z:I");
    let gone = || (simple("deallocate p"), "C:DEALLOCATE Z:I");
    let (lock, set) = ("select pg_advisory_lock(1)", "select set_config('search_path', 'elsewhere', false)");
    keeps(&pooler, &[prepare(lock), (simple("execute p"), "T:pg_advisory_lock D: C:SELECT_1 Z:I"), gone()])
        .await;
    let said = [prepare(set), (simple("execute p"), "T:set_config D:elsewhere C:SELECT_1 Z:I"), gone()];
    leaves_nothing(&pooler, &said, PATH, USUAL).await;
    let bind = || Say::new().bind("", "p", &[]).execute("", 0).sync();
    keeps(&pooler, &[prepare(lock), (bind(), "2 D: C:SELECT_1 Z:I"), gone()]).await;
    let tenant = "select set_config('app.tenant', '42', false)";
    leaves_nothing(&pooler, &[prepare(tenant), (bind(), "2 D:42 C:SELECT_1 Z:I"), gone()], TENANT, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_user() {
    let pooler = one_backend();
    let begin = || (simple("begin"), "C:BEGIN Z:T");
    let commit = || (simple("commit"), "C:COMMIT Z:I");
    let whoami = "select session_user || ' ' || current_user";
    let said = [begin(), (simple("set session authorization bob"), "C:SET Z:T"), commit()];
    leaves_nothing(&pooler, &said, whoami, "postgres postgres").await;
    let call = "select set_config('session_authorization', 'bob', false)";
    let said = [begin(), (extended(call, 0), "1 2 D:bob C:SELECT_1 Z:T"), commit()];
    leaves_nothing(&pooler, &said, whoami, "postgres postgres").await;
    let (mut one, mut other) = (pooler.client("transaction").await, pooler.client("transaction").await);
    let say = Say::new().query("begin; set session authorization bob; commit");
    exchange(&mut one, &say, "C:BEGIN C:SET C:COMMIT Z:I").await;
    assert_eq!(ask(&mut other, whoami).await, "postgres postgres");
    assert_eq!(ask(&mut one, whoami).await, "bob bob");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_that_are_read_otherwise() {
    let pooler = one_backend();
    // With backslashes that escape, this is one literal and a SET; without, it is one literal.
    let text = "select 'a\\''; set search_path to elsewhere; --'";
    let off = || (simple("set standard_conforming_strings = off"), "C:SET Z:I");
    leaves_nothing(&pooler, &[off(), (simple(text), "T:?column? D:a' C:SELECT_1 C:SET Z:I")], PATH, USUAL)
        .await;
    let say =
        Say::new().query("begin; set local standard_conforming_strings = off").query(text).query("commit");
    let heard = "C:BEGIN C:SET Z:T T:?column? D:a' C:SELECT_1 C:SET Z:T C:COMMIT Z:I";
    leaves_nothing(&pooler, &[(say, heard)], PATH, USUAL).await;
    let say =
        Say::new().parse("", "set local standard_conforming_strings = off").bind("", "", &[]).execute("", 0);
    let say =
        say.parse("", "select 'a\\'', set_config('search_path', 'elsewhere', false) --'").bind("", "", &[]);
    let heard = "1 2 C:SET 1 2 D:a'|elsewhere C:SELECT_1 Z:I";
    leaves_nothing(&pooler, &[(say.execute("", 0).sync(), heard)], PATH, USUAL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_are_temporary_by_themselves() {
    let pooler = one_backend();
    let (path, heard) = ("set search_path = pg_temp", "C:SET Z:I");
    let create = "C:CREATE_TABLE Z:I";
    keeps(&pooler, &[(simple(path), heard), (simple("create table x ()"), create)]).await;
    keeps(
        &pooler,
        &[(extended(path, 0), "1 2 C:SET Z:I"), (simple("select 1 as a into x"), "C:SELECT_1 Z:I")],
    )
    .await;
    let one = format!("{path}; create table x ()");
    keeps(&pooler, &[(simple(&one), "C:SET C:CREATE_TABLE Z:I")]).await;
}

/// The question about the user is one that each version answers, whoever the session is by then.
#[test]
fn every_version_tells_who_logged_in() {
    let asked = "select a.usesysid <> r.oid from pg_stat_get_activity(pg_backend_pid()) a, pg_roles r
        where r.rolname = session_user";
    for foreign in [15, 16, 17, 18].into_iter().filter_map(Foreign::start) {
        let sql = format!("create role bob; set session authorization bob; {asked}");
        assert_eq!(foreign.sql("postgres", &sql).lines().last(), Some("t"));
        assert_eq!(foreign.sql("postgres", asked).lines().last(), Some("f"));
    }
}

/// What drivers do of their own accord: asyncpg asks for one row, psycopg binds what it has prepared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drivers() {
    if skipped("python", "pool_left") {
        return;
    }
    let pooler = one_backend();
    let dsn = format!(
        "postgresql://postgres:{PASSWORD}@127.0.0.1:{}/postgres?pool_mode=transaction",
        pooler.port()
    );
    let program = checkout().join("tests/drivers/python/pool_left.py");
    let python = driver_home().join("python/bin/python");
    let said = dormouse_runtime::task::blocking(move || {
        run(&python, &[program.to_str().unwrap()], &[("DSN", &dsn)])
    });
    assert!(said.await.good().lines().last().unwrap_or_default().starts_with("ok pool_left"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_is_too_long_to_be_read() {
    let pooler = one_backend();
    let (mut one, mut other) = (pooler.client("transaction").await, pooler.client("transaction").await);
    // As drivers send a file that they write into the text.
    let file = "f".repeat(70 << 20);
    one.query(&format!("select length('{file}')")).await;
    assert_eq!(one.rows().await.unwrap(), [file.len().to_string()]);
    // PostgreSQL does not list custom settings: one must have been set by a text that was read.
    exchange(&mut one, &simple("set app.tenant = '41'"), "C:SET Z:I").await;
    let set = "set search_path = elsewhere; select set_config('app.tenant', '42', false)";
    one.query(&format!("{set} where length('{file}') > 0")).await;
    assert_eq!(one.rows().await.unwrap(), ["42"]);
    assert_eq!(ask(&mut other, PATH).await, USUAL);
    assert_eq!(ask(&mut other, TENANT).await, "");
    assert_eq!(ask(&mut one, PATH).await, "elsewhere");
    assert_eq!(ask(&mut one, TENANT).await, "42");
    // What keeps a backend does so.
    let mut third = pooler.client("transaction").await;
    third.query(&format!("create temp table mine as select 1 as x; select length('{file}')")).await;
    assert_eq!(third.rows().await.unwrap(), [file.len().to_string()]);
    other.query("select 1").await;
    assert_eq!(other.error().await.fields.code(), "53300", "it waits in vain");
    assert_eq!(ask(&mut third, "select x from mine").await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spellings_that_are_not_what_they_seem() {
    let pooler = one_backend();
    const WHO: &str = "select current_user::text";
    let who = ask(&mut pooler.client("transaction").await, WHO).await;
    let bob = (simple("set role bob"), "C:SET Z:I");
    let elsewhere = (simple("set search_path = elsewhere"), "C:SET Z:I");
    // A custom setting, and not the session's authorization.
    let reset = simple("set session.user_id = '1'; reset session.user_id");
    leaves_nothing(&pooler, &[bob.clone(), (reset, "C:SET C:RESET Z:I")], WHO, &who).await;
    let column = simple("select set_config('role', 'bob', yes) from (values (false)) v(yes)");
    leaves_nothing(&pooler, &[(column, "T:set_config D:bob C:SELECT_1 Z:I")], WHO, &who).await;
    let hidden = simple("select U&\"set!005fconfig\" UESCAPE '!'('role', 'bob', false)");
    leaves_nothing(&pooler, &[(hidden, "T:set_config D:bob C:SELECT_1 Z:I")], WHO, &who).await;
    // PostgreSQL refuses it there.
    let refused = simple("rollback; discard all");
    leaves_nothing(&pooler, &[elsewhere, (refused, "C:ROLLBACK E:25001 Z:I")], PATH, USUAL).await;
    // Nobody's expressions are overlooked.
    let path = "length(set_config('search_path', 'elsewhere', false))";
    let table = simple(&format!("table one union all select {path}"));
    leaves_nothing(&pooler, &[(table, "T:id D:1 D:9 C:SELECT_2 Z:I")], PATH, USUAL).await;
    let parameters = simple(&format!("prepare p(int) as select $1 as x; execute p({path}); deallocate p"));
    leaves_nothing(&pooler, &[(parameters, "C:PREPARE T:x D:9 C:SELECT_1 C:DEALLOCATE Z:I")], PATH, USUAL)
        .await;
    keeps(&pooler, &[(simple("select 1 as a into table pg_temp.x"), "C:SELECT_1 Z:I")]).await;
}

#[tokio::test]
async fn settings_end_with_their_transaction_where_that_is_wanted() {
    let pooler = Pooler::start(&[("server_reset_query_always", "1"), ("default_pool_size", "1")]);
    let (mut pooled, mut alone) = (pooler.client("transaction").await, pooler.client("transaction").await);
    let shown = "select current_setting('app.tenant', true)";
    exchange(&mut pooled, &simple("set app.tenant = 'a'"), "C:SET Z:I").await;
    assert_eq!(ask(&mut pooled, shown).await, "");
    assert_eq!(ask(&mut alone, shown).await, "");
    exchange(&mut pooled, &simple("begin"), "C:BEGIN Z:T").await;
    exchange(&mut pooled, &simple("set app.tenant = 'b'"), "C:SET Z:T").await;
    assert_eq!(ask(&mut pooled, shown).await, "b", "not before its end");
    exchange(&mut pooled, &simple("commit"), "C:COMMIT Z:I").await;
    assert_eq!(ask(&mut pooled, shown).await, "");
    // In session mode they end with the session.
    drop((pooled, alone));
    let mut session = pooler.client("session").await;
    exchange(&mut session, &simple("set app.tenant = 'c'"), "C:SET Z:I").await;
    assert_eq!(ask(&mut session, shown).await, "c");
}

#[tokio::test]
async fn what_a_function_sets_is_not_left_where_postgresql_reports_it() {
    let pooler = one_backend();
    let made = "create function set_zone() returns int language plpgsql as
        $$begin perform set_config('timezone', 'Asia/Tokyo', false); return 1; end$$";
    pooler.foreign.sql("postgres", made);
    let (mut one, mut other) = (pooler.client("transaction").await, pooler.client("transaction").await);
    let before = ask(&mut other, "show timezone").await;
    for round in 0..2 {
        let call = "select set_zone()";
        let say = if round == 0 { simple(call) } else { extended(call, 0) };
        let heard = if round == 0 { "T:set_zone D:1 C:SELECT_1 Z:I" } else { "1 2 D:1 C:SELECT_1 Z:I" };
        exchange(&mut one, &say, heard).await;
        assert_eq!(ask(&mut other, "show timezone").await, before);
        assert_eq!(ask(&mut one, "show timezone").await, "Asia/Tokyo", "it has what it made");
    }
}
