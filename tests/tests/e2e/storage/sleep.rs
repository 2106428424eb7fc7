//! Suspend, evict, wake: the data is there, wherever it was meanwhile.

use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_tests::programs::psql;

use super::{FILL, ROWS, Site};

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn an_evicted_database_wakes_with_everything() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let before = site.text(&main, "select system_identifier::text from pg_control_system()").await;
    for round in 1..=3 {
        assert_eq!(site.server.act(&main, "suspend").0, 200);
        site.only_in_the_store(&main);
        assert_eq!(site.number(&main, ROWS).await, 1000, "round {round}");
        site.run(&main, &format!("create table again{round} as select * from t")).await;
        site.run(&main, "vacuum t").await;
    }
    for round in 1..=3 {
        let rows = site.number(&main, &format!("select count(*) from again{round}")).await;
        assert_eq!(rows, 1000, "round {round}");
    }
    let after = site.text(&main, "select system_identifier::text from pg_control_system()").await;
    assert_eq!(before, after, "it is the same cluster");
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_running_database_is_evicted_only_with_everything_it_acknowledged() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    // No suspend first: the command has to do it.
    site.run(&main, "insert into t select g, md5(g::text) from generate_series(1001, 1500) g").await;
    site.only_in_the_store(&main);
    assert_eq!(site.number(&main, ROWS).await, 1500);
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn who_wakes_it_in_the_middle_of_an_eviction_may_write_as_long_as_he_likes() {
    let site = Site::with(&[], &[("DORMOUSE_FAILPOINTS", "wal.filer.finish=sleep:1500")]);
    let main = site.server.default_project();
    site.run(&main, "create table u(n int, t text)").await;
    assert_eq!(site.server.act(&main, "suspend").0, 200);
    let write = "do $$ declare over timestamptz := clock_timestamp() + '20 s'; begin
        while clock_timestamp() < over loop
            insert into u select g, repeat(md5(g::text), 8) from generate_series(1, 4000) g; commit;
        end loop; end $$";
    std::thread::scope(|threads| {
        let evicting = threads.spawn(|| {
            let start = Mono::now();
            (site.server.act(&main, "evict"), start.elapsed())
        });
        // The eviction waits for the filer, which waits at the failpoint.
        std::thread::sleep(Duration::from_millis(500));
        psql(&site.server.conninfo(""), &site.server.password(), &["-c", write]).good();
        let ((status, told), took) = evicting.join().unwrap();
        assert_eq!(status, 409, "{told}");
        assert!(took < Duration::from_secs(15), "it took {took:?}, as long as somebody wrote");
    });
    // Who writes without a pause may be faster than a filer that a failpoint holds up, and that is said.
    site.server.assert_clean_log(&["suspend it first", "filing WAL lags behind"]);
    let log = site.server.log();
    assert!(!log.contains("WAL was gone"), "{log}");
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn adoption_goes_on_while_pages_are_still_missing() {
    let mut site = Site::with(&[], &[("DORMOUSE_STORE_FAULTS", "seed=1,latency=60ms")]);
    let main = site.server.default_project();
    let large = "create table t(n int, t text); \
                 insert into t select g, repeat(md5(g::text), 8) from generate_series(1, 60000) g";
    site.run(&main, large).await;
    site.only_in_the_store(&main);
    let client = site.open(&main).await;
    let some: i32 = client.query_one("select n from t limit 1", &[]).await.unwrap().get(0);
    assert_eq!(some, 1);
    let postmaster = site.server.postmaster_of(&main);
    site.server.kill_9();
    site.server.start_again();
    let rows = site.number(&main, "select count(*) from t where t = repeat(md5(n::text), 8)").await;
    assert_eq!(rows, 60_000);
    assert_eq!(site.server.postmaster_of(&main), postmaster, "it was adopted, with its holes");
    assert!(site.server.stop().1);
}

/// Enough to be filled for seconds, with a slow store.
async fn filled_slowly() -> (Site, dormouse_tests::Project) {
    let mut site = Site::with(&[], &[("DORMOUSE_STORE_FAULTS", "seed=1,latency=5ms")]);
    let main = site.server.default_project();
    let large = "create table t(n int, t text); insert into t select g, md5(g::text) from generate_series(1, 250000) g";
    site.run(&main, large).await;
    site.server.evict(&main);
    let ports = site.server.pg_port();
    site.server.kill_9();
    site.server.try_start_again(&[("DORMOUSE_STORE_FAULTS", "seed=1,latency=250ms")]).unwrap();
    assert_eq!(site.server.pg_port(), ports);
    (site, main)
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn snapshots_and_branches_while_pages_are_missing() {
    let (mut site, main) = filled_slowly().await;
    site.run(&main, "create table new as select 1 as n").await;
    site.server.branch_verb(&main, "snapshot", "main", &[]).unwrap();
    site.run(&main, "insert into new values (2)").await;
    // Suspended and taken away before everything was there, and there once more.
    assert_eq!(site.server.act(&main, "suspend").0, 200);
    site.server.branch_verb(&main, "snapshot", "main", &[]).unwrap();
    assert_eq!(site.number(&main, "select count(*) from new").await, 2);
    let branch = site.server.branch(&main, "feature", &[]);
    site.server.evict(&main);
    for at in [&branch.at, &main] {
        assert_eq!(site.number(at, ROWS).await, 250_000);
        assert_eq!(site.number(at, "select count(*) from new").await, 2);
    }
    // A check reads everything.
    site.server.kill_9();
    site.server.try_start_again(&[]).unwrap();
    site.server.fsck();
    assert!(site.server.stop().1);
}
