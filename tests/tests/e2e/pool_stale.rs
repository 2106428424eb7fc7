//! What is too old, and what is too large, through a pool.

use dormouse_tests::pooled::Pooler;
use dormouse_tests::raw::Raw;
use dormouse_tests::say::{Say, exchange};

/// A series that prepares and runs one statement.
fn all_of_it(name: &str) -> Say {
    Say::new()
        .parse(name, "select * from stale")
        .bind("", name, &[])
        .describe_portal("")
        .execute("", 0)
        .sync()
}

/// Tables are changed past the pool.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_parses_sees_tables_as_they_are() {
    let pooler = Pooler::start(&[("default_pool_size", "1")]);
    pooler.foreign.sql("postgres", "create table stale as select 1 as a");
    let (mut old, mut new) = (pooler.client("transaction").await, pooler.client("transaction").await);
    exchange(&mut old, &all_of_it("s"), "1 2 T:a D:1 C:SELECT_1 Z:I").await;
    pooler.foreign.sql("postgres", "alter table stale add b int default 2");
    exchange(&mut new, &all_of_it("other"), "1 2 T:a|b D:1|2 C:SELECT_1 Z:I").await;
    // Again, with Describe of the statement, as drivers prepare; and without a name, twice, so that it is shared.
    pooler.foreign.sql("postgres", "alter table stale add c int default 3");
    let prepare = Say::new().parse("third", "select * from stale").describe_statement("third").sync();
    exchange(&mut new, &prepare, "1 t: T:a|b|c Z:I").await;
    pooler.foreign.sql("postgres", "alter table stale drop a");
    exchange(&mut old, &all_of_it(""), "1 2 T:b|c D:2|3 C:SELECT_1 Z:I").await;
    // In a transaction nothing can be done twice: the error is told, and the next try is right.
    pooler.foreign.sql("postgres", "alter table stale drop b");
    exchange(&mut new, &Say::new().query("begin"), "C:BEGIN Z:T").await;
    exchange(&mut new, &all_of_it("fourth"), "1 E:0A000 Z:E").await;
    exchange(&mut new, &Say::new().query("rollback"), "C:ROLLBACK Z:I").await;
    exchange(&mut new, &all_of_it("fifth"), "1 2 T:c D:3 C:SELECT_1 Z:I").await;
}

/// Who prepared before tables changed is told, as by PostgreSQL itself, on whatever backend.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_prepared_before_gets_what_it_was_told_or_an_error() {
    let pooler = Pooler::start(&[("default_pool_size", "2")]);
    pooler.foreign.sql("postgres", "create table stale as select 1 as a");
    let (mut one, mut other) = (pooler.client("transaction").await, pooler.client("transaction").await);
    let prepare = |name: &str| Say::new().parse(name, "select * from stale").describe_statement(name).sync();
    let run = |name: &str| Say::new().bind("", name, &[]).execute("", 0).sync();
    for through_the_pool in [true, false] {
        exchange(&mut one, &prepare("s"), "1 t: T:a Z:I").await;
        exchange(&mut one, &run("s"), "2 D:1 C:SELECT_1 Z:I").await;
        if through_the_pool {
            exchange(&mut other, &Say::new().query("alter table stale add b int"), "C:ALTER_TABLE Z:I").await;
        } else {
            pooler.foreign.sql("postgres", "alter table stale add b int");
        }
        exchange(&mut one, &run("s"), "E:0A000 Z:I").await;
        // On a backend where it was never prepared.
        exchange(&mut other, &Say::new().query("begin"), "C:BEGIN Z:T").await;
        exchange(&mut one, &run("s"), "E:0A000 Z:I").await;
        exchange(&mut one, &run("s"), "E:0A000 Z:I").await;
        exchange(&mut one, &Say::new().describe_statement("s").sync(), "E:0A000 Z:I").await;
        // As drivers go on.
        exchange(&mut one, &Say::new().close_statement("s").sync(), "3 Z:I").await;
        exchange(&mut one, &prepare("s"), "1 t: T:a|b Z:I").await;
        exchange(&mut other, &Say::new().query("rollback"), "C:ROLLBACK Z:I").await;
        for _ in 0..2 {
            exchange(&mut one, &run("s"), "2 D:1|\\N C:SELECT_1 Z:I").await;
        }
        exchange(&mut one, &Say::new().close_statement("s").sync(), "3 Z:I").await;
        pooler.foreign.sql("postgres", "alter table stale drop b");
    }
    // What a transaction defined and rolled back is not in the way of who prepares the same again.
    for _ in 0..2 {
        let define = Say::new().query("begin; create type mood as enum ('ok'); create table moods (m mood)");
        exchange(&mut one, &define, "C:BEGIN C:CREATE_TYPE C:CREATE_TABLE Z:T").await;
        let insert = Say::new().parse("i", "insert into moods values ($1)").bind("", "i", &["ok"]);
        exchange(&mut one, &insert.execute("", 0).close_statement("i").sync(), "1 2 C:INSERT_0_1 3 Z:T")
            .await;
        exchange(&mut one, &Say::new().query("rollback"), "C:ROLLBACK Z:I").await;
    }
    // A temporary table takes a name over.
    exchange(&mut one, &all_of_it("t"), "1 2 T:a D:1 C:SELECT_1 Z:I").await;
    let take_over = Say::new().query("create temp table stale as select 'mine' as x");
    exchange(&mut one, &take_over, "C:SELECT_1 Z:I").await;
    exchange(&mut one, &all_of_it("u"), "1 2 T:x D:mine C:SELECT_1 Z:I").await;
    exchange(&mut other, &all_of_it("u"), "1 2 T:a D:1 C:SELECT_1 Z:I").await;
}

/// The same for drivers that ask what a portal returns, the first time that they run a statement, and never again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_of_a_portal_holds_as_well() {
    let pooler = Pooler::start(&[("default_pool_size", "2")]);
    pooler.foreign.sql("postgres", "create table stale as select 1 as a");
    let (mut one, mut other) = (pooler.client("transaction").await, pooler.client("transaction").await);
    exchange(&mut one, &all_of_it("s"), "1 2 T:a D:1 C:SELECT_1 Z:I").await;
    pooler.foreign.sql("postgres", "alter table stale alter a type text using 'x' || a");
    let run = Say::new().bind("", "s", &[]).execute("", 0).sync();
    exchange(&mut one, &run, "E:0A000 Z:I").await;
    // On a backend where it was never prepared; and where another has prepared it since, and asked nothing.
    exchange(&mut other, &Say::new().query("begin"), "C:BEGIN Z:T").await;
    exchange(&mut one, &run, "E:0A000 Z:I").await;
    let anew = Say::new().parse("s", "select * from stale").bind("", "s", &[]).execute("", 0).sync();
    let mut third = pooler.client("transaction").await;
    exchange(&mut third, &anew, "1 2 D:x1 C:SELECT_1 Z:I").await;
    exchange(&mut one, &run, "E:0A000 Z:I").await;
    exchange(&mut third, &run, "2 D:x1 C:SELECT_1 Z:I").await;
    exchange(&mut one, &Say::new().close_statement("s").sync(), "3 Z:I").await;
    exchange(&mut one, &all_of_it("s"), "1 2 T:a D:x1 C:SELECT_1 Z:I").await;
    exchange(&mut other, &Say::new().query("rollback"), "C:ROLLBACK Z:I").await;
    for _ in 0..2 {
        exchange(&mut one, &run, "2 D:x1 C:SELECT_1 Z:I").await;
    }
}

/// The length of a value that is far beyond every buffer.
const LONG: usize = 6 << 20;

async fn long_reply(raw: &mut Raw) {
    raw.query(&format!("select repeat('x', {LONG})")).await;
    assert_eq!(raw.rows().await.unwrap()[0].len(), LONG);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_large_passes_or_is_refused() {
    let pooler = Pooler::start(&[("default_pool_size", "1")]);
    let mut raw = pooler.client("transaction").await;
    let mut other = pooler.client("transaction").await;
    long_reply(&mut raw).await;
    // A long parameter, and as many as the protocol can count: more than the statement takes.
    let long = "p".repeat(LONG);
    let say = Say::new().parse("", "select length($1)").bind("", "", &[&long]).execute("", 0).sync();
    exchange(&mut raw, &say, &format!("1 2 D:{LONG} C:SELECT_1 Z:I")).await;
    let many = vec!["v"; usize::from(u16::MAX)];
    let say = Say::new().parse("", "select $1::text").bind("", "", &many).execute("", 0).sync();
    exchange(&mut raw, &say, "1 E:08P01 Z:I").await;
    // A long text, and a long error.
    let text = format!("select length('{long}')");
    raw.query(&text).await;
    assert_eq!(raw.rows().await.unwrap(), [LONG.to_string()]);
    raw.query("do $$ begin raise exception '%', repeat('e', 5000000); end $$").await;
    assert_eq!(raw.rows().await.unwrap_err().fields.message().len(), 5_000_000);
    // A statement that is beyond what is kept of texts is refused, at once, before it is all there.
    raw.send(&[b"P", &(65_u32 << 20).to_be_bytes()[..], b"select"].concat()).await;
    let error = raw.error().await;
    assert_eq!((error.fields.code(), error.fields.is_fatal()), ("08P01", true));
    exchange(&mut other, &Say::new().query("select 1 as x"), "T:x D:1 C:SELECT_1 Z:I").await;
}
