//! What a client says before it has heard what came of the last: settings, tables and types change meanwhile.

use dormouse_tests::pooled::Pooler;
use dormouse_tests::say::{Say, exchange};

fn simple(sql: &str) -> Say {
    Say::new().query(sql)
}

fn whole(say: Say, sql: &str) -> Say {
    say.parse("", sql).bind("", "", &[]).execute("", 0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setting_of_a_transaction_that_is_rolled_back_stays_with_nobody() {
    let pooler = Pooler::start(&[("default_pool_size", "1")]);
    let (mut one, mut other) = (pooler.client("transaction").await, pooler.client("transaction").await);
    exchange(&mut other, &simple("set role pg_monitor"), "C:SET Z:I").await;
    let who = simple("select current_user as u");
    exchange(&mut other, &who, "T:u D:pg_monitor C:SELECT_1 Z:I").await;
    let both = whole(whole(Say::new(), "begin"), "set role pg_monitor").sync();
    for end in ["rollback", "select 1/0; rollback"] {
        exchange(&mut one, &both, "1 2 C:BEGIN 1 2 C:SET Z:T").await;
        let heard = if end == "rollback" { "C:ROLLBACK Z:I" } else { "E:22012 Z:E" };
        exchange(&mut one, &simple(end), heard).await;
        if end != "rollback" {
            exchange(&mut one, &simple("commit"), "C:ROLLBACK Z:I").await;
        }
        exchange(&mut one, &simple("select current_user = session_user as u"), "T:u D:t C:SELECT_1 Z:I")
            .await;
        exchange(&mut other, &who, "T:u D:pg_monitor C:SELECT_1 Z:I").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discard_all_holds_for_what_follows_it_at_once() {
    let pooler = Pooler::start(&[("default_pool_size", "1")]);
    let mut one = pooler.client("transaction").await;
    let mine = "select current_user = session_user as u";
    let all = Say::new().query("set role pg_monitor").query("discard all").query(mine);
    exchange(&mut one, &all, "C:SET Z:I C:DISCARD_ALL Z:I T:u D:t C:SELECT_1 Z:I").await;
    exchange(&mut one, &simple("set role pg_monitor"), "C:SET Z:I").await;
    let asked = Say::new().query("discard all").query("do 'begin end'");
    exchange(&mut one, &asked, "C:DISCARD_ALL Z:I C:DO Z:I").await;
    exchange(&mut one, &simple(mine), "T:u D:t C:SELECT_1 Z:I").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_keep_the_types_that_were_told() {
    let pooler = Pooler::start(&[("default_pool_size", "2")]);
    pooler.foreign.sql("postgres", "create table told (a int)");
    let (mut one, mut other) = (pooler.client("transaction").await, pooler.client("transaction").await);
    let sql = "insert into told values ($1) returning pg_typeof($1)::text as t";
    let prepare = Say::new().parse("s", sql).describe_statement("s").sync();
    exchange(&mut one, &prepare, "1 t:23 T:t Z:I").await;
    let run = Say::new().bind("", "s", &["7"]).execute("", 0).sync();
    exchange(&mut one, &run, "2 D:integer C:INSERT_0_1 Z:I").await;
    exchange(&mut other, &simple("alter table told alter a type float4"), "C:ALTER_TABLE Z:I").await;
    // On that backend and on another one, where it has to be prepared now.
    for _ in 0..2 {
        exchange(&mut one, &run, "2 D:integer C:INSERT_0_1 Z:I").await;
        exchange(&mut other, &simple("begin"), "C:BEGIN Z:T").await;
        exchange(&mut one, &run, "2 D:integer C:INSERT_0_1 Z:I").await;
        exchange(&mut other, &simple("commit"), "C:COMMIT Z:I").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_prepared_behind_a_change_of_its_table_sees_it() {
    let pooler = Pooler::start(&[("default_pool_size", "1")]);
    pooler.foreign.sql("postgres", "create table seen as select 1 as a");
    let mut one = pooler.client("transaction").await;
    let read = |say: Say| whole(say, "select * from seen").sync();
    for _ in 0..2 {
        exchange(&mut one, &read(Say::new()), "1 2 D:1 C:SELECT_1 Z:I").await;
    }
    let both = read(Say::new().query("alter table seen add b int default 2"));
    exchange(&mut one, &both, "C:ALTER_TABLE Z:I 1 2 D:1|2 C:SELECT_1 Z:I").await;
    let both = read(whole(Say::new(), "alter table seen add c int default 3"));
    exchange(&mut one, &both, "1 2 C:ALTER_TABLE 1 2 D:1|2|3 C:SELECT_1 Z:I").await;
}
