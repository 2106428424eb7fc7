//! A client that begins with a role: what it says of roles in transactions means through a pool what it means to
//! PostgreSQL, although its backend began without one, and another client has it in between.

use dormouse_tests::foreign;
use dormouse_tests::pooled::{PASSWORD, Pooler};
use dormouse_tests::raw::{PROTOCOL_3_0, Raw, startup};
use dormouse_tests::say::{Say, exchange};

const MADE: &str = "create role anna; create role bob; grant anna to bob; create role carl";

const WHO: &str = "select session_user || ' ' || current_user";

/// Texts of one client, one after the other; then it is asked who it is. A `;` in front: by messages.
const SESSIONS: &[&[&str]] = &[
    &["begin", "set role none; reset role", "commit"],
    &["begin", "reset role; set role none", "commit"],
    &["begin; set role none; reset role; commit"],
    &["begin; set role none; commit; begin; reset role; rollback"],
    &["begin", "set role none", "reset work_mem", "commit"],
    &["begin", "set role none; reset work_mem; reset all", "commit"],
    &["set role none", "begin", "reset role", "rollback"],
    &["set role none", "begin; reset role; rollback"],
    &["set role none", "begin", "reset role", "select 1/0", "commit"],
    &["set role none", "begin; reset role; select 1/0; commit", "rollback"],
    &["set role none", "reset role; select 1/0"],
    &["set role none", "begin; reset role; commit; select 1/0"],
    &["begin", "set role none", "savepoint a", "reset role", "rollback to a", "commit"],
    &["begin", "savepoint a", "set role none", "rollback to a", "commit"],
    &["begin", "savepoint a; set role none; savepoint a", "rollback to a; release a; rollback to a; commit"],
    &["begin", "savepoint a", "set role none", "select 1/0", "rollback to a", "set role none", "commit"],
    &["begin", "set role none", "set local role bob", "commit"],
    &["begin", "reset role; set local role none", "commit"],
    &["begin", "select set_config('role', 'none', false); reset role; set role 'none'", "commit"],
    &["begin; set role none; commit and chain; reset role; rollback and chain; reset role", "rollback"],
    &["begin", "set session authorization bob; reset session authorization", "commit"],
    &["begin", "set session authorization bob", "commit", "begin", "reset session authorization", "rollback"],
    &["begin", "set session authorization bob; set role none; reset role", "commit"],
    // PostgreSQL does not ask whether one may go back to the role of the startup.
    &["set session authorization carl; reset role"],
    &["set session authorization carl", "reset role"],
    &["begin", "set session authorization carl", "reset role", "commit"],
    &["do 'begin perform set_config(''session_authorization'', ''carl'', false); end'"],
    &["set role none", "do 'begin perform set_config(''work_mem'', ''9MB'', false); end'"],
    &["set role none; discard all"],
    &["set role none", "discard all"],
    &[";begin", ";set role none", ";savepoint a", ";reset role", ";rollback to a", ";commit"],
    &[";begin", ";savepoint a", ";set role none", ";release a", ";select 1/0", ";rollback"],
    &["set role none", ";begin", ";reset role", ";commit"],
    &["set role none", ";begin", ";reset role", ";rollback"],
];

/// A client with a role, on the pool's only backend or directly.
async fn begins(port: u16, password: &str, params: &[(&str, &str)]) -> Raw {
    let mut raw = Raw::open(port).await;
    let common = [("user", "postgres"), ("database", "postgres")];
    raw.login(&startup(PROTOCOL_3_0, &[&common[..], params].concat()), password).await.unwrap();
    raw
}

/// Says one text, and hears all that comes of it.
async fn say(raw: &mut Raw, text: &str) {
    let say = match text.strip_prefix(';') {
        Some(text) => Say::new().parse("", text).bind("", "", &[]).execute("", 0).sync(),
        None => Say::new().query(text),
    };
    raw.send(&say.0).await;
    while raw.message().await.expect("the connection stays").tag != b'Z' {}
}

async fn who(raw: &mut Raw) -> String {
    raw.query(WHO).await;
    raw.rows().await.map_or_else(|error| format!("{error:?}"), |mut rows| rows.remove(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_played_as_without_a_pool() {
    let pooler = Pooler::start(&[("default_pool_size", "1"), ("query_wait_timeout", "5")]);
    pooler.foreign.sql("postgres", MADE);
    let pooled = [("pool_mode", "transaction"), ("role", "anna")];
    for texts in SESSIONS {
        let mut direct = begins(pooler.foreign.port(), foreign::PASSWORD, &pooled[1..]).await;
        let mut one = begins(pooler.port(), PASSWORD, &pooled).await;
        let mut other = begins(pooler.port(), PASSWORD, &pooled[..1]).await;
        assert_eq!(who(&mut one).await, "postgres anna");
        for text in *texts {
            say(&mut direct, text).await;
            say(&mut one, text).await;
        }
        assert_eq!(who(&mut other).await, "postgres postgres", "{texts:?}");
        let expected = who(&mut direct).await;
        assert_eq!(who(&mut one).await, expected, "{texts:?}");
        // All at once, without hearing what comes of it.
        let mut hasty = begins(pooler.port(), PASSWORD, &pooled).await;
        let all =
            texts.iter().filter(|text| !text.starts_with(';')).fold(Say::new(), |say, text| say.query(text));
        if texts.iter().all(|text| !text.starts_with(';')) {
            hasty.send(&all.0).await;
            let mut ends = 0;
            while ends < texts.len() {
                ends += usize::from(hasty.message().await.unwrap().tag == b'Z');
            }
            assert_eq!(who(&mut other).await, "postgres postgres", "{texts:?}");
            assert_eq!(who(&mut hasty).await, expected, "{texts:?}");
        }
    }
}

/// A portal that was bound by a message and is executed by SQL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_portal_that_sql_reads_is_executed() {
    let pooler = Pooler::start(&[("default_pool_size", "1"), ("query_wait_timeout", "1")]);
    let set = "select set_config('search_path', 'elsewhere', false)";
    let lock = "select pg_advisory_lock(1)";
    for (by_messages, read) in [
        (false, "fetch all from p"),
        (false, "move all in p"),
        (true, "fetch p"),
        (false, "select 1; fetch p"),
    ] {
        for sql in [set, lock] {
            let mut one = begins(pooler.port(), PASSWORD, &[("pool_mode", "transaction")]).await;
            let mut other = begins(pooler.port(), PASSWORD, &[("pool_mode", "transaction")]).await;
            let bound = Say::new().parse("", sql).bind("p", "", &[]).sync();
            exchange(&mut one, &Say::new().query("begin"), "C:BEGIN Z:T").await;
            exchange(&mut one, &bound, "1 2 Z:T").await;
            say(&mut one, &if by_messages { format!(";{read}") } else { read.to_owned() }).await;
            exchange(&mut one, &Say::new().query("commit"), "C:COMMIT Z:I").await;
            other.query("show search_path").await;
            if sql == set {
                assert_eq!(other.rows().await.unwrap(), ["\"$user\", public"], "{read}");
            } else {
                assert_eq!(other.error().await.fields.code(), "53300", "{read}: it waits in vain");
            }
        }
    }
    // What SQL closes is gone, and its name free.
    let mut one = begins(pooler.port(), PASSWORD, &[("pool_mode", "transaction")]).await;
    let bind = Say::new().parse("", "select 1").bind("p", "", &[]);
    exchange(&mut one, &Say::new().query("begin"), "C:BEGIN Z:T").await;
    exchange(&mut one, &bind.clone().sync(), "1 2 Z:T").await;
    exchange(&mut one, &Say::new().query("close p"), "C:CLOSE_CURSOR Z:T").await;
    exchange(&mut one, &bind.execute("p", 0).sync(), "1 2 D:1 C:SELECT_1 Z:T").await;
    exchange(&mut one, &Say::new().query("close all"), "C:CLOSE_CURSOR_ALL Z:T").await;
    exchange(&mut one, &Say::new().execute("p", 0).sync(), "E:34000 Z:E").await;
    exchange(&mut one, &Say::new().query("commit"), "C:ROLLBACK Z:I").await;
}
