//! What cannot be filled is an error, and stays one only as long as its cause.

use std::sync::atomic::Ordering;
use std::time::Duration;

use dormouse_storage::hydrate::{Life, Tuning};

use super::cluster::{SUM, Sparse, sum};

fn impatient() -> Tuning {
    Tuning { patience: Duration::from_millis(700), background: 0, ..Tuning::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_filler_reads_fail_and_come_back() {
    for version in [15, 18] {
        let sparse = Sparse::new(version);
        let hydration = sparse.begin(impatient()).await;
        let server = sparse.start(&hydration).await;
        assert_eq!(server.query("SELECT count(*) FROM victim WHERE id < 0").await.unwrap(), "0");
        hydration.stop().await;
        let error = server.query(SUM).await.unwrap_err();
        assert!(error.contains("Input/output error"), "{error}");
        // A truncation that cannot be noted does not happen either.
        let error =
            server.query("DELETE FROM shrinking WHERE id > 20000;\nVACUUM shrinking").await.unwrap_err();
        assert!(error.contains("Input/output error"), "{error}");
        let hydration = sparse.resume(Life::Runs, impatient()).await.unwrap();
        assert_eq!(server.query(SUM).await.unwrap(), sum(version));
        hydration.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_outage_is_waited_for() {
    let sparse = Sparse::new(18);
    let tuning = Tuning { background: 0, ..Tuning::default() };
    let hydration = sparse.begin(tuning.clone()).await;
    let server = sparse.start(&hydration).await;
    hydration.stop().await;
    let server = std::sync::Arc::new(server);
    let (reading, results) =
        (std::sync::Arc::clone(&server), std::sync::Arc::new(parking_lot::Mutex::new(None)));
    let result = std::sync::Arc::clone(&results);
    let reader = dormouse_runtime::task::thread("reader", move || *result.lock() = Some(reading.sql(SUM)));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!reader.is_finished());
    let hydration = sparse.resume(Life::Runs, tuning).await.unwrap();
    tokio::task::block_in_place(|| reader.join().unwrap());
    assert_eq!(results.lock().take().unwrap().unwrap(), sum(18));
    drop(server);
    hydration.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_and_a_bad_chunk_are_errors_until_they_are_not() {
    let sparse = Sparse::new(18);
    let hydration = sparse.begin(impatient()).await;
    let server = sparse.start(&hydration).await;
    let path = Sparse::path_of(&server, "big");
    let file = hydration.file(&path).unwrap();
    sparse.source.trouble.store(1, Ordering::Relaxed);
    let error = server.query(SUM).await.unwrap_err();
    assert!(error.contains("No space left on device"), "{error}");
    sparse.source.trouble.store(0, Ordering::Relaxed);
    sparse.source.bad.lock().insert((file, 3));
    let error = server.query(SUM).await.unwrap_err();
    assert!(error.contains("Input/output error"), "{error}");
    assert!(hydration.missing(file).get(3));
    sparse.source.bad.lock().clear();
    assert_eq!(server.query(SUM).await.unwrap(), sum(18));
    assert_eq!(hydration.missing(file).count(), 0);
    hydration.stop().await;
}

/// A directory with holes is no database for anybody who does not have a working front.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_working_front_nothing_starts() {
    for version in [15, 18] {
        let sparse = Sparse::new(version);
        let hydration = sparse.begin(impatient()).await;
        let refused =
            |environment| tokio::task::block_in_place(|| sparse.try_start(environment)).err().unwrap();
        let log = refused(Vec::new());
        assert!(log.contains("could not find the database system"), "{log}");
        // No filler: the canary does not arrive.
        let environment = hydration.environment(&sparse.front).unwrap();
        hydration.stop().await;
        let log = refused(environment.clone());
        assert!(log.contains("canary") && log.contains("could not find the database system"), "{log}");
        // A damaged presence file.
        let presence = sparse.place.runtime.join("presence");
        let mut bytes = std::fs::read(&presence).unwrap();
        bytes[0] ^= 1;
        std::fs::write(&presence, bytes).unwrap();
        let log = refused(environment);
        assert!(log.contains("presence file"), "{log}");
    }
}
