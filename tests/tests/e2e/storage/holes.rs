//! WAL stays until it is stored, from the first statement on; and where it was lost all the same, no point is made.

use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_tests::Project;
use tokio_postgres::Client;

use super::{FILL, ROWS, Site};

const SUPERUSER: &str = "owner_is_superuser";

/// Gives PostgreSQL every reason to recycle WAL: 13 segments with little in them, and two checkpoints.
async fn recycle(client: &Client) {
    for _ in 0..13 {
        client.batch_execute("select pg_logical_emit_message(true, 'x', 'x')").await.unwrap();
        client.batch_execute("select pg_switch_wal()").await.unwrap();
    }
    client.batch_execute("checkpoint").await.unwrap();
    client.batch_execute("checkpoint").await.unwrap();
}

/// The first statements of a new directory.
async fn first(site: &Site, at: &Project) {
    let client = site.open(at).await;
    let slot = "select count(*) from pg_replication_slots where slot_name = 'dormouse_wal' and wal_status = 'reserved'";
    assert_eq!(client.query_one(slot, &[]).await.unwrap().get::<_, i64>(0), 1, "it holds WAL already");
    recycle(&client).await;
}

async fn held(major: u16) {
    let mut site = Site::new(&[]);
    let wish = serde_json::json!({ "pg_version": major, "settings": { SUPERUSER: true } });
    let main = site.server.create_project(&wish);
    first(&site, &main).await;
    site.run(&main, FILL).await;
    let branch = site.server.branch(&main, "feature", &[]);
    first(&site, &branch.at).await;
    site.only_in_the_store(&main);
    first(&site, &main).await;
    assert_eq!(site.number(&main, ROWS).await, 1000);
    for at in [&main, &branch.at] {
        site.only_in_the_store(at);
    }
    assert_eq!(site.number(&branch.at, ROWS).await, 1000);
    let log = site.server.log();
    assert!(!log.contains("WAL was gone"), "{log}");
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn wal_is_held_from_the_first_statement_on() {
    for major in [15, 16, 17, 18] {
        held(major).await;
    }
}

/// Nobody may set it so low that the slot in the directory keeps PostgreSQL from starting.
#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_superuser_cannot_keep_his_database_from_starting() {
    let mut site = Site::new(&[]);
    let main = site.server.create_project(&serde_json::json!({ "settings": { SUPERUSER: true } }));
    site.run(&main, "alter system set max_replication_slots = 0").await;
    assert_eq!(site.server.act(&main, "suspend").0, 200);
    site.run(&main, FILL).await;
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_point_in_a_hole_or_behind_it_is_refused() {
    // Nothing is filed while the superuser does his worst.
    let mut site = Site::with(&[], &[("DORMOUSE_FAILPOINTS", "wal.filer.resume=sleep:6000@1")]);
    let main = site.server.create_project(&serde_json::json!({ "settings": { SUPERUSER: true } }));
    let client = site.open(&main).await;
    client.batch_execute(FILL).await.unwrap();
    let before = site.time(&main).await;
    client.batch_execute("insert into t values (1001, md5('1001'))").await.unwrap();
    let inside = site.place(&main).await;
    client.batch_execute("select pg_drop_replication_slot('dormouse_wal')").await.unwrap();
    recycle(&client).await;
    let behind = site.place(&main).await;
    client.batch_execute("insert into t values (1002, md5('1002'))").await.unwrap();
    // A listing that is not up to date would look alike for 20 seconds.
    let start = Mono::now();
    while !site.server.log().contains("WAL was gone before it could be filed") {
        assert!(start.elapsed() < Duration::from_secs(60), "{}", site.server.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    drop(client);
    // The snapshot that makes up for it.
    site.server.branch_verb(&main, "snapshot", "main", &[]).unwrap();
    for at in [&before, &inside, &behind] {
        let refused = site.server.try_branch(&main, "never", &["--at", at]).unwrap_err();
        assert!(refused.text.contains("was lost before it could be stored"), "{at}: {refused:?}");
    }
    let now = site.server.branch(&main, "now", &[]);
    assert_eq!(site.number(&now.at, ROWS).await, 1002);
    assert!(site.server.stop().1);
}
