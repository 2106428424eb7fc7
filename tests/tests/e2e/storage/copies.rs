//! A directory of which parts are in the store only, copied as an operator does whose disk is too small; and one that is
//! put back from a copy.

use std::process::Command;

use dormouse_compute::sandbox::process;
use rustix::process::Signal;

use super::Site;

const MANY: &str = "create table t(n int primary key, t text); \
     insert into t select g, md5(g::text) from generate_series(1, 100000) g";

const ROWS: &str = "select count(*) from t where t = md5(n::text)";

/// What did not come with the start stays in the store.
const UNFILLED: (&str, &str) = ("DORMOUSE_FAILPOINTS", "hydrate.fill.before_fetch=error");

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_copied_directory_with_holes_is_made_again_and_nothing_is_lost() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, MANY).await;
    site.only_in_the_store(&main);
    assert!(site.server.stop().1);
    site.server.try_start_again(&[UNFILLED]).unwrap();
    site.run(&main, "create table later as select 7::bigint as n").await;
    let (cluster, postmaster) = (site.server.cluster_of(&main), site.server.postmaster_of(&main));
    site.server.kill_9();
    process::signal(postmaster, Signal::QUIT);
    while !process::in_directory(&cluster).is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(cluster.with_file_name("hydrate").join("plan").exists(), "it has holes");
    let aside = cluster.with_file_name("aside");
    std::fs::rename(&cluster, &aside).unwrap();
    assert!(Command::new("cp").arg("-a").args([&aside, &cluster]).status().unwrap().success());
    std::fs::remove_dir_all(&aside).unwrap();
    site.server.try_start_again(&[]).unwrap();
    for _ in 0..2 {
        site.server.try_connect(&main.dsn).await.expect_err("nothing is started on a copy");
    }
    let told = || serde_json::json!(site.server.events_of(&main)).to_string().contains("was copied or moved");
    site.server.until_true("the event list says why", told);
    assert!(!cluster.join("global/pg_control").exists(), "nothing else can be started on it either");
    let shot = site.server.branch_verb(&main, "snapshot", "main", &[]);
    assert!(shot.is_err(), "{shot:?}");
    site.server.evict(&main);
    // The starts that failed are backed off from.
    site.server
        .until_true("it is made again", || site.server.ask(&["endpoint", "wake", &main.endpoint]).is_ok());
    assert_eq!(site.number(&main, ROWS).await, 100_000);
    assert_eq!(site.number(&main, "select n from later").await, 7);
    let branch = site.server.branch(&main, "feature", &[]);
    assert_eq!(site.number(&branch.at, ROWS).await, 100_000);
    site.server.fsck();
    assert!(site.server.stop().1);
}

/// The disk goes back so far that the WAL which was filed last is in no file of it.
#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_directory_that_went_back_before_what_was_filed_lets_nobody_in() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, super::FILL).await;
    let (cluster, postmaster) = (site.server.cluster_of(&main), site.server.postmaster_of(&main));
    let home = cluster.parent().unwrap();
    site.server.until_true("nothing is missing", || !home.join("hydrate").join("plan").exists());
    assert!(site.server.stop().1);
    assert!(!process::in_directory(&cluster).contains(&postmaster), "it stopped in order");
    let aside = site.dir.path().join("aside");
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
    };
    copy(home, &aside);

    site.server.start_again();
    site.run(&main, "insert into t select g, md5(g::text) from generate_series(1001, 500000) g").await;
    assert!(site.server.stop().1);
    std::fs::remove_dir_all(home).unwrap();
    copy(&aside, home);
    site.server.start_again();
    let told =
        || serde_json::json!(site.server.events_of(&main)).to_string().contains("not the one that was filed");
    site.server.until_true("the event list says it", told);
    site.server.try_connect(&main.dsn).await.expect_err("what is written would be lost");
    // As the documentation says.
    assert!(site.server.stop().1);
    std::fs::remove_dir_all(home).unwrap();
    site.server.start_again();
    assert_eq!(site.number(&main, ROWS).await, 500_000);
    assert!(site.server.stop().1);
}
