//! Under a server of root.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use dormouse_tests::{Project, Server, note};
use serde_json::json;

use super::attacker::{files_below, reach_of, sockets_of, superuser};

/// A second project with a secret in it, awake.
async fn victim(server: &Server) -> (Project, tokio_postgres::Client) {
    let project = server.create_project(&json!({}));
    let client = server.try_connect(&project.dsn).await.unwrap();
    client
        .batch_execute("create table secret(s text); insert into secret values ('x'); checkpoint")
        .await
        .ok();
    (project, client)
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        note("only root can start computes as other users");
    }
    root
}

#[tokio::test]
async fn files_of_others_are_out_of_reach() {
    if !is_root() {
        return;
    }
    let mut server = Server::start(&[]);
    let (other, _awake) = victim(&server).await;
    let (own, attacker) = superuser(&server).await;
    let data = server.data().canonicalize().unwrap();

    // The means work on what is his own.
    let own_cluster = server.cluster_of(&own);
    let own_file = vec![own_cluster.join("PG_VERSION")];
    for how in ["readable", "importable", "copyable"] {
        assert_eq!(attacker.gets_at(how, &own_file).await.len(), 1, "{how}");
    }
    assert!(attacker.can(&format!("cat {}", own_file[0].display())).await);
    assert_eq!(attacker.gets_at("listable", std::slice::from_ref(&own_cluster)).await.len(), 1);

    // Every file of the server and of others; what PostgreSQL itself is made of may be read.
    let files = files_below(&data, &reach_of(&server, &own));
    assert!(files.len() > 1000, "{}", files.len());
    for key in ["metadata.sqlite", "machine.key", "api.key", "server.json", "tls/server.key", "proxy.key"] {
        assert!(files.contains(&data.join(key)), "{key} was renamed: put its new name here");
    }
    assert_eq!(attacker.gets_at("readable", &files).await, Vec::<String>::new());
    let mut few: Vec<PathBuf> =
        files.iter().filter(|f| !f.starts_with(data.join("templates"))).take(200).cloned().collect();
    few.extend(["/etc/shadow", "/etc/gshadow", "/proc/1/environ"].map(PathBuf::from));
    few.push(format!("/proc/{}/environ", server.pid()).into());
    few.push(format!("/proc/{}/mem", server.pid()).into());
    few.push(format!("/proc/{}/environ", server.postmaster_of(&other)).into());
    for how in ["importable", "copyable"] {
        assert_eq!(attacker.gets_at(how, &few).await, Vec::<String>::new(), "{how}");
    }
    let list: Vec<String> = few.iter().map(|p| p.display().to_string()).collect();
    let script = format!("for f in {}; do head -c 1 $f >/dev/null 2>&1 && echo $f; done", list.join(" "));
    assert_eq!(attacker.shell(&script).await, "");

    let directories: Vec<PathBuf> = [&data, &data.join("computes"), &data.join("run"), &data.join("tls")]
        .into_iter()
        .cloned()
        .chain([server.home_of(&other), server.cluster_of(&other), sockets_of(&server, &other)])
        .chain(["/root", "/home", "/tmp", "/var/tmp", "/proc", "/var/lib", "/sys"].map(PathBuf::from))
        .collect();
    assert_eq!(attacker.gets_at("listable", &directories).await, Vec::<String>::new());
    for dir in &directories {
        assert!(!attacker.can(&format!("ls {}", dir.display())).await, "{}", dir.display());
    }
    drop(attacker);
    assert!(server.stop().1);
}

#[tokio::test]
async fn processes_and_sockets_of_others_are_out_of_reach() {
    if !is_root() {
        return;
    }
    let mut server = Server::start(&[]);
    let (other, awake) = victim(&server).await;
    let (own, attacker) = superuser(&server).await;
    let strangers = [server.pid(), server.postmaster_of(&other), 1];

    let own_sockets = sockets_of(&server, &own);
    let connects =
        |dir: &Path| format!("psql -h {} -U dormouse_admin -d postgres -Atc select", dir.display());
    if attacker.can("command -v psql").await {
        assert!(attacker.can(&connects(&own_sockets)).await, "the means work");
    }
    assert!(!attacker.can(&connects(&sockets_of(&server, &other))).await);

    // PTRACE_ATTACH, on a child of his own.
    let trace = "perl -e '$c = fork; sleep 5 unless $c; exit(syscall(101, 16, $c, 0, 0) != 0)'";
    let traces = cfg!(target_arch = "x86_64") && attacker.can(trace).await;
    if !traces {
        note("nothing here can trace at all");
    }
    assert!(attacker.can("kill -0 $PPID").await, "the means work");
    for pid in strangers {
        assert!(!attacker.can(&format!("kill -0 {pid}")).await, "{pid}");
        assert!(!attacker.can(&format!("kill -9 {pid}")).await, "{pid}");
        if traces {
            assert!(
                !attacker.can(&format!("perl -e 'exit(syscall(101, 16, {pid}, 0, 0) != 0)'")).await,
                "{pid}"
            );
        }
    }
    awake.simple_query("select 1").await.expect("the other one has noticed nothing");

    // What the kernel says of the two of them.
    let of = |project: &Project, file: &str| {
        std::fs::read_to_string(format!("/proc/{}/{file}", server.postmaster_of(project))).unwrap()
    };
    let line = |project: &Project, name: &str| {
        let status = of(project, "status");
        let line = status.lines().find(|l| l.starts_with(name)).unwrap();
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    for project in [&own, &other] {
        assert_eq!(line(project, "NoNewPrivs"), ["1"]);
        assert_eq!(line(project, "CapEff"), ["0000000000000000"]);
        assert_eq!(line(project, "CapPrm"), ["0000000000000000"]);
        assert_eq!(line(project, "Groups"), Vec::<String>::new());
    }
    assert_ne!(line(&own, "Uid"), line(&other, "Uid"));
    assert_ne!(line(&own, "Gid"), line(&other, "Gid"));
    let groups =
        [of(&own, "cgroup"), of(&other, "cgroup"), std::fs::read_to_string("/proc/self/cgroup").unwrap()];
    assert!(groups[0] != groups[1] && groups[0] != groups[2], "{groups:?}");
    drop((attacker, awake));
    assert!(server.stop().1);
}

#[tokio::test]
async fn nothing_outside_is_written_and_no_rights_are_gained() {
    if !is_root() {
        return;
    }
    let mut server = Server::start(&[]);
    let (other, _awake) = victim(&server).await;
    let (own, attacker) = superuser(&server).await;
    let data = server.data().canonicalize().unwrap();
    let own_cluster = server.cluster_of(&own);

    assert_eq!(attacker.gets_at("writable", &[own_cluster.join("mine")]).await.len(), 1, "the means work");
    let name = format!("dormouse-test-{}", std::process::id());
    let segments = dormouse_tests::posix_segments(server.uid_of(&other));
    let places: Vec<PathBuf> =
        ["/tmp", "/var/tmp", "/var/lib", "/etc", "/usr/local/bin", "/dev", "/root", "/sys/fs/cgroup"]
            .into_iter()
            .map(|dir| Path::new(dir).join(&name))
            .chain([data.join(&name), data.join("run").join(&name), server.home_of(&own).join(&name)])
            .chain([server.home_of(&own).join("compute.json"), server.home_of(&own).join("postgres.log")])
            .chain([server.cluster_of(&other).join(&name), sockets_of(&server, &other).join(&name)])
            .chain([data.join("postgres").join(&name)])
            .chain(segments)
            .collect();
    assert_eq!(attacker.gets_at("writable", &places).await, Vec::<String>::new());
    for place in &places {
        assert!(
            !attacker.can(&format!("sh -c '': >> {}''", place.display()).replace("''", "\"")).await,
            "{}",
            place.display()
        );
        let is_new = place.ends_with(&name);
        assert!(!is_new || !place.exists(), "{}", place.display());
    }

    // A setuid program does not change who he is.
    let program = own_cluster.join("id");
    std::fs::copy("/usr/bin/id", &program).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o4755)).unwrap();
    let uid = server.uid_of(&own).to_string();
    assert_eq!(attacker.shell(&format!("{} -u", program.display())).await, uid);
    assert!(!attacker.can("su -c true").await);
    drop(attacker);
    assert!(server.stop().1);
}
