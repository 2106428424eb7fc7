//! The node is gone; only the store is left.

use dormouse_tests::storage::{objects, url_of};
use dormouse_tests::{Project, Server, binary};

use super::{FILL, ROWS, Site};

#[tokio::test]
async fn everything_comes_back_from_the_store_alone() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let branch = site.server.branch(&main, "feature", &[]);
    site.run(&branch.at, "delete from t where n > 900").await;
    for at in [&main, &branch.at] {
        assert_eq!(site.server.act(at, "suspend").0, 200);
    }
    assert!(site.server.stop().1);
    std::fs::remove_dir_all(site.server.data()).unwrap();

    let new = site.dir.path().join("new");
    let told = recover(&site, &new);
    assert_eq!(told["problems"], serde_json::json!([]), "{told}");
    let project = &told["projects"][0];
    assert_eq!((project["id"].as_str(), &project["name"]), (Some(main.id.as_str()), &"default".into()));
    for (shown, at) in [(&project["branches"][0], &main), (&project["branches"][1], &branch.at)] {
        assert_eq!(shown["endpoints"], serde_json::json!([at.endpoint]), "{told}");
        assert!(shown["restorable_lsn"].is_string(), "{told}");
    }
    let ports =
        [&main.dsn, &branch.at.dsn].map(|dsn| dsn.parse::<tokio_postgres::Config>().unwrap().get_ports()[0]);
    let (url, port) = (url_of(&site.store), ports[0].to_string());
    site.server = Server::start_on(&new, &["--store", &url, "--pg-port", &port]);
    // Nothing wakes because its server is new.
    assert_eq!([&main, &branch.at].map(|at| site.server.state_of(at)), ["stopped", "stopped"]);
    // The same connection strings, passwords included.
    assert_eq!(site.number(&main, ROWS).await, 1000);
    assert_eq!(site.number(&branch.at, ROWS).await, 900);
    site.run(&main, "insert into t values (0, md5('0'))").await;
    site.only_in_the_store(&main);
    assert_eq!(site.number(&main, ROWS).await, 1001);
    assert!(site.server.stop().1);
}

/// The port in a connection string, as `:5455/`.
fn port_of(dsn: &str) -> String {
    format!(":{}/", dsn.parse::<tokio_postgres::Config>().unwrap().get_ports()[0])
}

/// `dormouse recover` into a new directory; a second time it must refuse to overwrite.
fn recover(site: &Site, new: &std::path::Path) -> serde_json::Value {
    let url = url_of(&site.store);
    let run = || {
        let mut command = std::process::Command::new(binary());
        command.args(["recover", "--store", &url, "--output", "json", "--data"]).arg(new).output().unwrap()
    };
    let first = run();
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let second = run();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success(), "it does not write over what is there");
    assert!(said.contains("metadata.sqlite is there already"), "{said}");
    serde_json::from_slice(&first.stdout).unwrap()
}

/// A server on another machine, made from the store alone, and the database there.
pub(super) fn seen_from(site: &Site, main: &Project) -> (Server, Project) {
    let new = site.dir.path().join("new");
    recover(site, &new);
    let successor = Server::start_on(&new, &["--store", &url_of(&site.store)]);
    let theirs = Project {
        // What a recovered server prints has no password: it never knew it in the clear.
        dsn: main.dsn.replace(&port_of(&main.dsn), &format!(":{}/", successor.pg_port())),
        ..successor.default_project()
    };
    (successor, theirs)
}

/// The machine was lost before the WAL that the branch begins with was stored.
#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_branch_of_what_was_lost_never_shows_what_came_instead() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    assert_eq!(site.server.act(&main, "suspend").0, 200);
    site.only_in_the_store(&main);
    let stored = objects(&site.store, ".wal");
    site.run(&main, "insert into t values (1001, md5('1001'))").await;
    let late = site.server.branch(&main, "late", &[]);
    let pinned = site.server.read_only(&main, "main", &site.place(&main).await);
    // The mirror tells the store of the endpoint within a second.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    site.server.kill_9();
    for piece in objects(&site.store, ".wal").into_iter().filter(|piece| !stored.contains(piece)) {
        std::fs::remove_file(piece).unwrap();
    }
    let (mut successor, theirs) = seen_from(&site, &main);
    let there = |at: &Project| {
        let dsn = at.dsn.replace(&port_of(&at.dsn), &format!(":{}/", successor.pg_port()));
        Project { dsn, ..successor.default_project() }
    };
    let (late, pinned) = (there(&late.at), there(&pinned));
    assert_eq!(rows_of(&successor, &pinned).await, 1000);
    let client = successor.try_connect(&theirs.dsn).await.unwrap();
    client
        .batch_execute("insert into t select g, md5(g::text) from generate_series(2001, 4000) g")
        .await
        .unwrap();
    drop(client);
    successor.try_connect(&late.dsn).await.expect_err("nobody has what it begins with");
    assert_eq!(rows_of(&successor, &theirs).await, 3000);
    assert_eq!(rows_of(&successor, &pinned).await, 1000);
    successor.branch_verb(&theirs, "reset", "late", &[]).unwrap();
    // It did not start, so it is not tried again at once.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(rows_of(&successor, &late).await, 3000);
    assert!(successor.stop().1);
}

#[tokio::test]
async fn it_refuses_where_a_server_runs_and_where_no_store_is() {
    let mut site = Site::new(&[]);
    let run = |url: &str, data: &std::path::Path| {
        let mut command = std::process::Command::new(binary());
        let output = command.args(["recover", "--store", url, "--data"]).arg(data).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (status, said) = run(&url_of(&site.store), site.server.data());
    assert!(status == Some(1) && said.contains("another dormouse server runs"), "{said}");
    let (nowhere, new) = (site.dir.path().join("nowhere"), site.dir.path().join("new"));
    let (status, said) = run(&url_of(&nowhere), &new);
    assert!(status == Some(1) && !nowhere.exists() && !new.join("metadata.sqlite").exists(), "{said}");
    assert!(site.server.stop().1);
}

/// A node that is only away, asleep and stored, and another one that took over from the store and wrote a row.
async fn taken_over() -> (Site, Project, Server, Project) {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    assert_eq!(site.server.act(&main, "suspend").0, 200);
    assert!(site.server.stop().1);
    let (successor, theirs) = seen_from(&site, &main);
    let client = successor.try_connect(&theirs.dsn).await.unwrap();
    client.batch_execute("insert into t values (2000, md5('2000'))").await.unwrap();
    drop(client);
    (site, main, successor, theirs)
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_node_that_comes_back_cannot_write_any_more() {
    let (mut site, main, mut successor, theirs) = taken_over().await;
    assert_eq!(successor.act(&theirs, "suspend").0, 200);

    site.server.start_again();
    for _ in 0..2 {
        let refused = site.server.try_connect(&main.dsn).await.expect_err("it is not the writer any more");
        assert_eq!(refused.code().map(tokio_postgres::error::SqlState::code), Some("58030"), "{refused:?}");
    }
    site.server.branch_verb(&main, "snapshot", "main", &[]).unwrap_err();
    successor.evict(&theirs);
    successor.fsck();
    let client = successor.try_connect(&theirs.dsn).await.unwrap();
    let rows: i64 = client.query_one(ROWS, &[]).await.unwrap().get(0);
    assert_eq!(rows, 1001, "the successor's line, and nothing of the stale writer");
    drop(client);
    assert!(successor.stop().1);
}

async fn rows_of(server: &Server, at: &Project) -> i64 {
    let client = server.try_connect(&at.dsn).await.unwrap();
    client.query_one(ROWS, &[]).await.unwrap().get(0)
}

/// Another machine takes over while this one still runs, with a compute of its own, and writes.
async fn taken_over_while_it_runs() -> (Site, Project, Server, Project) {
    let site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    site.server.branch_verb(&main, "snapshot", "main", &[]).unwrap();
    let (successor, theirs) = seen_from(&site, &main);
    let client = successor.try_connect(&theirs.dsn).await.unwrap();
    client.batch_execute("insert into t values (2000, md5('2000'))").await.unwrap();
    // Nobody has told the old one.
    site.run(&main, "insert into t values (3000, md5('3000'))").await;
    (site, main, successor, theirs)
}

/// What the old machine acknowledged is nowhere else, so it stays; and with its directory set aside, the branch is
/// made from the store.
async fn keeps_what_only_it_has(site: &mut Site, main: &Project) {
    site.server.until_true("it is stopped", || site.server.state_of(main) == "stopped");
    site.server.try_connect(&main.dsn).await.expect_err("it is not the writer any more");
    let refused = site.server.ask(&["endpoint", "evict", &main.endpoint, "--project", &main.id]);
    let refused = refused.expect_err("the only copy of that row");
    assert!(refused.text.contains("has taken over"), "{refused:?}");
    let home = site.server.cluster_of(main).parent().unwrap().to_owned();
    assert!(home.join("data/PG_VERSION").exists());
    let events = site.server.ask(&["endpoint", "events", &main.endpoint, "--project", &main.id]).unwrap();
    assert!(events.to_string().contains("does not count"), "{events}");
    assert!(site.server.stop().1);
    std::fs::rename(&home, site.dir.path().join("aside")).unwrap();
    site.server.start_again();
    assert_eq!(rows_of(&site.server, main).await, 1001, "the successor's line");
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn an_overtaken_compute_is_stopped_when_its_server_comes_back() {
    let (mut site, main, mut successor, theirs) = taken_over_while_it_runs().await;
    site.server.kill_9();
    site.server.start_again();
    assert_eq!(rows_of(&successor, &theirs).await, 1001);
    assert!(successor.stop().1);
    keeps_what_only_it_has(&mut site, &main).await;
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn an_overtaken_compute_is_stopped_when_its_snapshot_is_refused() {
    let (mut site, main, mut successor, theirs) = taken_over_while_it_runs().await;
    let refused = site.server.branch_verb(&main, "snapshot", "main", &[]).unwrap_err();
    assert!(refused.text.contains("has taken over"), "{refused:?}");
    assert_eq!(rows_of(&successor, &theirs).await, 1001);
    assert!(successor.stop().1);
    keeps_what_only_it_has(&mut site, &main).await;
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn an_overtaken_directory_that_holds_nothing_of_its_own_can_be_evicted() {
    let (mut site, main, mut successor, theirs) = taken_over().await;
    successor.evict(&theirs);
    assert!(successor.stop().1);
    site.server.start_again();
    site.server.evict(&main);
    // Asked for on purpose: this machine is the writer again.
    assert_eq!(rows_of(&site.server, &main).await, 1001);
    assert!(site.server.stop().1);
}
