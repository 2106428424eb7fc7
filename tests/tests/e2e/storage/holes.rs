//! WAL stays until it is stored, from the first statement on.

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
