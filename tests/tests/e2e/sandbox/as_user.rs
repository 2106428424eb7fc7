//! Under a server of an ordinary user: no user IDs to give away, no cgroups to make. It works, and
//! Landlock keeps the computes apart.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use dormouse_compute::sandbox::landlock;
use dormouse_tests::{Server, note};
use serde_json::json;

use super::attacker::{files_below, reach_of, sockets_of, superuser};

/// An account that every system has. `initdb` wants one with a name.
fn nobody() -> Option<(u32, u32)> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = passwd.lines().find(|line| line.starts_with("nobody:"))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[tokio::test]
async fn it_works_and_computes_stay_apart() {
    let Some(user) = nobody().filter(|_| rustix::process::geteuid().is_root()) else {
        note("only root can become another user");
        return;
    };
    let mut server = Server::start_as(user, &[]);
    let other = server.create_project(&json!({}));
    let client = server.try_connect(&other.dsn).await.unwrap();
    client.batch_execute("create table t(n int); insert into t values (1)").await.unwrap();
    assert_eq!(server.uid_of(&other), user.0);

    assert_eq!(server.act(&other, "pause").0, 200);
    let rows: i64 = client.query_one("select count(*) from t", &[]).await.unwrap().get(0);
    assert_eq!(rows, 1, "it thaws");
    assert_eq!(server.act(&other, "suspend").0, 200);
    assert!(server.processes_of(&other).is_empty());
    let client = server.try_connect(&other.dsn).await.unwrap();
    let rows: i64 = client.query_one("select count(*) from t", &[]).await.unwrap().get(0);
    assert_eq!(rows, 1, "it wakes");

    if landlock::is_supported() {
        stays_inside(&server, &other).await;
    } else {
        note("this kernel has no Landlock");
    }
    drop(client);
    let (took, well) = server.stop();
    assert!(well && took.as_secs() < 30, "{took:?}");
    assert!(server.computes().is_empty());
}

async fn stays_inside(server: &Server, other: &dormouse_tests::Project) {
    let (own, attacker) = superuser(server).await;
    let data = server.data().canonicalize().unwrap();
    let own_cluster = server.cluster_of(&own);
    assert_eq!(attacker.gets_at("readable", &[own_cluster.join("PG_VERSION")]).await.len(), 1);

    let files = files_below(&data, &reach_of(server, &own));
    assert!(files.len() > 1000, "{}", files.len());
    assert_eq!(attacker.gets_at("readable", &files).await, Vec::<String>::new());
    let directories: Vec<PathBuf> = vec![
        data.clone(),
        data.join("computes"),
        data.join("run"),
        server.cluster_of(other),
        sockets_of(server, other),
    ];
    assert_eq!(attacker.gets_at("listable", &directories).await, Vec::<String>::new());
    for dir in &directories {
        assert!(!attacker.can(&format!("ls {}", dir.display())).await, "{}", dir.display());
        let file = dir.join("dormouse-test");
        assert!(!attacker.can(&format!("tee {}", file.display())).await, "{}", file.display());
    }
    assert!(attacker.can("kill -0 $PPID").await, "the means work");
    for pid in [server.pid(), server.postmaster_of(other)] {
        assert!(!attacker.can(&format!("cat /proc/{pid}/environ")).await);
        if signals_are_scoped() {
            assert!(!attacker.can(&format!("kill -9 {pid}")).await, "{pid}");
        }
    }
    assert!(own_cluster.metadata().unwrap().permissions().mode() & 0o077 == 0);
}

/// Landlock keeps signals inside since Linux 6.12.
fn signals_are_scoped() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map(|n| n.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(12))
}
