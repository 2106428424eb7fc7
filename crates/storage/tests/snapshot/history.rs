//! Snapshots through the life of a database: after each kind of change, every snapshot still restores to
//! what it was.

use dormouse_storage::snapshot::Taken;

use crate::cluster::Cluster;
use crate::lab::Lab;

const SCHEMA: &str = "
    create table accounts (id int primary key, balance int, filler text);
    insert into accounts select g, 0, repeat(md5(g::text), 3) from generate_series(1, 60000) g;
    create table events (id bigserial primary key, at timestamptz default '2026-01-01', what jsonb);
    insert into events (what) select jsonb_build_object('n', g) from generate_series(1, 20000) g;
    create unlogged table scratch (id int primary key, t text);
    insert into scratch select g, 'x' from generate_series(1, 5000) g;
    create index on accounts (balance);
    create table big (t text); alter table big alter t set storage external;
    insert into big select string_agg(md5(g::text || h::text), '') from generate_series(1, 2000) g, generate_series(1, 20) h group by h;";

/// What is done between snapshots: a name and statements.
const STEPS: [(&str, &str); 7] = [
    (
        "updates",
        "update accounts set balance = id % 7 where id % 5000 = 3; insert into events (what) values ('{}'); checkpoint;",
    ),
    (
        "truncate and refill",
        "truncate events; insert into events (what) select '{\"a\": 1}' from generate_series(1, 500); truncate scratch; insert into scratch values (1, 'y');",
    ),
    ("vacuum full", "delete from accounts where id % 2 = 0; vacuum full accounts; vacuum analyze events;"),
    (
        "indexes",
        "create index on accounts (filler); create index on accounts using gist (box(point(id, id), point(id, id))); create index on accounts using hash (id); reindex table events;",
    ),
    (
        "databases",
        "create database copied strategy file_copy; create database logged strategy wal_log; create table only_here as select 1 as one;",
    ),
    (
        "drop and in-place truncation",
        "drop database copied; begin; create table t as select g from generate_series(1, 9000) g; truncate t; insert into t values (1); commit; delete from accounts where id > 30000; vacuum accounts;",
    ),
    ("nothing", "select 1;"),
];

async fn life(major: u16) {
    let lab = Lab::new();
    let Some(mut cluster) = Cluster::new(major, lab.path(), "c") else { return };
    cluster.start();
    cluster.sql(SCHEMA);
    let mut past: Vec<(Taken, String)> = Vec::new();
    let mut record = cluster.content();
    cluster.stop();
    past.push((lab.clean(&cluster, None).await, record));
    for (number, (name, sql)) in STEPS.iter().enumerate() {
        cluster.start();
        cluster.sql(sql);
        if number % 2 == 0 {
            let online = lab.online(&cluster, past.last().map(|(taken, _)| taken)).await;
            assert!(online.record.redo < online.record.lsn);
            println!("{major} {name}: online {:?}", online.stats);
            // An unlogged table is empty after recovery.
            let content = cluster.content();
            let lines = content.lines().map(|l| if l.starts_with("scratch|") { "scratch|0|0" } else { l });
            let content: String = lines.flat_map(|l| [l, "\n"]).collect();
            cluster.sql("select pg_switch_wal()");
            // Each version proves half of them: a proof starts PostgreSQL and reads everything.
            if number % 4 == usize::from(major == 15) * 2 {
                lab.proves(&online, &cluster, &content).await;
            }
            past.push((online, String::new()));
        }
        record = cluster.content();
        cluster.stop();
        let taken = lab.clean(&cluster, past.last().map(|(taken, _)| taken)).await;
        println!("{major} {name}: clean {:?}", taken.stats);
        // In the first seconds of the cluster's life every file is racy.
        assert!(number < 3 || taken.stats.kept_files > 500, "most files did not change");
        past.push((taken, record));
    }
    // A snapshot of the stopped cluster with the same base once more: the same objects, nothing is replaced.
    let again = lab.clean(&cluster, past.last().map(|(taken, _)| taken)).await;
    assert_eq!(again.record.manifest, past.last().unwrap().0.record.manifest);
    let clean: Vec<_> = past.iter().filter(|(_, record)| !record.is_empty()).collect();
    for (taken, record) in clean.iter().rev().skip(usize::from(major == 15)).step_by(2) {
        lab.proves(taken, &cluster, record).await;
    }
}

#[tokio::test]
async fn every_snapshot_of_a_life_restores_15() {
    life(15).await;
}

#[tokio::test]
async fn every_snapshot_of_a_life_restores_18() {
    life(18).await;
}

#[tokio::test]
#[ignore = "the versions between the oldest and the newest; a minute"]
async fn every_snapshot_of_a_life_restores_16() {
    life(16).await;
}

async fn many_tables(count: u32) {
    let lab = Lab::new();
    let Some(mut cluster) = Cluster::new(18, lab.path(), "c") else { return };
    cluster.start();
    for group in 0..count / 500 {
        cluster.sql(&format!(
            "do $$ begin for i in 1..500 loop execute format('create table t%s_%s (id int primary key, t text)', {group}, i); \
             execute format('insert into t%s_%s values (1, ''x'')', {group}, i); end loop; end $$;"
        ));
    }
    let record = cluster.content();
    cluster.stop();
    let first = lab.clean(&cluster, None).await;
    println!("first: {:?}", first.stats);
    cluster.start();
    cluster.sql("update t1_7 set t = 'y'");
    let changed = cluster.content();
    cluster.stop();
    let second = lab.clean(&cluster, Some(&first)).await;
    println!("second: {:?}", second.stats);
    assert!(second.manifest.files.len() > count as usize * 2);
    if count > 2000 {
        lab.proves(&first, &cluster, &record).await;
    }
    lab.proves(&second, &cluster, &changed).await;
}

#[tokio::test]
async fn two_thousand_tables() {
    many_tables(2000).await;
}

#[tokio::test]
#[ignore = "a minute"]
async fn ten_thousand_tables() {
    many_tables(10_000).await;
}
