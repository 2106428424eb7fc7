//! A wrong password wakes nothing, tells nothing, and cannot be tried for ever.

use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_tests::Server;

use super::{refused, right, wrong};

#[tokio::test]
async fn wrong_password_leaves_it_as_it_is() {
    let server = Server::start(&[]);
    let project = server.default_project();
    assert_eq!(server.state_of(&project), "stopped");
    wrong(&server, "app_owner", "wrong").await;
    assert_eq!(server.state_of(&project), "stopped");
    assert!(server.computes().is_empty(), "no process was started");

    right(&server, "app_owner", &server.password()).await;
    // The session that just went is work until the proxy has seen it go.
    server.until_true("it is paused", || server.act(&project, "pause").0 == 200);
    server.until_true("the pause is recorded", || {
        server.events_of(&project).first().is_some_and(|e| e["kind"] == "paused")
    });
    let (pid, events) = (server.postmaster_of(&project), server.events_of(&project));
    wrong(&server, "app_owner", "wrong").await;
    assert_eq!((server.state_of(&project).as_str(), server.postmaster_of(&project)), ("paused", pid));

    // Nobody learns which roles exist: the same words for a role that does not.
    let (code, text) = refused(&server, "app_owner", "wrong").await;
    let (other_code, other_text) = refused(&server, "nobody_here", "wrong").await;
    assert_eq!(code, other_code);
    assert_eq!(text.replace("app_owner", "*"), other_text.replace("nobody_here", "*"));
    let (_, empty) = refused(&server, "app_owner", "").await;
    assert_eq!(empty, text, "no password is a wrong password");
    // The admin's role and PostgreSQL's own are closed from outside, in the same words.
    for role in ["postgres", "dormouse_admin", "pg_monitor"] {
        let (code, text) = refused(&server, role, "wrong").await;
        assert_eq!(
            (code.as_str(), text.replace(role, "*")),
            ("28P01", other_text.replace("nobody_here", "*"))
        );
    }
    assert_eq!((server.state_of(&project).as_str(), server.postmaster_of(&project)), ("paused", pid));
    assert_eq!(server.events_of(&project), events, "no wake, no thaw");

    assert_eq!(server.act(&project, "suspend").0, 200);
    wrong(&server, "app_owner", "wrong").await;
    assert_eq!(server.state_of(&project), "stopped");
    assert!(server.computes().is_empty(), "no process was started");
    server.assert_clean_log(&[]);
}

#[tokio::test]
async fn guessing_is_slowed_down_for_the_guessed_role_only() {
    let server = Server::start(&[]);
    let owner = server.login("app_owner", &server.password()).await.unwrap();
    owner.batch_execute("create role guessed login password 'right'").await.unwrap();
    right(&server, "guessed", "right").await;
    let start = Mono::now();
    let refusal = loop {
        let (code, text) = refused(&server, "guessed", "wrong").await;
        if code != "28P01" {
            break (code, text);
        }
        assert!(start.elapsed() < Duration::from_secs(20), "guessing goes on and on");
    };
    assert_eq!(refusal.0, "28000", "{refusal:?}");
    assert!(refusal.1.contains("too many failed logins"), "{refusal:?}");
    let (code, _) = refused(&server, "guessed", "right").await;
    assert_eq!(code, "28000", "a guesser does not even learn that it guessed right");
    right(&server, "app_owner", &server.password()).await;

    // The limit is one try every six seconds; then the right password is let in, as often as it comes.
    while server.login("guessed", "right").await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(40), "locked out for ever");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for _ in 0..3 {
        right(&server, "guessed", "right").await;
    }
}

/// Whoever has proved nothing must not cost anything: not even the sleep of a database that is awake.
#[tokio::test]
async fn failed_logins_keep_nobody_awake() {
    let server = Server::start(&["--idle-timeout", "2s", "--pause-timeout", "0"]);
    right(&server, "app_owner", &server.password()).await;
    assert_eq!(server.state(), "active");
    let start = Mono::now();
    let mut tries = 0;
    while server.state() != "stopped" {
        wrong(&server, &format!("guess{tries}"), "wrong").await;
        tries += 1;
        assert!(start.elapsed() < Duration::from_secs(20), "still {} after {tries} tries", server.state());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(tries > 3, "some came before it slept");
    wrong(&server, "guess", "wrong").await;
    assert_eq!(server.state(), "stopped");
}

/// An application's pool opens all its connections in the same moment. That is no guessing.
#[tokio::test(flavor = "multi_thread")]
async fn many_right_logins_at_once() {
    const AT_ONCE: usize = 40;
    let server = std::sync::Arc::new(Server::start(&[]));
    let scope = dormouse_runtime::task::Scope::new();
    let (sender, mut receiver) = tokio::sync::mpsc::channel(AT_ONCE);
    for _ in 0..AT_ONCE {
        let (server, sender) = (std::sync::Arc::clone(&server), sender.clone());
        scope.spawn("login", async move {
            let client = server.login("app_owner", &server.password()).await;
            let _gone = sender.send(client).await;
        });
    }
    drop(sender);
    let mut open = Vec::new();
    while let Some(client) = receiver.recv().await {
        open.push(client.unwrap());
    }
    assert_eq!(open.len(), AT_ONCE);
    for client in &open {
        client.batch_execute("select 1").await.unwrap();
    }
}
