//! A disk that takes everything but one thing, and says so once.

use super::Site;

const MANY: &str = "create table t(n int primary key, t text); \
     insert into t select g, md5(g::text) from generate_series(1, 100000) g";

const ROWS: &str = "select count(*) from t where t = md5(n::text)";

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_directory_that_the_disk_refused_is_made_again() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, MANY).await;
    site.only_in_the_store(&main);
    assert!(site.server.stop().1);
    // Before anybody is let in: the next start makes it again by itself.
    let first = [("DORMOUSE_FAILPOINTS", "hydrate.sync.asks=error@1")];
    site.server.try_start_again(&first).unwrap();
    let wake = || site.server.ask(&["endpoint", "wake", &main.endpoint]).is_ok();
    site.server.until_true("it is made again", wake);
    assert_eq!(site.number(&main, ROWS).await, 100_000);
    site.only_in_the_store(&main);
    assert!(site.server.stop().1);
    // Later: it is stopped, and made again when somebody says so.
    let second = [("DORMOUSE_FAILPOINTS", "hydrate.sync.asks=error@2")];
    site.server.try_start_again(&second).unwrap();
    site.run(&main, "insert into t values (100001, md5('100001'))").await;
    let told = || serde_json::json!(site.server.events_of(&main)).to_string().contains("the disk refused");
    site.server.until_true("the event list says why", told);
    site.server.until_true("it is stopped", || site.server.state() == "stopped");
    for again in [false, true] {
        if again {
            site.server.kill_9();
            site.server.start_again();
        }
        site.server.try_connect(&main.dsn).await.expect_err("nothing is started on it");
        assert!(site.server.branch_verb(&main, "snapshot", "main", &[]).is_err());
    }
    site.server.evict(&main);
    let wake = || site.server.ask(&["endpoint", "wake", &main.endpoint]).is_ok();
    site.server.until_true("it is made again", wake);
    assert_eq!(site.number(&main, ROWS).await, 100_001);
    site.server.fsck();
    assert!(site.server.stop().1);
}
