//! The node is gone; only the store is left.

use dormouse_tests::storage::url_of;
use dormouse_tests::{Server, binary};

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

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_node_that_comes_back_cannot_write_any_more() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    assert_eq!(site.server.act(&main, "suspend").0, 200);
    assert!(site.server.stop().1);
    // The old node is only away; another one took over from the store.
    let new = site.dir.path().join("new");
    recover(&site, &new);
    let url = url_of(&site.store);
    let mut successor = Server::start_on(&new, &["--store", &url]);
    let theirs = dormouse_tests::Project {
        // What a recovered server prints has no password: it never knew it in the clear.
        dsn: main.dsn.replace(&port_of(&main.dsn), &format!(":{}/", successor.pg_port())),
        ..successor.default_project()
    };
    let client = successor.try_connect(&theirs.dsn).await.unwrap();
    client.batch_execute("insert into t values (2000, md5('2000'))").await.unwrap();
    drop(client);
    assert_eq!(successor.act(&theirs, "suspend").0, 200);

    site.server.start_again();
    if let Ok(client) = site.server.try_connect(&main.dsn).await {
        let _refused = client.batch_execute("insert into t values (3000, md5('3000'))").await;
    }
    let _refused = site.server.act(&main, "suspend");
    let _refused = site.server.branch_verb(&main, "snapshot", "main", &[]);
    successor.evict(&theirs);
    successor.fsck();
    let client = successor.try_connect(&theirs.dsn).await.unwrap();
    let rows: i64 = client.query_one(ROWS, &[]).await.unwrap().get(0);
    assert_eq!(rows, 1001, "the successor's line, and nothing of the stale writer");
    drop(client);
    assert!(successor.stop().1);
}
