//! `ALTER ROLE … PASSWORD`: the new one works and the old one does not, from the moment it commits,
//! whatever happens to the database and the server after that.

use dormouse_base::clock::Mono;
use dormouse_compute::sandbox::process;
use dormouse_tests::Server;
use rustix::process::Signal;
use std::time::Duration;

use super::{right, wrong};

/// Changes the password of `app_user` over a session of its own.
async fn change(server: &Server, to: &str) {
    let owner = server.login("app_owner", &server.password()).await.unwrap();
    owner.batch_execute(&format!("alter role app_user password '{to}'")).await.unwrap();
}

async fn with_user() -> Server {
    let server = Server::start(&[]);
    let owner = server.login("app_owner", &server.password()).await.unwrap();
    owner.batch_execute("create role app_user login password 'p0'").await.unwrap();
    right(&server, "app_user", "p0").await;
    server
}

#[tokio::test]
async fn awake_and_after_every_kind_of_sleep() {
    let server = Server::start(&[]);
    let project = server.default_project();
    let owner = async || server.login("app_owner", &server.password()).await.unwrap();
    for (number, sleep) in ["", "pause", "suspend", "pause", "", "suspend"].into_iter().enumerate() {
        // Another role each time, so that this is not taken for guessing.
        let role = format!("user{number}");
        owner().await.batch_execute(&format!("create role {role} login password 'old'")).await.unwrap();
        right(&server, &role, "old").await;
        owner().await.batch_execute(&format!("alter role {role} password 'new'")).await.unwrap();
        if !sleep.is_empty() {
            assert_eq!(server.act(&project, sleep).0, 200);
        }
        let before = server.state_of(&project);
        wrong(&server, &role, "old").await;
        assert_eq!(server.state_of(&project), before, "the old password wakes nothing");
        right(&server, &role, "new").await;
        wrong(&server, &role, "old").await;
    }
    owner().await.batch_execute("create role app_user login password 'old'").await.unwrap();
    // A role changes its own password, in a session that then stays as it is.
    let user = server.login("app_user", "old").await.unwrap();
    user.batch_execute("alter role app_user password 'own'").await.unwrap();
    wrong(&server, "app_user", "old").await;
    right(&server, "app_user", "own").await;
    // What was rolled back never counted.
    user.batch_execute("begin; alter role app_user password 'never'; rollback").await.unwrap();
    wrong(&server, "app_user", "never").await;
    right(&server, "app_user", "own").await;
    // No password: no login.
    user.batch_execute("alter role app_user password null").await.unwrap();
    wrong(&server, "app_user", "own").await;
    assert_eq!(server.act(&project, "suspend").0, 200);
    wrong(&server, "app_user", "own").await;
    server.assert_clean_log(&[]);
}

#[tokio::test]
async fn after_the_postmaster_was_killed() {
    let server = with_user().await;
    let project = server.default_project();
    change(&server, "new").await;
    let postmaster = server.postmaster_of(&project);
    process::signal(postmaster, Signal::KILL);
    // The moment itself: neither may the old password get in, nor may the new one be called wrong.
    let start = Mono::now();
    let mut tries = 0;
    loop {
        match server.login("app_user", "p0").await {
            Ok(_) => panic!("the old password got in"),
            Err((code, text)) => assert!(code == "28P01" || code == "57P03", "{code} {text}"),
        }
        tries += 1;
        match server.login("app_user", "new").await {
            Ok(_) => break,
            Err((code, text)) => assert!(code == "57P03" || code == "57P02", "{code} {text}"),
        }
        assert!(start.elapsed() < Duration::from_secs(15) && tries < 9, "it does not heal");
    }
    wrong(&server, "app_user", "p0").await;
    right(&server, "app_user", "new").await;
}

#[tokio::test]
async fn after_the_server_was_killed() {
    let mut server = with_user().await;
    let password = server.password();
    change(&server, "new").await;
    server.kill_9();
    server.start_again();
    assert_eq!(server.password(), password);
    wrong(&server, "app_user", "p0").await;
    right(&server, "app_user", "new").await;

    // The same with the postmaster killed behind the dead server's back: what the metadata last
    // learned of roles is old, and must not be believed.
    change(&server, "newer").await;
    let postmaster = server.postmaster();
    server.kill_9();
    process::signal(postmaster, Signal::KILL);
    server.start_again();
    wrong(&server, "app_user", "new").await;
    right(&server, "app_user", "newer").await;

    // Asleep when the server dies.
    let project = server.default_project();
    change(&server, "newest").await;
    assert_eq!(server.act(&project, "suspend").0, 200);
    server.kill_9();
    server.start_again();
    wrong(&server, "app_user", "newer").await;
    assert_eq!(server.state(), "stopped", "known without a start");
    right(&server, "app_user", "newest").await;
}
