//! A server that dies or leaves does not take its computes with it: the next one takes them over,
//! and ends what it cannot take over. Nobody else's process is ever touched.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_compute::sandbox::cgroup::{Cgroups, Choice};
use dormouse_compute::sandbox::process::{self, Fingerprint};
use dormouse_tests::{Project, Server, binary, free_port, note};
use rustix::process::Signal;
use serde_json::json;

use crate::crashes::nothing_is_left;

async fn sum(server: &Server) -> i64 {
    let client = server.connect().await;
    client.query_one("select sum(n)::int8 from t", &[]).await.unwrap().get(0)
}

async fn make_table(server: &Server) {
    let client = server.connect().await;
    client.batch_execute("create table t(n int8); insert into t values (1), (2)").await.unwrap();
}

/// Kills the server while the compute is Active, then while it is Paused.
async fn adopts_active_and_paused(cgroup: &str, freezes_by: &str) {
    let mut server = Server::start(&["--cgroup", cgroup]);
    make_table(&server).await;
    let project = server.default_project();
    let postmaster = server.postmaster_of(&project);

    server.kill_9();
    server.start_again();
    assert_eq!((server.state(), server.postmaster()), ("active".to_owned(), postmaster));
    assert_eq!(server.until_event(&project, "adopted")["pid"], postmaster);
    assert_eq!(sum(&server).await, 3);

    server.until_true("it pauses", || server.act(&project, "pause").0 == 200);
    assert_eq!(server.until_event(&project, "paused")["how"], freezes_by);
    server.kill_9();
    server.start_again();
    assert_eq!((server.state(), server.postmaster()), ("paused".to_owned(), postmaster));
    assert_eq!(sum(&server).await, 3, "it thaws");
    assert_eq!(server.postmaster(), postmaster);

    // It is a compute like any other from here on.
    server.until_true("it pauses", || server.act(&project, "pause").0 == 200);
    assert_eq!(sum(&server).await, 3);
    assert_eq!(server.act(&project, "suspend").0, 200);
    nothing_is_left(&server, &project);
    assert_eq!(sum(&server).await, 3);
    assert!(server.stop().1);
}

#[tokio::test]
async fn adopts_with_what_this_machine_has() {
    let name = Cgroups::detect(Choice::Auto, "probe").unwrap().name();
    adopts_active_and_paused("auto", name).await;
}

#[tokio::test]
async fn adopts_with_the_version_1_freezer() {
    if Cgroups::detect(Choice::V1, "probe").is_err() {
        note("no cgroup version 1 freezer here");
        return;
    }
    adopts_active_and_paused("v1", "cgroup1").await;
}

#[tokio::test]
async fn adopts_with_signals_only() {
    adopts_active_and_paused("off", "signal").await;
}

/// Waits for a starting postmaster and stops it (SIGSTOP) before it is ready.
fn catch_starting(server: &Server, project: &Project) -> u32 {
    let start = Mono::now();
    loop {
        let file = std::fs::read_to_string(server.cluster_of(project).join("postmaster.pid"));
        let pid = file.ok().and_then(|text| text.lines().next()?.parse::<u32>().ok());
        if let Some(pid) = pid.filter(|pid| server.processes_of(project).contains(pid)) {
            process::signal(pid, Signal::STOP);
            return pid;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "nothing starts");
        std::thread::sleep(Duration::from_micros(200));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compute_that_was_starting_or_stopping_works_again() {
    let ports = [free_port().to_string(), free_port().to_string()];
    let mut server = Server::start(&["--pg-port", &ports[0], "--http-port", &ports[1]]);
    make_table(&server).await;
    let project = server.default_project();
    assert_eq!(server.act(&project, "suspend").0, 200);

    // Starting.
    let dsn = server.dsn().to_owned();
    let client = tokio::task::JoinSet::from_iter([async move {
        let (client, connection) =
            dsn.parse::<tokio_postgres::Config>().unwrap().connect(tokio_postgres::NoTls).await?;
        drop((client, connection));
        Ok::<_, tokio_postgres::Error>(())
    }]);
    let caught = catch_starting(&server, &project);
    server.kill_9();
    assert!(client.join_all().await[0].is_err(), "its server died");
    process::signal(caught, Signal::CONT);
    server.start_again();
    assert_eq!(sum(&server).await, 3);

    // Stopping: a statement that takes its time holds it up.
    let client = server.connect().await;
    let sleeper =
        tokio::task::JoinSet::from_iter([async move { client.batch_execute("select pg_sleep(300)").await }]);
    let watcher = server.connect().await;
    let running =
        "select count(*) from pg_stat_activity where query like '%pg_sleep(300)' and state = 'active'";
    while watcher.query_one(running, &[]).await.unwrap().get::<_, i64>(0) == 0 {}
    drop(watcher);
    std::thread::scope(|scope| {
        scope.spawn(|| server.cli(&["endpoint", "suspend", &project.endpoint]));
        server.until_state(&project, "stopping");
        process::signal(server.pid(), Signal::KILL);
    });
    server.kill_9();
    server.start_again();
    assert!(sleeper.join_all().await[0].is_err(), "its server died");
    assert_eq!(sum(&server).await, 3);
    let took = Mono::now();
    assert!(server.stop().1);
    assert!(took.elapsed() < Duration::from_secs(30), "{:?}", took.elapsed());
    nothing_is_left(&server, &project);
}

#[tokio::test]
async fn computes_can_be_left_for_the_next_server() {
    let mut server = Server::start(&["--keep-computes"]);
    make_table(&server).await;
    let (project, postmaster) = (server.default_project(), server.postmaster());
    let (took, well) = server.stop();
    assert!(well && took < Duration::from_secs(10), "{took:?}");
    assert!(server.computes().contains(&postmaster), "it is left running");
    server.start_again();
    assert_eq!((server.state(), server.postmaster()), ("active".to_owned(), postmaster));
    assert_eq!(sum(&server).await, 3);
    assert_eq!(server.act(&project, "suspend").0, 200);
    assert!(server.stop().1);
    nothing_is_left(&server, &project);
}

/// A process of no importance to Dormouse.
struct Stranger(Child);

impl Stranger {
    fn new(work_in: &Path) -> Self {
        let mut command = Command::new("sleep");
        command.arg("300").current_dir(work_in).stdin(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn assert_untouched(&mut self) {
        assert_eq!(self.0.try_wait().unwrap(), None, "the stranger was ended");
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        assert!(stat.contains(") S "), "the stranger was stopped: {stat}");
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A pid file as a killed postmaster leaves it, with the number of a process that lives.
fn write_pid_file(server: &Server, project: &Project, pid: u32) {
    let cluster = server.cluster_of(project);
    let text =
        format!("{pid}\n{}\n1700000000\n5432\n/tmp\n\n  12345678        42\nready   \n", cluster.display());
    std::fs::write(cluster.join("postmaster.pid"), text).unwrap();
}

#[tokio::test]
async fn a_number_in_a_file_is_never_trusted() {
    let mut server = Server::start(&[]);
    make_table(&server).await;
    let project = server.default_project();
    let mut stranger = Stranger::new(Path::new("/"));
    for pid in [stranger.0.id(), std::process::id()] {
        assert_eq!(server.act(&project, "suspend").0, 200);
        write_pid_file(&server, &project, pid);
        assert_eq!(sum(&server).await, 3, "the stale file does not keep it from starting");
        assert_ne!(server.postmaster(), pid);
        stranger.assert_untouched();
    }
    // The next server finds the files: the pid file, and its predecessor's own record.
    assert_eq!(server.act(&project, "suspend").0, 200);
    server.kill_9();
    write_pid_file(&server, &project, stranger.0.id());
    let fingerprint = Fingerprint::of(stranger.0.id()).unwrap();
    let record = json!({ "postmaster": fingerprint, "socket_dir": "/tmp", "log_start": 0 });
    std::fs::write(server.home_of(&project).join("compute.json"), record.to_string()).unwrap();
    server.start_again();
    stranger.assert_untouched();
    assert!(Path::new("/tmp").is_dir());
    assert_eq!(sum(&server).await, 3);
    stranger.assert_untouched();
    assert!(server.stop().1);
}

/// An operator may look around in a cluster with a shell.
#[tokio::test]
async fn who_only_looks_at_a_cluster_is_left_alone() {
    if !rustix::process::geteuid().is_root() {
        note("computes share the operator's user here");
        return;
    }
    let mut server = Server::start(&["--cgroup", "off"]);
    make_table(&server).await;
    let project = server.default_project();
    let mut stranger = Stranger::new(&server.cluster_of(&project));
    server.until_true("it pauses", || server.act(&project, "pause").0 == 200);
    stranger.assert_untouched();
    process::signal(server.postmaster(), Signal::KILL);
    server.until_event(&project, "crashed");
    server.until_state(&project, "active");
    stranger.assert_untouched();
    assert_eq!(sum(&server).await, 3);
    assert!(server.stop().1);
    stranger.assert_untouched();
}

#[tokio::test]
async fn a_compute_that_nobody_knows_is_ended() {
    let mut server = Server::start(&["--keep-computes"]);
    make_table(&server).await;
    let project = server.default_project();
    assert!(server.stop().1);
    assert!(!server.computes().is_empty());
    for entry in std::fs::read_dir(server.data()).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("metadata.sqlite") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    server.start_again();
    assert_ne!(server.default_project().endpoint, project.endpoint, "the metadata is new");
    nothing_is_left(&server, &project);
    assert!(server.stop().1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_everything_in_time() {
    let mut server = Server::start(&[]);
    let projects: Vec<_> = (0..5).map(|_| server.create_project(&json!({}))).collect();
    let mut clients = Vec::new();
    for project in &projects {
        let client = server.try_connect(&project.dsn).await.unwrap();
        client.batch_execute("create table t(n int); begin; insert into t values (1)").await.unwrap();
        clients.push(client);
    }
    let long = clients.pop().unwrap();
    let long =
        tokio::task::JoinSet::from_iter([async move { long.batch_execute("select pg_sleep(300)").await }]);
    let busy = &projects[4];
    let start = Mono::now();
    while !server.processes_of(busy).iter().any(|pid| {
        std::fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|c| String::from_utf8_lossy(&c).contains("SELECT"))
    }) {
        assert!(start.elapsed() < Duration::from_secs(20));
    }
    let (took, well) = server.stop();
    note(&format!("5 active endpoints stopped in {took:?}"));
    assert!(well && took < Duration::from_secs(30), "{took:?}");
    let error = long.join_all().await.remove(0).unwrap_err();
    assert!(error.code().is_none_or(|c| c.code() == "57P01"), "{error:?}");
    assert!(server.computes().is_empty());
    projects.iter().for_each(|project| nothing_is_left(&server, project));
}

#[tokio::test]
async fn one_server_for_one_data_directory() {
    let mut server = Server::start(&[]);
    make_table(&server).await;
    let second = Command::new(binary())
        .args(["up", "--pg-port", "0", "--http-port", "0", "--data"])
        .arg(server.data())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("another dormouse server runs on"), "{said}");
    assert_eq!(sum(&server).await, 3, "the first one does not mind");
    assert!(server.stop().1);
}
