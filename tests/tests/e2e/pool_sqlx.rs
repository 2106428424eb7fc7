//! sqlx through the pool: named statements (`persistent(true)`) and the same traffic with the unnamed
//! one, which crosses from one series to the next; its migrator, which holds an advisory lock of the
//! session; its own pool; settings of its startup packet.

use std::borrow::Cow;

use sqlx_core::connection::{ConnectOptions, Connection};
use sqlx_core::executor::Executor;
use sqlx_core::migrate::{Migration, MigrationType, Migrator};
use sqlx_core::query::query;
use sqlx_core::raw_sql::raw_sql;
use sqlx_core::row::Row;
use sqlx_core::sql_str::{AssertSqlSafe, SqlSafeStr};
use sqlx_postgres::{PgConnectOptions, PgConnection, PgListener, PgPoolOptions, Postgres};

use crate::pool_house::House;
use crate::pool_rust::{Driver, elsewhere, everything, setting};

struct Sqlx<'a> {
    runtime: &'a tokio::runtime::Runtime,
    connection: PgConnection,
    persistent: bool,
}

fn state(error: &sqlx_core::Error) -> String {
    let code = error.as_database_error().and_then(|e| e.code().map(Cow::into_owned));
    code.unwrap_or_else(|| error.to_string())
}

impl Driver for Sqlx<'_> {
    fn ask(&mut self, text: &str, n: i32) -> Result<String, String> {
        let asked = query::<Postgres>(AssertSqlSafe(text.to_owned())).bind(n).persistent(self.persistent);
        let row = self.runtime.block_on(self.connection.fetch_one(asked)).map_err(|e| state(&e))?;
        Ok(row.get(0))
    }

    fn plain(&mut self, text: &str) -> Result<(), String> {
        let asked = raw_sql(AssertSqlSafe(text.to_owned()));
        self.runtime.block_on(self.connection.execute(asked)).map(|_| ()).map_err(|e| state(&e))
    }
}

fn matrix(persistent: bool) {
    let house = House::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let options: PgConnectOptions = house.dsn().parse().unwrap();
    let connect = || {
        let connection = runtime.block_on(options.connect()).unwrap();
        Sqlx { runtime: &runtime, connection, persistent }
    };
    everything(&house, connect);
    let (mut a, mut b) = (connect(), connect());
    // It asks for these when it connects.
    elsewhere(&mut b, || assert_eq!(setting(&mut a, "extra_float_digits"), "2"));
    assert_eq!(setting(&mut a, "TimeZone"), "UTC");
    own_transactions(&mut a, &mut b);
    if persistent {
        runtime.block_on(migrations(&options));
        runtime.block_on(listener(&house.dsn()));
        runtime.block_on(own_pool(&options));
    }
    drop((a, b));
    house.assert_clean_log();
}

/// A transaction that is dropped is rolled back lazily, in front of the next statement.
fn own_transactions(a: &mut Sqlx<'_>, b: &mut Sqlx<'_>) {
    a.plain("create table pool_sqlx (i int)").unwrap();
    let (runtime, mut kept) = (a.runtime, 0);
    for commit in [false, true, false] {
        runtime.block_on(async {
            let mut transaction = a.connection.begin().await.unwrap();
            transaction.execute("insert into pool_sqlx values (1)").await.unwrap();
            let mut inner = transaction.begin().await.unwrap();
            inner.execute("insert into pool_sqlx values (2)").await.unwrap();
            drop(inner);
            if commit {
                transaction.commit().await.unwrap();
            }
        });
        kept += i32::from(commit);
        let count = "select count(*)::text as v from pool_sqlx where $1::int = 1";
        assert_eq!(a.ask(count, 1).unwrap(), kept.to_string(), "commit: {commit}");
        assert_eq!(elsewhere(b, || a.ask(count, 1).unwrap()), kept.to_string());
    }
    a.plain("drop table pool_sqlx").unwrap();
}

async fn migrations(options: &PgConnectOptions) {
    let step = |version, kind, sql: &'static str, no_tx| {
        Migration::new(version, Cow::Borrowed("step"), kind, sql.into_sql_str(), no_tx)
    };
    let migrator = Migrator::with_migrations(vec![
        step(
            1,
            MigrationType::ReversibleUp,
            "create table pool_sqlx_m (i int); insert into pool_sqlx_m values (1)",
            false,
        ),
        step(1, MigrationType::ReversibleDown, "drop table pool_sqlx_m", false),
        step(2, MigrationType::ReversibleUp, "create index pool_sqlx_ix on pool_sqlx_m (i)", true),
        step(2, MigrationType::ReversibleDown, "drop index pool_sqlx_ix", false),
    ]);
    let pool = PgPoolOptions::new().max_connections(4).connect_with(options.clone()).await.unwrap();
    // Two at once: the lock must let only one of them work.
    let (one, two) = futures_util::future::join(migrator.run(&pool), migrator.run(&pool)).await;
    one.unwrap();
    two.unwrap();
    migrator.undo(&pool, 0).await.unwrap();
    migrator.run(&pool).await.unwrap();
    let row = pool.fetch_one("select count(*) from _sqlx_migrations where success").await.unwrap();
    assert_eq!(row.get::<i64, _>(0), 2);
    let locks = pool.fetch_one("select count(*) from pg_locks where locktype = 'advisory'").await.unwrap();
    assert_eq!(locks.get::<i64, _>(0), 0, "the migrator's lock is gone");
    migrator.undo(&pool, 0).await.unwrap();
    pool.close().await;
}

async fn listener(dsn: &str) {
    let mut listener = PgListener::connect(dsn).await.unwrap();
    listener.listen("here").await.unwrap();
    let options: PgConnectOptions = dsn.parse().unwrap();
    let mut other = options.connect().await.unwrap();
    for i in 0..3 {
        let tell = query::<Postgres>("select pg_notify('here', $1)").bind(i.to_string());
        other.execute(tell).await.unwrap();
        assert_eq!(listener.recv().await.unwrap().payload(), i.to_string());
    }
    other.close().await.unwrap();
}

async fn own_pool(options: &PgConnectOptions) {
    let pool = PgPoolOptions::new().max_connections(10).connect_with(options.clone()).await.unwrap();
    let work = (0..60i32).map(|i| {
        let pool = &pool;
        async move {
            let mut transaction = pool.begin().await.unwrap();
            let row = transaction.fetch_one(query::<Postgres>("select $1::int + 1").bind(i)).await.unwrap();
            assert_eq!(row.get::<i32, _>(0), i + 1);
            if i % 2 == 0 {
                transaction.commit().await.unwrap();
            }
        }
    });
    futures_util::future::join_all(work).await;
    let mut connection = pool.acquire().await.unwrap();
    let out = connection.copy_out_raw("copy (select generate_series(1, 100)) to stdout").await;
    let chunks: Vec<bytes::Bytes> = futures_util::TryStreamExt::try_collect(out.unwrap()).await.unwrap();
    assert_eq!(chunks.iter().filter(|c| !c.is_empty()).count(), 100);
    connection.ping().await.unwrap();
    drop(connection);
    pool.close().await;
}

#[test]
fn sqlx_with_named_statements() {
    matrix(true);
}

#[test]
fn sqlx_with_unnamed_statements() {
    matrix(false);
}
