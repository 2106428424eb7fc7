//! What a database may hold goes to the store and comes back: large tables, very many tables, other
//! databases, large values, sequences; what cannot is refused in words.

use dormouse_tests::Project;

use super::{FILL, Site};

/// Evicts, wakes and branches; all three must answer the same.
async fn same_everywhere(site: &Site, main: &Project, query: &str, wanted: i64) {
    assert_eq!(site.number(main, query).await, wanted, "before");
    site.only_in_the_store(main);
    assert_eq!(site.number(main, query).await, wanted, "evicted and woken");
    let branch = site.server.branch(main, "copy", &[]);
    assert_eq!(site.number(&branch.at, query).await, wanted, "in a branch");
    assert_eq!(site.server.act(&branch.at, "suspend").0, 200);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_table_of_many_chunks_with_index_and_large_values() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    let large = "create table t(n int primary key, t text); create index on t(t); \
                 insert into t select g, md5(g::text) || repeat(md5(g::text), 20) from generate_series(1, 40000) g; \
                 create table toasted as select g as n, (select string_agg(md5(g || '.' || i), '') \
                 from generate_series(1, 2000) i) as t from generate_series(1, 60) g; \
                 select lo_from_bytea(4711, convert_to(repeat('large object', 50000), 'utf8'))";
    site.run(&main, large).await;
    let query = "select count(*) + (select sum(length(t)) from toasted) + length(lo_get(4711)) from t \
                 where t = md5(n::text) || repeat(md5(n::text), 20)";
    same_everywhere(&site, &main, query, 40_000 + 60 * 64_000 + 600_000).await;
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn very_many_tables() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    let many = "do $$ begin for i in 1..600 loop execute format('create table t%s(n int primary key)', i); \
                execute format('insert into t%s values (%s)', i, i); end loop; end $$; \
                create sequence s; select nextval('s') from generate_series(1, 100)";
    site.run(&main, many).await;
    let total = "create function total() returns bigint language plpgsql as $$ \
                 declare r record; one bigint; whole bigint := 0; begin \
                 for r in select relname from pg_class where relname ~ '^t[0-9]+$' loop \
                 execute 'select sum(n) from ' || r.relname into one; whole := whole + one; end loop; \
                 return whole; end $$";
    site.run(&main, total).await;
    same_everywhere(&site, &main, "select total()", 180_300).await;
    assert!(site.number(&main, "select nextval('s')").await > 100, "a sequence never goes back");
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn databases_made_with_both_strategies() {
    let mut site = Site::new(&[]);
    let wishes = serde_json::json!({ "settings": { "owner_is_superuser": true } });
    let main = site.server.create_project(&wishes);
    site.run(&main, "create database origin").await;
    let of = |at: &Project, name: &str| Project {
        dsn: at.dsn.replace("/app?", &format!("/{name}?")),
        ..at.clone()
    };
    site.run(&of(&main, "origin"), FILL).await;
    for strategy in ["wal_log", "file_copy"] {
        site.run(&main, &format!("create database {strategy} template origin strategy {strategy}")).await;
    }
    let before = site.server.branch(&main, "before", &[]);
    site.run(&main, "drop database wal_log").await;
    site.only_in_the_store(&main);
    for strategy in ["wal_log", "file_copy"] {
        assert_eq!(site.number(&of(&before.at, strategy), super::ROWS).await, 1000, "{strategy}");
    }
    assert_eq!(site.number(&of(&main, "file_copy"), super::ROWS).await, 1000);
    assert_eq!(site.number(&main, "select count(*) from pg_database where datname = 'wal_log'").await, 0);
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn unlogged_tables_and_prepared_transactions() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    let settings = serde_json::json!({ "settings": { "pg_settings": { "max_prepared_transactions": "5" } } });
    site.server.change_endpoint(&main, &settings);
    site.run(&main, FILL).await;
    site.run(&main, "create unlogged table u as select * from t").await;
    site.run(&main, "begin; insert into t values (-1, 'prepared'); prepare transaction 'p'").await;
    let branch = site.server.branch(&main, "of-running", &[]);
    site.only_in_the_store(&main);
    for at in [&main, &branch.at] {
        let unlogged = site.number(at, "select count(*) from u").await;
        assert!(unlogged == 0 || unlogged == 1000, "empty or whole, not {unlogged}");
        site.run(at, "insert into u values (1, 'usable')").await;
        site.run(at, "commit prepared 'p'").await;
        assert_eq!(site.number(at, "select count(*) from t").await, 1001);
    }
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_tablespace_is_refused_in_words_and_harms_nothing() {
    let mut site = Site::new(&[]);
    let wishes = serde_json::json!({ "settings": { "owner_is_superuser": true } });
    let main = site.server.create_project(&wishes);
    site.run(&main, FILL).await;
    let elsewhere = site.dir.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let owner = site.server.uid_of(&main);
    std::os::unix::fs::chown(&elsewhere, Some(owner), None).unwrap();
    let make = format!("create tablespace elsewhere location '{}'", elsewhere.display());
    if site.open(&main).await.batch_execute(&make).await.is_err() {
        // Refused where it is made is the best answer.
        assert_eq!(site.number(&main, super::ROWS).await, 1000);
        return;
    }
    let refused = site.server.branch_verb(&main, "snapshot", "main", &[]).unwrap_err();
    assert!(refused.text.contains("tablespace"), "{refused:?}");
    assert_eq!(site.number(&main, super::ROWS).await, 1000, "it works on");
    // PostgreSQL could not replay that anywhere else: the files here are the only ones.
    assert_eq!(site.server.act(&main, "suspend").0, 200);
    let (status, reply) = site.server.act(&main, "evict");
    assert!(status == 409 && reply.to_string().contains("tablespace"), "{status} {reply}");
    assert_eq!(site.number(&main, super::ROWS).await, 1000);
    site.run(&main, "drop tablespace elsewhere").await;
    site.server.branch_verb(&main, "snapshot", "main", &[]).unwrap();
    assert!(site.server.stop().1);
}
