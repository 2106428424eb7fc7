//! With `--wal-source stream`: what was acknowledged is in the store, whatever slept or was killed meanwhile.

use std::path::Path;
use std::time::Duration;

use super::{FILL, ROWS, Site};

/// Whether the server receives what the compute writes.
const STREAMS: &str = "select count(*) from pg_stat_replication";

/// Rows of the second part of `t`, more than a segment of WAL.
const MORE: &str = "insert into t select g, md5(g::text) from generate_series(1001, 150000) g";

impl Site {
    async fn until_it_streams(&self, at: &dormouse_tests::Project) {
        for _ in 0..400 {
            if self.number(at, STREAMS).await == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("nothing streams");
    }
}

fn spools(home: &Path) -> usize {
    std::fs::read_dir(home.join("spool")).map_or(0, Iterator::count)
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_stream_survives_sleep_and_the_death_of_the_server() {
    let mut site = Site::new(&["--wal-source", "stream"]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    site.until_it_streams(&main).await;
    site.run(&main, MORE).await;
    site.server.kill_9();
    site.server.start_again();
    site.until_it_streams(&main).await;
    site.run(&main, "insert into t values (0, md5('0'))").await;
    assert_eq!(spools(&site.server.home_of(&main)), 1, "one for each writer");
    // Asleep while no server looks: the rest is in the files only.
    assert_eq!(site.server.act(&main, "suspend").0, 200);
    site.only_in_the_store(&main);
    assert_eq!(spools(&site.server.home_of(&main)), 0, "nothing is left of it");
    assert_eq!(site.number(&main, ROWS).await, 150_001);

    // The next writer, a restart of the server with a stop of the compute, and one branch.
    site.run(&main, "delete from t where n <= 1000").await;
    site.until_it_streams(&main).await;
    assert!(site.server.stop().1, "its compute stops although somebody streams");
    site.server.start_again();
    site.run(&main, "insert into t select g, md5(g::text) from generate_series(1, 100) g").await;
    let branch = site.server.branch(&main, "feature", &[]);
    for at in [&branch.at, &main] {
        assert_eq!(site.number(at, ROWS).await, 149_100);
    }
    site.only_in_the_store(&main);
    assert_eq!(site.number(&main, ROWS).await, 149_100);
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_paused_compute_that_streams_is_stored_from_its_files() {
    let mut site = Site::new(&["--wal-source", "stream", "--idle-timeout", "-1"]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    site.until_it_streams(&main).await;
    site.run(&main, "insert into t values (0, md5('0'))").await;
    site.server.until_true("it is paused", || site.server.act(&main, "pause").0 == 200);
    let branch = site.server.branch(&main, "feature", &[]);
    assert_eq!(site.number(&branch.at, ROWS).await, 1001);
    // Thawed, it goes on where it was.
    site.run(&main, MORE).await;
    site.server.until_true("it is paused", || site.server.act(&main, "pause").0 == 200);
    site.server.kill_9();
    site.server.start_again();
    site.only_in_the_store(&main);
    assert_eq!(site.number(&main, ROWS).await, 150_001);
    assert!(site.server.stop().1);
}
