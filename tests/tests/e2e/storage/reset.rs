//! Restore and reset put other data under the same connection string.

use std::os::unix::fs::FileExt;

use super::{FILL, ROWS, Site};

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_restore_keeps_the_connection_string_and_the_old_data() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let place = site.place(&main).await;
    site.run(&main, "drop table t; create table mistake(n int)").await;
    let open = site.open(&main).await;

    site.server.branch_verb(&main, "restore", "main", &["--at", &place]).unwrap();
    assert_eq!(site.number(&main, ROWS).await, 1000, "the same connection string");
    assert!(open.simple_query("select * from mistake").await.is_err(), "old sessions do not see old data");
    site.run(&main, "insert into t values (-1, 'new life')").await;

    let list = site.server.ask(&["branch", "list", "--project", &main.id]).unwrap();
    let names: Vec<&str> =
        list["branches"].as_array().unwrap().iter().filter_map(|b| b["name"].as_str()).collect();
    let old = names.iter().find(|name| name.starts_with("main_old_")).unwrap_or_else(|| panic!("{names:?}"));
    let again = site.server.branch(&main, "look-back", &["--parent", old]);
    site.run(&again.at, "select * from mistake").await;
    site.only_in_the_store(&main);
    assert_eq!(site.number(&main, "select count(*) from t").await, 1001);
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_reset_gives_a_branch_its_parents_data_of_now() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let branch = site.server.branch(&main, "feature", &[]);
    site.run(&branch.at, "drop table t").await;
    site.run(&main, "insert into t select g, md5(g::text) from generate_series(1001, 1200) g").await;
    site.server.branch_verb(&main, "reset", "feature", &[]).unwrap();
    assert_eq!(site.number(&branch.at, ROWS).await, 1200, "the same connection string");
    let refused = site.server.branch_verb(&main, "reset", "main", &[]).unwrap_err();
    assert!(matches!(refused.status, Some(1 | 2)), "a root has no parent: {refused:?}");
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn restores_from_another_branch_and_twice() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let (first, branch) = (site.place(&main).await, site.server.branch(&main, "other", &[]));
    site.run(&branch.at, "insert into t select g, md5(g::text) from generate_series(1001, 1300) g").await;
    let of_branch = site.place(&branch.at).await;
    site.server.branch_verb(&main, "restore", "main", &["--from", "other", "--at", &of_branch]).unwrap();
    assert_eq!(site.number(&main, ROWS).await, 1300);
    // The first place is on the line that the branch has left.
    let refused = site.server.branch_verb(&main, "restore", "main", &["--at", &first]).unwrap_err();
    assert!(refused.text.contains("history"), "{refused:?}");
    let list = site.server.ask(&["branch", "list", "--project", &main.id]).unwrap();
    let mut names = list["branches"].as_array().unwrap().iter().filter_map(|b| b["name"].as_str());
    let old = names.rfind(|name| name.starts_with("main_old_")).unwrap();
    site.server.branch_verb(&main, "restore", "main", &["--from", old, "--at", &first]).unwrap();
    assert_eq!(site.number(&main, ROWS).await, 1000);
    site.server.fsck();
    assert!(site.server.stop().1);
}

/// What a broken branch failed with is the old data's: nobody waits for it after the restore.
#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_branch_that_cannot_start_is_restored_and_starts_at_once() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let place = site.place(&main).await;
    assert_eq!(site.server.act(&main, "suspend").0, 200);
    let settings = site.server.cluster_of(&main).join("postgresql.auto.conf");
    std::fs::write(&settings, "this is no setting\n").unwrap();
    // Whoever asks for it gets a try, and each makes the wait longer: 16 s after the fifth.
    for _ in 0..5 {
        assert_eq!(site.server.act(&main, "start").0, 503);
    }
    let refused = site.server.try_connect(&main.dsn).await.unwrap_err();
    assert_eq!(refused.code().map(tokio_postgres::error::SqlState::code), Some("57P03"), "{refused:?}");
    site.server.branch_verb(&main, "restore", "main", &["--at", &place]).unwrap();
    assert_eq!(site.number(&main, ROWS).await, 1000);
    assert!(site.server.stop().1);
}

/// What a damaged directory holds cannot be stored, so nothing takes it away by itself; it is moved aside by hand.
#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_damaged_directory_is_set_aside_and_made_again() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let place = site.place(&main).await;
    site.run(&main, "insert into t values (-1, 'later')").await;
    assert_eq!(site.server.act(&main, "suspend").0, 200);
    site.server.ask(&["branch", "snapshot", "main", "--project", &main.id]).unwrap();
    let control = site.server.cluster_of(&main).join("global/pg_control");
    std::fs::File::options().write(true).open(&control).unwrap().write_all_at(&[0xff; 64], 64).unwrap();
    for _ in 0..5 {
        assert_eq!(site.server.act(&main, "start").0, 503);
    }
    let refused = site.server.branch_verb(&main, "restore", "main", &["--at", &place]).unwrap_err();
    assert!(refused.text.contains("endpoint set-aside"), "{refused:?}");
    let (status, reply) = site.server.act(&main, "evict");
    assert!(status == 409 && reply.to_string().contains("directory-damaged"), "{status} {reply}");

    let asked = site.server.cli(&["endpoint", "set-aside", &main.endpoint, "--project", &main.id]);
    assert!(!asked.status.success(), "nobody was there to say yes");
    let moved = site.server.cli(&["endpoint", "set-aside", &main.endpoint, "--project", &main.id, "--yes"]);
    assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
    let event = site.server.until_event(&main, "trouble");
    let kept = event["message"].as_str().unwrap().rsplit(' ').next().unwrap().to_owned();
    assert!(std::path::Path::new(&kept).join("data/global/pg_control").is_file(), "{event}");

    assert_eq!(site.number(&main, "select count(*) from t").await, 1001, "at once, and all that was stored");
    site.server.branch_verb(&main, "restore", "main", &["--at", &place]).unwrap();
    assert_eq!(site.number(&main, ROWS).await, 1000);
    // Where there is nothing, nothing is moved.
    let (status, reply) = site.server.act(&main, "suspend");
    assert_eq!(status, 200, "{reply}");
    assert_eq!(site.server.act(&main, "evict").0, 200);
    assert_eq!(site.server.act(&main, "set-aside").0, 200);
    assert_eq!(site.number(&main, ROWS).await, 1000);
    site.server.fsck();
    assert!(site.server.stop().1);
}
