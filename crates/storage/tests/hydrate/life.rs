//! What databases do all day, with pages that arrive when they are touched.

use std::time::Duration;

use dormouse_storage::hydrate::{Life, Tuning};

use super::cluster::{SUM, Server, Sparse, bin, original, sum};

const CHECK: &str = "SELECT count(bt_index_check(c.oid, heapallindexed => true)) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND i.indisvalid AND i.indisready AND c.relpersistence <> 't'";

const VERIFY: &str =
    "SELECT count(*) FROM pg_class c, LATERAL verify_heapam(c.oid) v WHERE c.relkind IN ('r', 't')";

async fn work(server: &Server) {
    // Truncate the end of a table, then grow it again over the same place.
    server
        .query(
            "DELETE FROM shrinking WHERE id > 10000;\nVACUUM shrinking;\n
             INSERT INTO shrinking SELECT id + 1000000, text, 'again' FROM big WHERE id % 2 = 0;\n
             DROP TABLE victim;\nCREATE TABLE victim AS SELECT id FROM other;\nTRUNCATE other;\n
             INSERT INTO other SELECT * FROM big WHERE id <= 100;\nUPDATE big SET filler = filler WHERE id % 7 = 0;\n
             CHECKPOINT;\nALTER TABLE big SET (autovacuum_enabled = off)",
        )
        .await
        .unwrap();
    let counts = "SELECT (SELECT count(*) FROM shrinking) || ' ' || (SELECT count(*) FROM victim)
         || ' ' || (SELECT count(*) FROM other)";
    assert_eq!(server.query(counts).await.unwrap(), "25000 10000 100");
}

async fn life(version: u32) {
    if bin(version).is_none() {
        return;
    }
    let sparse = Sparse::new(version);
    let hydration = sparse.begin(Tuning { background: 0, ..Tuning::default() }).await;
    let server = sparse.start(&hydration).await;
    assert_eq!(server.query(SUM).await.unwrap(), sum(version));
    work(&server).await;
    assert_eq!(server.query(SUM).await.unwrap(), sum(version));
    for (name, strategy) in [("copy_file", "file_copy"), ("copy_wal", "wal_log")] {
        // The template is not loaded here, so its pages come now.
        let make = format!("CREATE DATABASE {name} TEMPLATE neighbour STRATEGY {strategy}");
        server.query(&make).await.unwrap();
        let count = tokio::task::block_in_place(|| server.sql_in(name, "SELECT count(*) > 100 FROM pg_proc"));
        assert_eq!(count.unwrap(), "t");
    }
    tokio::task::block_in_place(|| server.kill(&sparse.place.data));
    let mut server = sparse.start(&hydration).await;
    assert_eq!(server.query(SUM).await.unwrap(), sum(version));
    if server.query("SELECT count(*) FROM pg_extension WHERE extname = 'amcheck'").await.unwrap() == "1" {
        assert!(server.query(CHECK).await.unwrap().parse::<u32>().unwrap() > 50);
        assert_eq!(server.query(VERIFY).await.unwrap(), "0");
    }
    server.query("DROP DATABASE copy_file").await.unwrap();
    tokio::task::block_in_place(|| server.stop());
    let progress = hydration.progress();
    assert!(progress.filled > 10 << 20 && progress.absent > 0, "{progress:?}");
    assert!(hydration.touched().len() > 50);
    hydration.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_postgresql_15() {
    life(15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_postgresql_16() {
    life(16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_postgresql_17() {
    life(17).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_postgresql_18() {
    life(18).await;
}

/// All arrives by itself while PostgreSQL works; afterwards the directory is an ordinary one.
#[tokio::test(flavor = "multi_thread")]
async fn a_complete_directory_needs_no_front() {
    let version = 18;
    let sparse = Sparse::new(version);
    let hydration = sparse.begin(Tuning::default()).await;
    let server = sparse.start(&hydration).await;
    work(&server).await;
    let mut complete = hydration.complete();
    tokio::time::timeout(Duration::from_secs(60), complete.wait_for(|done| *done)).await.unwrap().unwrap();
    assert_eq!(hydration.progress().absent, 0);
    assert!(sparse.place.data.join("global/pg_control").exists());
    // The running server does not notice, and writes the control file under its new name.
    server.query("CHECKPOINT").await.unwrap();
    assert_eq!(server.query(SUM).await.unwrap(), sum(version));
    tokio::task::block_in_place(|| server.kill(&sparse.place.data));
    assert!(hydration.environment(&sparse.front).unwrap().is_empty());
    assert!(hydration.stop().await);
    let server = tokio::task::block_in_place(|| sparse.try_start(Vec::new())).unwrap();
    assert_eq!(server.query(SUM).await.unwrap(), sum(version));
    assert_eq!(server.query(VERIFY).await.unwrap(), "0");
    assert!(sparse.resume(Life::Rests, Tuning::default()).await.is_none());
}

/// What PostgreSQL starts gets neither the front nor its variables.
#[tokio::test(flavor = "multi_thread")]
async fn programs_do_not_inherit_the_front() {
    let sparse = Sparse::new(15);
    let hydration = sparse.begin(Tuning { background: 0, ..Tuning::default() }).await;
    let server = sparse.start(&hydration).await;
    let copy = "CREATE TEMP TABLE lines (line text);\nCOPY lines FROM PROGRAM 'env; cat /proc/self/maps';\n
        SELECT count(*) FILTER (WHERE line LIKE 'PATH=%') || ' ' || count(*) FILTER (WHERE line ~* 'dormouse-front|LD_PRELOAD|HYDRATE')
        FROM lines";
    let copy = copy.replace("DORMOUSE", "");
    assert_eq!(server.query(&copy).await.unwrap(), "1 0");
    hydration.stop().await;
}

/// A base backup goes through the server, so it is whole although the directory is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_base_backup_is_whole() {
    let sparse = Sparse::new(15);
    let hydration = sparse.begin(Tuning { background: 0, ..Tuning::default() }).await;
    let server = sparse.start(&hydration).await;
    let copy = sparse.place.data.with_file_name("copy");
    tokio::task::block_in_place(|| server.base_backup(&copy));
    let mut copied = tokio::task::block_in_place(|| Server::try_start(15, &copy, Vec::new())).unwrap();
    assert_eq!(copied.query(SUM).await.unwrap(), sum(15));
    assert_eq!(copied.query(VERIFY).await.unwrap(), "0");
    tokio::task::block_in_place(|| copied.stop());
    hydration.stop().await;
}

/// How fast it is. Run by hand: `cargo test -p dormouse-storage --test hydrate -- --ignored --nocapture figures`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn figures() {
    let _made = original(18);
    for latency in [0, 20] {
        let sparse = Sparse::new(18);
        sparse.source.latency_millis.store(latency, std::sync::atomic::Ordering::Relaxed);
        let hydration = sparse.begin(Tuning { background: 0, ..Tuning::default() }).await;
        let began = dormouse_base::clock::Mono::now();
        let server = sparse.start(&hydration).await;
        eprintln!("latency {latency} ms: start {:?}, {} faults", began.elapsed(), hydration.touched().len());
        let explain = "EXPLAIN (ANALYZE, TIMING OFF, SUMMARY ON) SELECT count(*) FROM big";
        for round in 0..3 {
            let text = server.query(explain).await.unwrap();
            let time = text.lines().last().unwrap_or_default().to_owned();
            eprintln!("  scan {round} of big: {time}, {} faults", hydration.touched().len());
        }
        hydration.stop().await;
    }
}
