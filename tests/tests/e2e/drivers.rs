//! Real drivers of four languages do what applications do, through the proxy: with TLS and without,
//! and each connects first to a database that is asleep. The programs are in `tests/drivers`.

use std::path::{Path, PathBuf};

use dormouse_tests::programs::{Said, driver_home, run};
use dormouse_tests::{Server, checkout};

const JDBC: &str = "/usr/share/java/postgresql.jar";

/// How to start a driver's programs.
fn interpreter(driver: &str) -> (PathBuf, Vec<&'static str>) {
    match driver {
        "psycopg" | "asyncpg" => (driver_home().join("python/bin/python"), vec![]),
        "pg" => ("node".into(), vec![]),
        "jdbc" => ("java".into(), vec!["-cp", JDBC]),
        other => panic!("no driver {other}"),
    }
}

fn program(driver: &str, which: &str) -> PathBuf {
    let name = match (driver, which) {
        ("psycopg" | "asyncpg", "basic") => format!("python/{driver}_basic.py"),
        ("psycopg" | "asyncpg", _) => format!("routes/{driver}_whoami.py"),
        ("pg", "basic") => "node/pg_basic.mjs".to_owned(),
        ("pg", _) => "routes/pg_whoami.mjs".to_owned(),
        (_, "basic") => "java/JdbcBasic.java".to_owned(),
        _ => "routes/JdbcWhoami.java".to_owned(),
    };
    checkout().join("tests/drivers").join(name)
}

/// Runs `basic` or `whoami` of a driver. `options` go to the interpreter, before the program.
pub(crate) fn drive(driver: &str, which: &str, dsn: &str, options: &[&str]) -> Said {
    let (interpreter, mut arguments) = interpreter(driver);
    let program = program(driver, which);
    assert!(program.is_file(), "{} is missing", program.display());
    arguments.extend(options);
    arguments.push(program.to_str().unwrap());
    run(&interpreter, &arguments, &[("DSN", dsn)])
}

/// All checks of a driver over TLS with a start, in the clear after a pause; then the two other
/// combinations of encryption and sleep, where it is enough to get in.
fn everything(driver: &str) {
    if driver == "jdbc" {
        assert!(Path::new(JDBC).is_file(), "the JDBC driver is missing: run scripts/setup --tests");
    }
    let server = Server::start(&[]);
    let project = server.default_project();
    let (plain, tls) = (server.dsn().to_owned(), format!("{}&sslmode=require", server.dsn()));
    let wakes = |from: &str, which: &str, dsn: &str, event: &str| {
        assert_eq!(server.state_of(&project), from);
        let before = server.events_of(&project).len();
        let said = drive(driver, which, dsn, &[]).good();
        // Events are written behind the client's back.
        server.until_true("the wake is recorded", || server.events_of(&project).len() > before);
        let events = server.events_of(&project);
        let new = &events[..events.len() - before];
        let woke = new.iter().filter(|e| e["kind"] == event).count();
        assert_eq!(woke, 1, "one {event} by {driver}: {new:?}");
        assert_eq!(new.len(), 1, "and nothing else happened: {new:?}");
        said
    };
    let sleep = |action: &str, event: &str| {
        assert_eq!(server.act(&project, action).0, 200);
        // Events are written behind the action's back.
        server.until_true("the sleep is recorded", || {
            server.events_of(&project).first().is_some_and(|e| e["kind"] == event)
        });
    };
    let ok = |said: &str| assert!(said.starts_with(&format!("ok {driver}")), "{said}");
    let app = |said: &str| assert!(said.contains(r#""app""#) && said.contains(r#""app_owner""#), "{said}");

    ok(&wakes("stopped", "basic", &tls, "woke"));
    sleep("pause", "paused");
    ok(&wakes("paused", "basic", &plain, "thawed"));
    sleep("pause", "paused");
    app(&wakes("paused", "whoami", &tls, "thawed"));
    sleep("suspend", "stopped");
    app(&wakes("stopped", "whoami", &plain, "woke"));
    server.assert_clean_log(&[]);
}

#[test]
fn psycopg() {
    everything("psycopg");
}

#[test]
fn asyncpg() {
    everything("asyncpg");
}

#[test]
fn node_postgres() {
    everything("pg");
}

#[test]
fn jdbc() {
    everything("jdbc");
}
