//! The driver matrix through the transaction pool: one test for each driver of another language. Rust's
//! own drivers are in `pool_tokio_postgres`, `pool_sqlx` and `pool_diesel`; psql, pgbench and pg_dump in
//! `pool_tools`; pgx, whose language is not here, as a trace in `pool_pgx`.
//!
//! Each program starts with an endpoint that is asleep, and in the end idles while it is suspended.
//! All of them check: statements prepared again and again while the connection moves between backends,
//! errors in and out of transactions, transactions, session settings, advisory locks, temporary tables,
//! DISCARD ALL, a row of 5 MB, and twenty clients with equal statements and different search paths.
//!
//! | test         | form of the address | pipelines | cursors | COPY | LISTEN | migrations          | cancel | startup GUCs |
//! |--------------|---------------------|-----------|---------|------|--------|---------------------|--------|--------------|
//! | libpq        | options             | yes       | rows    | yes  |        |                     | yes    | yes          |
//! | psycopg      | options, TLS        | yes       | yes     | yes  | yes    |                     | yes    |              |
//! | psycopg2     | options             |           | yes     | yes  | yes    |                     |        |              |
//! | asyncpg      | options             | batch     | yes     | yes  | yes    |                     | yes    |              |
//! | pg8000       | database            |           |         | yes  | yes    |                     |        |              |
//! | sqlalchemy ×2| options / database  |           | yes     |      |        | Alembic             |        |              |
//! | django       | options, TLS        |           | yes     |      |        | its own, both ways  |        |              |
//! | pg           | options, TLS        | yes       | yes     |      | yes    |                     |        | yes          |
//! | postgres.js  | options             | yes       | yes     | yes  | yes    |                     |        | yes          |
//! | drizzle      | options             |           |         |      |        | its own             |        |              |
//! | knex         | options             |           | stream  |      |        | its own, both ways  |        |              |
//! | prisma       | options             |           |         |      |        | the lock by hand    |        |              |
//! | jdbc         | options, TLS        | batch     | yes     | yes  | yes    |                     | yes    | yes          |
//! | activerecord | options             |           |         |      | yes    | its own, both ways  |        | by SET       |
//!
//! A driver more: `tests/drivers/README.md`, then a row and a test here.

use std::path::Path;

use crate::pool_house::{House, python, skipped};

const JDBC: &str = "/usr/share/java/postgresql.jar";

/// Whether a program asks for TLS.
#[derive(Clone, Copy, PartialEq)]
enum Tls {
    Yes,
    No,
}

/// Runs one program in a house of its own.
fn everything(language: &str, program: &str, after: &[&str], tls: Tls) {
    if skipped(language, program) {
        return;
    }
    let house = House::new();
    assert_eq!(house.server.state_of(&house.project), "stopped", "the first connection wakes it");
    let mut dsn = house.dsn();
    if tls == Tls::Yes {
        dsn.push_str("&sslmode=require");
    }
    match language {
        "python" => house.drive(&python(), &[], program, after, &dsn),
        "node" => house.drive(Path::new("node"), &[], program, after, &dsn),
        "java" => {
            assert!(Path::new(JDBC).is_file(), "the JDBC driver is missing: run scripts/setup --tests");
            // A small heap and the quick compiler: it runs for seconds.
            let options = ["-XX:TieredStopAtLevel=1", "-Xmx256m", "-cp", JDBC];
            house.drive(Path::new("java"), &options, program, after, &dsn);
        }
        "ruby" => house.drive(Path::new("ruby"), &[], program, after, &dsn),
        other => panic!("no language {other}"),
    }
    house.assert_clean_log();
}

#[test]
fn libpq() {
    everything("python", "python/pool_libpq.py", &[], Tls::No);
}

#[test]
fn psycopg() {
    everything("python", "python/pool_psycopg.py", &[], Tls::Yes);
}

#[test]
fn psycopg2() {
    everything("python", "python/pool_psycopg2.py", &[], Tls::No);
}

#[test]
fn asyncpg() {
    everything("python", "python/pool_asyncpg.py", &[], Tls::No);
}

#[test]
fn pg8000() {
    everything("python", "python/pool_pg8000.py", &[], Tls::No);
}

#[test]
fn sqlalchemy_on_psycopg() {
    everything("python", "python/pool_sqlalchemy.py", &["psycopg"], Tls::No);
}

#[test]
fn sqlalchemy_on_asyncpg() {
    everything("python", "python/pool_sqlalchemy.py", &["asyncpg"], Tls::No);
}

#[test]
fn django() {
    everything("python", "python/pool_django.py", &[], Tls::Yes);
}

#[test]
fn node_postgres() {
    everything("node", "node/pool_pg.mjs", &[], Tls::Yes);
}

#[test]
fn postgres_js() {
    everything("node", "node/pool_postgres.mjs", &[], Tls::No);
}

#[test]
fn drizzle() {
    everything("node", "node/pool_drizzle.mjs", &[], Tls::No);
}

#[test]
fn knex() {
    everything("node", "node/pool_knex.mjs", &[], Tls::No);
}

#[test]
fn prisma() {
    everything("node", "node/pool_prisma.mjs", &[], Tls::No);
}

#[test]
fn jdbc() {
    everything("java", "java/JdbcPool.java", &[], Tls::Yes);
}

#[test]
fn activerecord() {
    everything("ruby", "ruby/pool_activerecord.rb", &[], Tls::No);
}
