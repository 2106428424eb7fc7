//! Orders of messages that hardly anybody sends: `DEALLOCATE` of a driver's name between other statements, a simple query in
//! the middle of a series.

use dormouse_tests::raw::{PROTOCOL_3_0, Raw, startup};
use dormouse_tests::say::{Say, exchange};

use crate::pool_ini::{Pooler, server};

/// As ODBC's driver ends its statements inside a transaction, and in the worst order.
#[tokio::test]
async fn a_driver_may_deallocate_between_other_statements() {
    let Some(foreign) = server(15) else { return };
    let pooler = Pooler::started(&foreign, "auth_type = scram-sha-256\npool_mode = transaction");
    for (port, database) in [(foreign.port(), "postgres"), (pooler.port, "db")] {
        let mut raw = Raw::open(port).await;
        raw.login(&startup(PROTOCOL_3_0, &[("user", "s"), ("database", database)]), "new").await.unwrap();
        let parse = |text: &str| Say::new().parse("a", text).sync();
        let run = Say::new().bind("", "a", &[]).execute("", 0).sync();
        exchange(&mut raw, &parse("select 1"), "1 Z:I").await;
        for (sql, answer) in [
            ("begin", "C:BEGIN Z:T"),
            ("savepoint s; deallocate \"a\"; release s", "C:SAVEPOINT C:DEALLOCATE C:RELEASE Z:T"),
        ] {
            exchange(&mut raw, &Say::new().query(sql), answer).await;
        }
        exchange(&mut raw, &parse("select 2"), "1 Z:T").await;
        exchange(&mut raw, &run, "2 D:2 C:SELECT_1 Z:T").await;
        let fails = Say::new().query("savepoint s; select 1/0; deallocate a");
        exchange(&mut raw, &fails, "C:SAVEPOINT E:22012 Z:E").await;
        exchange(&mut raw, &Say::new().query("rollback to s"), "C:ROLLBACK Z:T").await;
        exchange(&mut raw, &run, "2 D:2 C:SELECT_1 Z:T").await;
        exchange(&mut raw, &fails, "C:SAVEPOINT E:22012 Z:E").await;
        for (sql, answer) in [
            ("rollback to s; deallocate a; release s", "C:ROLLBACK C:DEALLOCATE C:RELEASE Z:T"),
            ("select 3; deallocate a", "T:?column? D:3 C:SELECT_1 E:26000 Z:E"),
            ("rollback", "C:ROLLBACK Z:I"),
        ] {
            exchange(&mut raw, &Say::new().query(sql), answer).await;
        }
        exchange(&mut raw, &parse("select 4"), "1 Z:I").await;
        let twice = Say::new().query("select 5; deallocate a; deallocate a");
        exchange(&mut raw, &twice, "T:?column? D:5 C:SELECT_1 C:DEALLOCATE E:26000 Z:I").await;
        // Without waiting for the answers.
        let all = Say::new().query("set lock_timeout = 0; deallocate all").parse("a", "select 6").sync();
        let all = all.query("select 7; deallocate a; select 8").parse("a", "select 9").bind("", "a", &[]);
        let answer = "C:SET C:DEALLOCATE_ALL Z:I 1 Z:I T:?column? D:7 C:SELECT_1 C:DEALLOCATE \
            T:?column? D:8 C:SELECT_1 Z:I 1 2 D:9 C:SELECT_1 Z:I";
        exchange(&mut raw, &all.execute("", 0).sync(), answer).await;
    }
}

/// PostgreSQL 18 refuses the first command after that, with an error of its own making: the client's own, as directly, but not
/// one of somebody else.
#[tokio::test]
async fn a_query_in_the_middle_of_a_series_is_nobody_elses_trouble() {
    for major in [15, 18] {
        let Some(foreign) = server(major) else { return };
        let settings = "auth_type = scram-sha-256\npool_mode = transaction\ndefault_pool_size = 1";
        let pooler = Pooler::started(&foreign, settings);
        let open = async || {
            let mut raw = Raw::open(pooler.port).await;
            raw.login(&startup(PROTOCOL_3_0, &[("user", "s"), ("database", "db")]), "new").await.unwrap();
            raw
        };
        let (mut odd, mut other) = (open().await, open().await);
        exchange(&mut other, &Say::new().query("set work_mem = '3MB'"), "C:SET Z:I").await;
        let series = || Say::new().parse("", "select 1").bind("", "", &[]).execute("", 0);
        for text in ["select 2", "unlisten *", "do $$begin perform set_config('a.b', 'c', false); end$$"] {
            odd.send(&series().query(text).sync().0).await;
            let mut ready = 0;
            while ready < 2 {
                ready += u32::from(odd.message().await.unwrap().tag == b'Z');
            }
            let shown = Say::new().query("select current_setting('work_mem')");
            exchange(&mut other, &shown, "T:current_setting D:3MB C:SELECT_1 Z:I").await;
            exchange(&mut odd, &series().sync(), "1 2 D:1 C:SELECT_1 Z:I").await;
        }
    }
}
