//! A full disk while data goes to the store or comes from it: said in words, and nothing is lost.

use super::super::disk::SmallDisk;
use super::ROWS;

use dormouse_tests::{Server, free_port};

const MANY: &str = "create table t(n int, t text); \
     insert into t select g, md5(g::text) from generate_series(1, 100000) g";

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn the_disk_fills_while_data_is_filed_and_while_it_comes_back() {
    let Some(disk) = SmallDisk::mount(500) else { return };
    let (pg, http) = (free_port().to_string(), free_port().to_string());
    // The store is on the same small disk: both directions have to cope.
    let mut server = Server::start_on(&disk.data(), &["--pg-port", &pg, "--http-port", &http]);
    let main = server.default_project();
    let client = server.connect().await;
    client.batch_execute(MANY).await.unwrap();
    drop(client);
    disk.fill();
    let (status, reply) = server.act(&main, "suspend");
    assert!(status == 200 || reply["message"].as_str().is_some_and(|m| !m.is_empty()), "{status} {reply}");
    let refused = server.ask(&["endpoint", "evict", &main.endpoint]);
    if let Err(refused) = &refused {
        assert!(refused.text.contains("full"), "{refused:?}");
        assert!(server.cluster_of(&main).exists(), "what is not in the store stays on the node");
    }
    disk.free();
    server.evict(&main);
    // Now the other direction.
    disk.fill();
    if let Ok(client) = server.try_connect(&main.dsn).await
        && let Ok(row) = client.query_one(ROWS, &[]).await
    {
        assert_eq!(row.get::<_, i64>(0), 100_000);
    }
    disk.free();
    server.until_true("it works again", || server.ask(&["endpoint", "wake", &main.endpoint]).is_ok());
    let client = server.connect().await;
    let rows: i64 = client.query_one(ROWS, &[]).await.unwrap().get(0);
    assert_eq!(rows, 100_000);
    drop(client);
    server.fsck();
    assert!(server.stop().1);
}
