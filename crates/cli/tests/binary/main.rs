//! The real binary against a real listener: what lands on which stream, and the exit status.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod server;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use server::Server;

const KEY: &str = "dm_testkey";

/// Runs `dormouse` with nothing of this machine's environment but what is given.
fn dormouse(data: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dormouse"))
        .args(args)
        .env_clear()
        .env("DORMOUSE_DATA", data)
        .env("PATH", data.join("bin"))
        // A machine without CA certificates.
        .env("SSL_CERT_FILE", "/nonexistent")
        .env("SSL_CERT_DIR", "/nonexistent")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// A data directory with the file of a running server.
fn data_of(server: &Server) -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    let file =
        format!(r#"{{"api":"{}/api/v2","api_key":"{KEY}","pid":{}}}"#, server.address, std::process::id());
    fs::write(data.path().join("server.json"), file).unwrap();
    data
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn talk(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn status_in_json_is_the_contract() {
    let server = Server::start();
    let data = data_of(&server);
    let output = dormouse(data.path(), &["status", "--output", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", talk(&output));
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["endpoints"][0]["state"], "paused");
    assert_eq!(status["endpoints"][0]["pid"], 4711);
    assert_eq!(talk(&output), "");
    assert!(server.asked().iter().all(|request| request.contains("Bearer dm_testkey")));
}

#[test]
fn tables_for_people() {
    let server = Server::start();
    let data = data_of(&server);
    let show =
        |args: &[&str]| format!("$ dormouse {}\n{}\n", args.join(" "), out(&dormouse(data.path(), args)));
    let shown = [
        show(&["status"]),
        show(&["project", "list"]),
        show(&["project", "get"]),
        show(&["branch", "list"]),
        show(&["branch", "get", "shop/main"]),
        show(&["branch", "size", "dev"]),
        show(&["branch", "history", "dev"]),
        show(&["branch", "snapshot"]),
        show(&["branch", "create", "dev", "--at", "-5m", "--no-endpoint"]),
        show(&["branch", "restore", "dev", "--from", "main"]),
        show(&["branch", "diff", "dev"]),
        show(&["branch", "diff", "main", "dev", "--database", "app"]),
        show(&["role", "list"]),
        show(&["role", "reveal", "app_owner"]),
        show(&["database", "list"]),
        show(&["endpoint", "list"]),
        show(&["endpoint", "get"]),
        show(&["endpoint", "wake", "ep-calm-oak-abcd2345"]),
        show(&["endpoint", "create", "--branch", "dev", "--read-only", "--at", "0/16B3748"]),
        show(&["endpoint", "evict"]),
        show(&["endpoint", "events", "main"]),
        show(&["api-key", "list"]),
        show(&["operation", "list"]),
        show(&["connection-string", "--pooled"]),
    ];
    insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("tables", shown.concat());
    });
}

#[test]
fn exit_statuses() {
    let server = Server::start();
    let data = data_of(&server);
    let code = |args: &[&str]| dormouse(data.path(), args).status.code().unwrap();
    assert_eq!(code(&["--help"]), 0);
    assert_eq!(code(&["no-such-command"]), 2);
    assert_eq!(code(&["project", "get", "nope"]), 3);
    assert_eq!(code(&["project", "update"]), 2);
    assert_eq!(code(&["status", "--data", "/nonexistent"]), 4);
    assert_eq!(code(&["endpoint", "pause"]), 1, "a conflict");
}

#[test]
fn by_the_name_of_pgbouncer_it_is_the_pooler() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("pgbouncer");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_dormouse"), &link).unwrap();
    let pgbouncer = |args: &[&str]| Command::new(&link).args(args).stdin(Stdio::null()).output().unwrap();
    assert_eq!(out(&pgbouncer(&["-V"])), out(&dormouse(dir.path(), &["pool", "-V"])));
    assert!(out(&pgbouncer(&["-V"])).starts_with("PgBouncer 1."));
    assert_eq!(out(&pgbouncer(&["--help"])), out(&dormouse(dir.path(), &["pool", "--help"])));
    // Flags may be said twice, as PgBouncer takes them.
    let output = pgbouncer(&["-q", "-q", "-R", "-R", "-v", "-v", "/nowhere/p.ini"]);
    assert_eq!(output.status.code(), Some(1), "{}", talk(&output));
    assert!(talk(&output).contains("the pooler cannot start"), "{}", talk(&output));
    assert_eq!(pgbouncer(&["--no-such"]).status.code(), Some(2));
}

#[test]
fn nothing_is_destroyed_without_consent() {
    let server = Server::start();
    let data = data_of(&server);
    let output = dormouse(data.path(), &["database", "delete", "app"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(talk(&output).contains("hint: Add `--yes` if you mean it."), "{}", talk(&output));
    assert!(!server.asked().iter().any(|request| request.starts_with("DELETE")));
    let output = dormouse(data.path(), &["database", "delete", "app", "--yes"]);
    assert_eq!(output.status.code(), Some(0), "{}", talk(&output));
    assert!(server.asked().iter().any(|request| request.starts_with("DELETE")));
}

#[test]
fn psql_gets_the_password_only_through_its_environment() {
    let server = Server::start();
    let data = data_of(&server);
    let bin = data.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let script =
        "#!/bin/sh\nfor a in \"$@\"; do echo \"arg $a\"; done\necho \"password $PGPASSWORD\"\nexit 7\n";
    fs::write(bin.join("psql"), script).unwrap();
    fs::set_permissions(bin.join("psql"), fs::Permissions::from_mode(0o755)).unwrap();
    let output = dormouse(data.path(), &["psql", "main", "--", "-c", "select 1"]);
    assert_eq!(output.status.code(), Some(7), "{}", talk(&output));
    insta::assert_snapshot!(out(&output), @r"
    arg postgresql://app_owner@127.0.0.1:5455/app?sslmode=require
    arg -c
    arg select 1
    password s3/cret
    ");
}

#[test]
fn completion_needs_no_server() {
    let output = dormouse(Path::new("/nonexistent"), &["completion", "bash"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(out(&output).contains("connection-string"));
}

#[test]
fn branches_go_only_with_consent_and_only_what_was_said_is_sent() {
    let server = Server::start();
    let data = data_of(&server);
    let run = |args: &[&str]| dormouse(data.path(), args);
    let sent = |start: &str| server.asked().iter().filter(|request| request.starts_with(start)).count();
    assert_eq!(run(&["branch", "delete", "dev"]).status.code(), Some(2));
    assert_eq!(sent("DELETE"), 0);
    let output = run(&["branch", "delete", "dev", "--recursive", "--yes"]);
    assert_eq!(output.status.code(), Some(0), "{}", talk(&output));
    assert!(server.asked().iter().any(|r| r.starts_with("DELETE") && r.contains("recursive=true")));
    for args in [
        &["branch", "reset", "dev", "--preserve-as", "before"][..],
        &["branch", "restore", "dev", "--at", "2026-01-02T03:04:05Z"],
        &["branch", "expire", "dev", "--in", "2h"],
        &["branch", "expire", "dev", "--never"],
        &["branch", "protect", "dev"],
        &["branch", "unprotect", "dev"],
        &["branch", "set-default", "dev"],
        &["branch", "rename", "dev", "stage"],
        &["endpoint", "delete", "ep-calm-oak-abcd2345", "--yes"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", talk(&output));
    }
    assert_eq!((sent("PATCH"), sent("POST"), sent("DELETE")), (5, 3, 2));
    for wrong in [
        &["branch", "restore", "dev"][..],
        &["branch", "expire", "dev"],
        &["branch", "expire", "dev", "--in", "2h", "--never"],
        &["branch", "create", "x", "--at", "someday"],
        &["branch", "reset", "main"],
        &["endpoint", "create", "--at", "-5m"],
    ] {
        assert_eq!(run(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let output = run(&["endpoint", "wake", "dev"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(talk(&output).contains("hint: Create one with `dormouse endpoint create --branch dev`."));
}
