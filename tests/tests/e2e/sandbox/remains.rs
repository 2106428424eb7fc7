//! What a superuser's programs leave behind ends when his compute does, and what he puts in the
//! place of PostgreSQL's own files harms nobody else.

use std::os::unix::fs::MetadataExt;

use dormouse_tests::{Server, note};
use rustix::process::Signal;

use super::attacker::superuser;
use crate::crashes::nothing_is_left;

#[tokio::test]
async fn asleep_means_that_his_programs_end_too() {
    let mut server = Server::start(&[]);
    let (project, attacker) = superuser(&server).await;
    let shared = format!("/dev/shm/{}", project.endpoint);
    let daemon = "cd / && setsid sleep 1234 </dev/null >/dev/null 2>&1 &";
    attacker.shell(&format!("{daemon} echo > {shared}")).await;
    assert!(std::path::Path::new(&shared).exists());
    let uid = server.uid_of(&project);
    let is_his = |pid: &String| {
        let dir = std::path::Path::new("/proc").join(pid);
        dir.metadata().is_ok_and(|meta| meta.uid() == uid)
            && std::fs::read(dir.join("cmdline")).is_ok_and(|c| c == b"sleep\x001234\x00")
    };
    let daemons = || {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        all.filter_map(|e| e.file_name().into_string().ok()).filter(is_his).count()
    };
    server.until_true("the daemon runs", || daemons() == 1);
    drop(attacker);
    assert_eq!(server.act(&project, "suspend").0, 200);
    if std::fs::read_to_string("/proc/mounts").unwrap().contains(" cgroup2 ") {
        assert_eq!(daemons(), 0);
    } else {
        note("without a cgroup a daemon that went elsewhere is not found");
    }
    nothing_is_left(&server, &project);
    assert!(uid == 0 || !std::path::Path::new(&shared).exists());
    assert!(server.try_connect(&project.dsn).await.is_ok(), "and it wakes as ever");
    assert!(server.stop().1);
}

#[tokio::test]
async fn a_pipe_for_a_pid_file_stops_nobody() {
    let mut server = Server::start(&[]);
    let (project, attacker) = superuser(&server).await;
    attacker.shell("rm postmaster.pid && mkfifo -m 600 postmaster.pid").await;
    drop(attacker);
    let other = server.default_project();
    assert_eq!(server.act(&project, "suspend").0, 200);
    assert!(server.try_connect(&project.dsn).await.is_ok(), "it starts again");

    // The next server meets it while the compute runs, and after it was killed.
    let client = server.try_connect(&project.dsn).await.unwrap();
    let trap = "copy (select 1) to program 'rm postmaster.pid && mkfifo -m 600 postmaster.pid'";
    client.batch_execute(trap).await.unwrap();
    let postmaster = server.postmaster_of(&project);
    server.kill_9();
    dormouse_compute::sandbox::process::signal(postmaster, Signal::KILL);
    server.start_again();
    assert!(
        server.connect().await.simple_query("select 1").await.is_ok(),
        "{} is not held up",
        other.endpoint
    );
    server.until_true("the trapped one is healed", || server.state_of(&project) == "active");
    assert!(server.stop().1);
    nothing_is_left(&server, &project);
}
