//! A branch has the data of its parent, and a life of its own.

use super::{FILL, ROWS, Site};

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_branch_of_a_running_parent_has_what_was_acknowledged() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let client = site.open(&main).await;
    client.batch_execute("begin; insert into t values (-1, 'open')").await.unwrap();
    let branch = site.server.branch(&main, "feature", &[]);
    client.batch_execute("commit; insert into t values (-2, 'later')").await.unwrap();
    assert_eq!(site.number(&branch.at, "select count(*) from t").await, 1000, "neither open nor later");

    site.run(&branch.at, "delete from t where n <= 500; create table mine(n int)").await;
    assert_eq!(site.number(&main, "select count(*) from t").await, 1002, "the parent does not notice");
    assert_eq!(site.number(&branch.at, "select count(*) from t").await, 500);
    assert!(site.open(&main).await.batch_execute("select * from mine").await.is_err());
    site.server.fsck();
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_branch_has_what_was_seen_committed_though_nobody_waits_for_the_disk() {
    let mut site = Site::new(&["--idle-timeout", "-1"]);
    let main = site.server.default_project();
    let lazy = serde_json::json!({ "synchronous_commit": "off", "wal_writer_delay": "10000" });
    site.server.change_endpoint(&main, &serde_json::json!({ "settings": { "pg_settings": lazy } }));
    site.run(&main, FILL).await;
    assert_eq!(site.text(&main, "select current_setting('synchronous_commit')").await, "off");
    site.run(&main, "insert into t values (-1, 'seen')").await;
    let branch = site.server.branch(&main, "feature", &[]);
    assert_eq!(site.number(&branch.at, "select count(*) from t").await, 1001);
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn the_second_branch_of_a_busy_parent_has_little_to_replay() {
    let mut site = Site::new(&["--idle-timeout", "-1"]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    // About 20 MB of WAL: far from what a snapshot is taken for otherwise.
    site.run(&main, "insert into t select g, md5(g::text) from generate_series(1001, 100000) g").await;
    let online = || site.server.log().matches("kind=Online").count();
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(online(), 0);
    let first = site.server.branch(&main, "first", &[]);
    assert_eq!(site.number(&first.at, ROWS).await, 100_000);
    site.server.until_true("the parent has a new snapshot", || online() == 1);
    let second = site.server.branch(&main, "second", &[]);
    assert_eq!(site.number(&second.at, ROWS).await, 100_000);
    // The second is near enough.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(online(), 1, "{}", site.server.log());
    site.server.fsck();
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_replay_ends_at_once_and_whatever_the_cluster_says_of_recoveries() {
    let mut site = Site::new(&["--idle-timeout", "-1"]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let settings = "recovery_target_name = 'nowhere'\nrecovery_min_apply_delay = '1h'\nrestore_command = 'exit 3'\n\
         primary_conninfo = 'host=127.0.0.1 port=1'\nrecovery_end_command = 'exit 4'\n";
    let file = site.server.cluster_of(&main).join("postgresql.auto.conf");
    let mut text = std::fs::read_to_string(&file).unwrap();
    text.push_str(settings);
    std::fs::write(&file, text).unwrap();
    site.server.branch_verb(&main, "snapshot", "main", &[]).unwrap();
    site.run(&main, "insert into t select g, md5(g::text) from generate_series(1001, 5000) g").await;
    let branch = site.server.branch(&main, "feature", &[]);
    assert_eq!(site.number(&branch.at, ROWS).await, 5000);
    let log = |of| std::fs::read_to_string(site.server.home_of(of).join("postgres.log")).unwrap();
    assert!(log(&branch.at).contains("received promote request"), "{}", log(&branch.at));
    assert!(
        !log(&branch.at).contains("end-of-recovery"),
        "clients wait for a checkpoint: {}",
        log(&branch.at)
    );
    let place = site.place(&main).await;
    let reader = site.server.read_only(&main, "main", &place);
    assert_eq!(site.number(&reader, ROWS).await, 5000, "at {place}: {}", log(&reader));
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_branch_of_a_sleeping_parent_does_not_wake_it() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    assert_eq!(site.server.act(&main, "suspend").0, 200);
    let branch = site.server.branch(&main, "feature", &[]);
    assert_eq!(site.number(&branch.at, ROWS).await, 1000);
    assert_eq!(site.server.state_of(&main), "stopped");
    // The same when the parent is nowhere but in the store.
    site.only_in_the_store(&main);
    let branch = site.server.branch(&main, "second", &[]);
    assert_eq!(site.number(&branch.at, ROWS).await, 1000);
    assert_eq!(site.server.state_of(&main), "stopped");
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_branch_of_a_paused_parent_neither_waits_for_it_nor_wakes_it() {
    let mut site = Site::new(&["--idle-timeout", "-1"]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    // Long enough for its WAL to be watched.
    std::thread::sleep(std::time::Duration::from_secs(1));
    site.run(&main, "insert into t values (0, md5('0'))").await;
    site.server.until_true("it is paused", || site.server.act(&main, "pause").0 == 200);
    let before = dormouse_base::clock::Mono::now();
    let branch = site.server.branch(&main, "feature", &[]);
    assert!(before.elapsed().as_secs() < 5, "{:?}", before.elapsed());
    assert_eq!(site.number(&branch.at, ROWS).await, 1001);
    assert_eq!(site.server.state_of(&main), "paused");
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn branches_of_branches_see_their_own_line() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let child = site.server.branch(&main, "child", &[]);
    site.run(&child.at, "insert into t select g, md5(g::text) from generate_series(1001, 1100) g").await;
    site.run(&main, "truncate t").await;
    let grandchild = site.server.branch(&main, "grandchild", &["--parent", "child"]);
    site.run(&child.at, "drop table t").await;
    let shown = site.server.branch_shown(&main, "grandchild");
    assert_eq!(shown["parent_id"], child.id.as_str(), "{shown}");
    assert_eq!(site.number(&grandchild.at, ROWS).await, 1100);
    // It never ran before its own child is made.
    let unborn = site.server.branch(&main, "unborn", &["--parent", "grandchild"]);
    let last = site.server.branch(&main, "last", &["--parent", "unborn"]);
    assert_eq!(site.number(&last.at, ROWS).await, 1100);
    assert_eq!(site.number(&unborn.at, ROWS).await, 1100);
    site.server.fsck();
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_branch_without_an_endpoint_and_a_name_that_is_taken() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    let bare = site.server.branch(&main, "bare", &["--no-endpoint"]);
    assert!(bare.at.endpoint.is_empty(), "{bare:?}");
    let refused = site.server.try_branch(&main, "bare", &[]).unwrap_err();
    assert!(refused.text.contains("bare"), "{refused:?}");
    let refused = site.server.try_branch(&main, "x", &["--parent", "nobody"]).unwrap_err();
    assert_eq!(refused.status, Some(3), "{refused:?}");
    assert!(site.server.stop().1);
}
