//! What is interrupted between two things that belong together: an eviction, a promotion, a snapshot whose WAL goes.

use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_tests::{Project, Server};
use serde_json::Value;

use super::recovery::seen_from;
use super::{FILL, ROWS, Site};

/// Filling, and so writing, begins this long after a compute was woken, at the latest.
const BEGINS_WITHIN: Duration = Duration::from_millis(1500);

fn resident(server: &Server, at: &Project) -> Value {
    let text = std::fs::read(server.cluster_of(at).with_file_name("resident.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// An eviction that closes the writer's span and then cannot remove the directory.
fn evict_halfway(site: &Site, main: &Project) {
    let refused = site.server.ask(&["endpoint", "evict", &main.endpoint, "--project", &main.id]);
    assert!(refused.is_err(), "it stops before the directory is removed");
    assert!(site.server.cluster_of(main).exists());
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn what_is_written_after_half_an_eviction_counts() {
    let mut site = Site::with(&[], &[("DORMOUSE_FAILPOINTS", "node.evict.before_remove=error")]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    // Once in the same server, once in the next.
    evict_halfway(&site, &main);
    site.run(&main, "insert into t values (1001, md5('1001'))").await;
    assert_eq!(site.server.act(&main, "suspend").0, 200);
    let branch = site.server.branch(&main, "first", &[]);
    assert_eq!(site.number(&branch.at, ROWS).await, 1001);
    evict_halfway(&site, &main);
    site.server.kill_9();
    site.server.try_start_again(&[]).unwrap();
    site.run(&main, "insert into t values (1002, md5('1002'))").await;
    assert_eq!(site.server.act(&main, "suspend").0, 200);
    let branch = site.server.branch(&main, "second", &[]);
    assert_eq!(site.number(&branch.at, ROWS).await, 1002);
    site.server.fsck();
    // The machine is lost.
    assert!(site.server.stop().1);
    let (mut successor, theirs) = seen_from(&site, &main);
    let client = successor.try_connect(&theirs.dsn).await.unwrap();
    let rows: i64 = client.query_one(ROWS, &[]).await.unwrap().get(0);
    assert_eq!(rows, 1002, "all of it was in the store, and counts");
    drop(client);
    assert!(successor.stop().1);
}

/// A database whose recovery ends, and whose PostgreSQL is killed before its promotion has: `then` makes of the
/// directory what the rest of a killed promotion leaves.
async fn killed_promoting(then: impl Fn(&Site, &Project)) {
    let armed = "snapshot.manifest.before_put=error;compute.promote.before=error@1";
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    assert!(site.server.stop().1);
    site.server.try_start_again(&[("DORMOUSE_FAILPOINTS", armed)]).unwrap();
    // Without a snapshot at its end: there is something to recover.
    site.run(&main, "insert into t values (1001, md5('1001'))").await;
    site.server.evict(&main);
    site.server.try_connect(&main.dsn).await.expect_err("nobody promotes it");
    assert!(resident(&site.server, &main)["epoch"].is_u64(), "the register knows it");
    then(&site, &main);
    let start = Mono::now();
    while let Err(error) = site.server.try_connect(&main.dsn).await {
        assert!(start.elapsed() < Duration::from_secs(30), "{error:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    site.run(&main, "insert into t values (1002, md5('1002'))").await;
    assert_eq!(site.number(&main, ROWS).await, 1002);
    let on = "select ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint";
    let (on, known) = (site.number(&main, on).await, resident(&site.server, &main)["timeline"].as_i64());
    assert_eq!(Some(on), known, "it writes on the timeline that the register has");
    assert_eq!(site.server.act(&main, "suspend").0, 200);
    let branch = site.server.branch(&main, "feature", &[]);
    assert_eq!(site.number(&branch.at, ROWS).await, 1002);
    site.only_in_the_store(&main);
    assert_eq!(site.number(&main, ROWS).await, 1002);
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_promotion_killed_behind_its_signal_file_is_made_again() {
    killed_promoting(|site, main| {
        std::fs::remove_file(site.server.cluster_of(main).join("standby.signal")).unwrap();
    })
    .await;
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_promotion_killed_behind_its_history_file_is_made_again() {
    killed_promoting(|site, main| {
        let resident = resident(&site.server, main);
        let (timeline, from) = (resident["timeline"].as_u64().unwrap(), resident["from"].as_str().unwrap());
        let history = site.server.cluster_of(main).join("pg_wal").join(format!("{timeline:08X}.history"));
        std::fs::write(history, format!("{}\t{from}\tno recovery target specified\n", timeline - 1)).unwrap();
    })
    .await;
}

/// Nothing is filed at first, and without the slot nothing but `wal_keep_size` (128 MB) holds the WAL in which a backup
/// began.
#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_whose_wal_is_gone_is_not_published() {
    let armed = "wal.filer.resume=sleep:30000@1;snapshot.online.copied=sleep:20000@1";
    let mut site = Site::with(&[], &[("DORMOUSE_FAILPOINTS", armed)]);
    let wish = serde_json::json!({ "settings": { "owner_is_superuser": true } });
    let main = site.server.create_project(&wish);
    site.run(&main, FILL).await;
    tokio::time::sleep(BEGINS_WITHIN).await;
    let client = site.open(&main).await;
    client.batch_execute("select pg_drop_replication_slot('dormouse_wal')").await.unwrap();
    let refused = std::thread::scope(|threads| {
        let taking = threads.spawn(|| site.server.branch_verb(&main, "snapshot", "main", &[]));
        std::thread::sleep(Duration::from_secs(4));
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                for row in 1001..=1020 {
                    let insert = format!("insert into t values ({row}, md5('{row}'))");
                    for sql in [insert.as_str(), "select pg_switch_wal()"] {
                        client.batch_execute(sql).await.unwrap();
                    }
                }
                client.batch_execute("checkpoint").await.unwrap();
                client.batch_execute("checkpoint").await.unwrap();
            });
        });
        taking.join().unwrap()
    });
    let log = site.server.log();
    assert!(log.contains("WAL was gone before it could be filed"), "{log}");
    let refused = refused.expect_err("nobody could make anything of it");
    assert!(refused.text.contains("take another one"), "{refused:?}");
    drop(client);
    // The next one has all that it needs.
    site.server.branch_verb(&main, "snapshot", "main", &[]).unwrap();
    site.server.evict(&main);
    assert_eq!(site.number(&main, ROWS).await, 1020);
    assert!(site.server.stop().1);
}
