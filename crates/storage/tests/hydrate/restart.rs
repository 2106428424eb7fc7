//! Restarts of the server and of the machine.

use std::fs;
use std::time::Duration;

use dormouse_storage::hydrate::{HydrateError, Hydration, Life, Metrics, Tuning, stored_plan};

use super::cluster::{SUM, Sparse, sum};

fn no_background() -> Tuning {
    Tuning { background: 0, ..Tuning::default() }
}

/// Waits until the directory as it was made is on the disk.
async fn durable(sparse: &Sparse) {
    let mark = sparse.place.state.join("durable");
    let wait = async {
        while !mark.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap();
}

/// As after a loss of power: the bits are gone, the boot is another one.
fn forget_boot(sparse: &Sparse) {
    fs::remove_dir_all(&sparse.place.runtime).unwrap();
    let plan = sparse.place.state.join("plan");
    let mut written: serde_json::Value = serde_json::from_slice(&fs::read(&plan).unwrap()).unwrap();
    written["boot"] = serde_json::json!(vec![7; 16]);
    fs::write(&plan, written.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_machine_restart_only_holes_are_filled() {
    for version in [15, 18] {
        let sparse = Sparse::new(version);
        let hydration = sparse.begin(no_background()).await;
        let server = sparse.start(&hydration).await;
        server.query("UPDATE big SET filler = 'new' WHERE id BETWEEN 100 AND 200").await.unwrap();
        server
            .query(
                "DELETE FROM shrinking WHERE id > 10000;\nVACUUM shrinking;\n
                INSERT INTO shrinking SELECT id + 1000000, text, 'again' FROM big;\nCHECKPOINT",
            )
            .await
            .unwrap();
        durable(&sparse).await;
        tokio::task::block_in_place(|| server.kill(&sparse.place.data));
        hydration.stop().await;
        let absent = hydration.progress().absent;
        forget_boot(&sparse);
        assert_eq!(stored_plan(&sparse.place.state).unwrap().unwrap(), sparse.plan);
        let hydration = sparse.resume(Life::Rests, no_background()).await.unwrap();
        assert_eq!(hydration.progress().absent, absent, "the hole map says what the bits said");
        let server = sparse.start(&hydration).await;
        let count = "SELECT count(*) FILTER (WHERE filler = 'new') FROM big";
        assert_eq!(server.query(count).await.unwrap(), "101");
        assert_eq!(server.query("SELECT count(*) FROM shrinking").await.unwrap(), "40000");
        assert_eq!(server.query("SELECT count(*) FROM victim").await.unwrap(), "30000");
        let check = "SELECT bt_index_check('big_pkey', true), bt_index_check('big_text', true)";
        server.query(check).await.unwrap();
        drop(server);
        hydration.stop().await;
    }
}

/// Blocks that did not reach the disk come back as holes; they are filled with what they were before.
#[tokio::test(flavor = "multi_thread")]
async fn lost_blocks_are_filled_again() {
    let sparse = Sparse::new(18);
    let hydration = sparse.begin(no_background()).await;
    let mut server = sparse.start(&hydration).await;
    let path = Sparse::path_of(&server, "big");
    let file = hydration.file(&path).unwrap();
    assert_eq!(server.query(SUM).await.unwrap(), sum(18));
    durable(&sparse).await;
    tokio::task::block_in_place(|| server.stop());
    hydration.stop().await;
    let target = fs::File::options().write(true).open(sparse.place.data.join(&path)).unwrap();
    let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
    for at in [0, 3 * 4096, 700_000 / 4096 * 4096] {
        rustix::fs::fallocate(&target, flags, at, 4096).unwrap();
    }
    forget_boot(&sparse);
    let hydration = sparse.resume(Life::Rests, no_background()).await.unwrap();
    assert_eq!(hydration.missing(file).iter().collect::<Vec<_>>(), [0, 2]);
    let server = sparse.start(&hydration).await;
    assert_eq!(server.query(SUM).await.unwrap(), sum(18));
    drop(server);
    hydration.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_never_reached_the_disk_is_refused_unless_it_runs() {
    let sparse = Sparse::new(18);
    let hydration = sparse.begin(no_background()).await;
    durable(&sparse).await;
    hydration.stop().await;
    fs::remove_file(sparse.place.state.join("durable")).unwrap();
    // Where PostgreSQL runs, the file system has not gone away.
    let hydration = sparse.resume(Life::Runs, no_background()).await.unwrap();
    durable(&sparse).await;
    hydration.stop().await;
    fs::remove_file(sparse.place.state.join("durable")).unwrap();
    let again = || async {
        let (place, source) = (sparse.place.clone(), sparse.source.clone());
        Hydration::resume(place, Life::Rests, source, no_background(), Metrics::default(), &sparse.scope)
            .await
    };
    assert!(matches!(again().await, Err(HydrateError::NotDurable)), "nothing kept its file system in place");
    forget_boot(&sparse);
    assert!(matches!(again().await, Err(HydrateError::NotDurable)));
}
