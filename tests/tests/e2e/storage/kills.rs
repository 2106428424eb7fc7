//! What is killed at the moments in which a branch becomes a database of its own.

use std::path::Path;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_compute::sandbox::process;
use dormouse_tests::note;
use rustix::process::Signal;

use super::{FILL, ROWS, Site};

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_branch_survives_the_death_of_its_postmaster_after_its_first_row() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    // All of this is replayed. PostgreSQL opens before the checkpoint that follows the promotion, so that a death after
    // the first row has the same WAL replayed once more, across the change of timelines.
    site.run(&main, "create table u as select g, repeat(md5(g::text), 4) s from generate_series(1, 60000) g")
        .await;
    for round in 0..3 {
        let branch = site.server.branch(&main, &format!("b{round}"), &[]);
        let client = site.open(&branch.at).await;
        client.batch_execute("insert into t values (0, md5('0'))").await.unwrap();
        let killed = site.server.postmaster_of(&branch.at);
        process::signal(killed, Signal::KILL);
        drop(client);
        site.server.until_true("it is healed", || {
            let shown = site.server.endpoint_of(&branch.at);
            shown["state"] == "active" && shown["pid"] != killed
        });
        assert_eq!(site.number(&branch.at, ROWS).await, 1001, "round {round}");
        // What it wrote before and after is one history.
        site.run(&branch.at, "insert into t values (-1, md5('-1'))").await;
        site.only_in_the_store(&branch.at);
        assert_eq!(site.number(&branch.at, ROWS).await, 1002, "round {round}");
        assert_eq!(site.number(&branch.at, "select count(*) from u").await, 60_000);
    }
    assert_eq!(site.number(&main, ROWS).await, 1000);
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_branch_survives_kills_during_its_recovery() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    site.server.branch_verb(&main, "snapshot", "main", &[]).unwrap();
    // Enough to replay for a while, and not enough for another snapshot.
    let load = "create table u as select g, repeat(md5(g::text), 4) s from generate_series(1, 200000) g";
    site.run(&main, load).await;
    let branch = site.server.branch(&main, "feature", &[]);
    let mut during = 0;
    for _ in 0..3 {
        let dsn = branch.at.dsn.clone();
        let connecting = tokio::task::JoinSet::from_iter([async move {
            tokio_postgres::connect(&dsn, tokio_postgres::NoTls).await.is_ok()
        }]);
        let start = Mono::now();
        let startup = loop {
            let found = site.server.processes_of(&branch.at).into_iter().find(|pid| recovers(*pid));
            if found.is_some() || start.elapsed() > Duration::from_secs(20) {
                break found;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        during += usize::from(startup.is_some());
        for pid in site.server.processes_of(&branch.at) {
            process::signal(pid, Signal::KILL);
        }
        let _refused_or_let_in = connecting.join_all().await;
    }
    assert!(during > 0, "it was never seen to recover");
    note(&format!("killed {during} times while it recovered"));
    let start = Mono::now();
    let client = loop {
        match site.server.try_connect(&branch.at.dsn).await {
            Ok(client) => break client,
            Err(error) => assert!(start.elapsed() < Duration::from_secs(60), "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let rows: i64 = client.query_one("select count(*) from u", &[]).await.unwrap().get(0);
    assert_eq!(rows, 200_000);
    drop(client);
    assert_eq!(site.number(&branch.at, ROWS).await, 1000);
    site.only_in_the_store(&branch.at);
    assert_eq!(site.number(&branch.at, "select count(*) from u").await, 200_000);
    assert!(site.server.stop().1);
}

/// Whether a process is a startup process.
fn recovers(pid: u32) -> bool {
    let line = std::fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains("startup")
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_server_killed_between_the_register_and_its_own_note_goes_on_as_the_same_writer() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    site.only_in_the_store(&main);
    let epoch = |site: &Site| site.server.ask(&["storage"]).unwrap()["endpoints"][0]["epoch"].as_u64();
    for round in 1..=2_i64 {
        site.server.kill_9();
        site.server.try_start_again(&[("DORMOUSE_FAILPOINTS", "publish.register.after=kill@1")]).unwrap();
        let lost = site.server.try_connect(&main.dsn).await;
        assert!(lost.is_err(), "the server died before it let anybody in");
        site.server.kill_9();
        site.server.try_start_again(&[]).unwrap();
        assert_eq!(site.number(&main, ROWS).await, 999 + round, "round {round}");
        site.run(&main, &format!("insert into t values (-{round}, md5('-{round}'))")).await;
        // The one that died was the writer already, and the same directory goes on as it.
        assert_eq!(epoch(&site), Some(1 + u64::try_from(round).unwrap()), "round {round}");
        site.only_in_the_store(&main);
    }
    assert_eq!(site.number(&main, ROWS).await, 1002);
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_recovery_whose_server_died_is_ended_by_the_next_one() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let branch = site.server.branch(&main, "feature", &[]);
    site.server.kill_9();
    site.server.try_start_again(&[("DORMOUSE_FAILPOINTS", "compute.promote.before=kill@1")]).unwrap();
    assert!(
        site.server.try_connect(&branch.at.dsn).await.is_err(),
        "the server died before it let anybody in"
    );
    site.server.kill_9();
    site.server.try_start_again(&[]).unwrap();
    assert_eq!(site.number(&branch.at, ROWS).await, 1000);
    site.run(&branch.at, "insert into t values (0, md5('0'))").await;
    site.only_in_the_store(&branch.at);
    assert_eq!(site.number(&branch.at, ROWS).await, 1001);
    assert!(site.server.stop().1);
}

/// What is at hand in the files of a running parent, because filing is slow, is gone when it is to be read: the store
/// gets it.
#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_branch_starts_when_its_parents_files_cannot_be_read_after_all() {
    let mut site =
        Site::with(&[], &[("DORMOUSE_FAILPOINTS", "wal.hand.read=error@1;wal.piece.put.before=sleep:2000")]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let branch = site.server.branch(&main, "feature", &[]);
    assert_eq!(site.number(&branch.at, ROWS).await, 1000);
    assert!(site.server.log().contains("WAL at hand is of no use"), "it was to be read from there");
    site.server.fsck();
    assert!(site.server.stop().1);
}
