//! A full disk: clear words for the client, nothing lost, and all is well when there is space again.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_tests::{Project, Server, note};
use serde_json::{Value, json};
use tokio_postgres::{Client, Error};

/// A small file system of its own.
pub(crate) struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    pub(crate) fn mount(megabytes: u32) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            note("only root can mount a small disk");
            return None;
        }
        let dir = dormouse_tests::passable_dir();
        let options = format!("size={megabytes}m,mode=0711");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "dormouse-test"]).arg(dir.path());
        if !mount.status().is_ok_and(|status| status.success()) {
            note("this system does not let root mount");
            return None;
        };
        Some(Self { dir })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Uses up all that is left.
    pub(crate) fn fill(&self) {
        let mut ballast = std::fs::File::options().create(true).append(true).open(self.ballast()).unwrap();
        for size in [1 << 20, 4096, 1] {
            while ballast.write_all(&vec![0u8; size]).is_ok() {}
        }
    }

    fn ballast(&self) -> PathBuf {
        self.dir.path().join("ballast")
    }

    pub(crate) fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whatever still uses it keeps it until its end; nobody else sees it any more.
        let _unmounted = Command::new("umount").arg("--lazy").arg(self.dir.path()).status();
    }
}

fn code(error: &Error) -> Option<&str> {
    error.code().map(tokio_postgres::error::SqlState::code)
}

/// Commits numbered rows one by one, until it fails; tells how many were acknowledged in all.
async fn write_until_it_fails(client: &Client, mut acknowledged: i32, statement: &str) -> (i32, Error) {
    loop {
        match client.execute(statement, &[&(acknowledged + 1)]).await {
            Ok(_) => acknowledged += 1,
            Err(error) => return (acknowledged, error),
        }
    }
}

/// Connects as soon as it is possible again.
async fn connect_again(server: &Server, project: &Project) -> Client {
    let start = Mono::now();
    loop {
        match server.try_connect(&project.dsn).await {
            Ok(client) => return client,
            Err(error) => {
                assert!(matches!(code(&error), Some("53100" | "57P03" | "57P02" | "57P01")), "{error:?}");
                assert!(start.elapsed() < Duration::from_secs(30), "{error:?}\n{}", server.log());
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn has_rows(client: &Client, rows: i32) {
    let row = client
        .query_one("select count(distinct n)::int, max(n) from t where n <= $1", &[&rows])
        .await
        .unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, i32>(1)), (rows, rows), "acknowledged rows are lost");
}

const SMALL_ROW: &str = "insert into t values ($1)";
const LARGE_ROW: &str = "insert into t select $1, repeat('x', 1000) from generate_series(1, 1000)";

#[tokio::test]
async fn sql_fills_the_disk_and_nothing_is_lost() {
    let Some(disk) = SmallDisk::mount(420) else { return };
    let mut server = Server::start_on(&disk.data(), &[]);
    let project = server.default_project();
    let client = server.connect().await;
    client
        .batch_execute("create table t(n int, filler text); create unlogged table filler(f text)")
        .await
        .unwrap();
    for n in 1..=100 {
        client.execute(SMALL_ROW, &[&n]).await.unwrap();
    }
    // Without a write-ahead log in the way PostgreSQL itself says what is wrong, and lives on.
    let postmaster = server.postmaster();
    let fill =
        "insert into filler select repeat(md5(g::text), 30) from generate_series(1, 20000) g where $1 > 0";
    let (_, error) = write_until_it_fails(&client, 0, fill).await;
    assert_eq!(code(&error), Some("53100"), "{error:?}");
    has_rows(&client, 100).await;
    assert_eq!(server.postmaster(), postmaster);
    client.batch_execute("drop table filler").await.unwrap();

    // With the log in the way PostgreSQL cannot go on; what it acknowledged must be there.
    let (acknowledged, error) = write_until_it_fails(&client, 100, LARGE_ROW).await;
    assert!(matches!(code(&error), None | Some("53100" | "57P01" | "57P02" | "57P03")), "{error:?}");
    note(&format!("{} large rows, then: {error}", acknowledged - 100));
    assert_eq!(server.api("GET", "/status", &Value::Null).0, 200, "the server lives on");
    // The operator makes the disk larger.
    let larger =
        Command::new("mount").args(["-o", "remount,size=900m"]).arg(disk.dir.path()).status().unwrap();
    assert!(larger.success());
    let client = connect_again(&server, &project).await;
    has_rows(&client, acknowledged).await;
    drop(client);
    assert!(server.stop().1);
}

/// Has a full disk be the reason, in words; tells nothing of files.
fn is_clear(error: &Error) {
    let told = error.as_db_error().unwrap_or_else(|| panic!("no word of the server: {error:?}"));
    assert!(matches!(told.code().code(), "53100" | "57P03"), "{told:?}");
    if told.code().code() == "53100" {
        assert!(told.message().contains("space"), "{told:?}");
    }
    // What PostgreSQL itself says of its backend has no hint.
    assert!(told.hint().is_some() || told.message().ends_with("No space left on device"), "{told:?}");
    assert!(!told.message().contains('/'), "{told:?}");
}

#[tokio::test]
async fn a_full_disk_is_named_to_those_who_wake_or_create() {
    let Some(disk) = SmallDisk::mount(420) else { return };
    let mut server = Server::start_on(&disk.data(), &[]);
    let (slept, new) = (server.default_project(), server.create_project(&json!({})));
    let client = server.connect().await;
    client.batch_execute("create table t(n int)").await.unwrap();
    for n in 1..=100 {
        client.execute(SMALL_ROW, &[&n]).await.unwrap();
    }
    drop(client);
    assert_eq!(server.act(&slept, "suspend").0, 200);
    disk.fill();

    for project in [&slept, &new] {
        match server.try_connect(&project.dsn).await {
            // What needs no new block still works.
            Ok(client) => drop(client.simple_query("select 1").await),
            Err(error) => is_clear(&error),
        }
    }
    let (status, reply) = server.api("POST", "/projects", &json!({ "project": {} }));
    assert!(status == 201 || status >= 500, "{status} {reply}");
    if status >= 500 {
        assert!(reply["message"].as_str().is_some_and(|m| !m.is_empty()), "{reply}");
        note(&format!("creating on a full disk: {status} {}", reply["message"]));
    }
    assert_eq!(server.api("GET", "/status", &Value::Null).0, 200, "the server lives on");
    // It can even be killed now.
    server.kill_9();
    disk.free();
    server.start_again();
    let again = [server.default_project(), Project { dsn: new_dsn(&server, &new), ..new }];
    let client = connect_again(&server, &again[0]).await;
    has_rows(&client, 100).await;
    connect_again(&server, &again[1]).await.batch_execute("create table t(n int)").await.unwrap();
    assert_eq!(server.api("POST", "/projects", &json!({ "project": {} })).0, 201, "the metadata is well");
    drop(client);
    assert!(server.stop().1);
    assert!(!Path::new(&disk.ballast()).exists());
}

/// Its connection string after a restart on another port.
fn new_dsn(server: &Server, project: &Project) -> String {
    let (before, rest) = project.dsn.rsplit_once('@').unwrap();
    let (_, after) = rest.split_once('/').unwrap();
    format!("{before}@127.0.0.1:{}/{after}", server.pg_port())
}
