//! By the host name that a TLS client asks for, with every driver. `*.localhost` resolves nowhere by
//! itself here, so each driver is told the address in the way that it has for that.

use dormouse_tests::programs::{python, run};

use super::{PASSWORD, Town};
use crate::drivers::drive;

#[tokio::test]
async fn by_host_name() {
    let town = Town::new().await;
    psql_finds_it_by_host_name(&town).await;
    drivers_find_it_by_host_name(&town).await;
}

async fn psql_finds_it_by_host_name(town: &Town) {
    for suffix in ["", "-pooler"] {
        for (project, place) in [(&town.first, "first"), (&town.second, "second")] {
            let host = format!("{}{suffix}.localhost", project.endpoint);
            assert_eq!(town.psql(&host, "app", "", PASSWORD).good(), place, "{host}");
        }
    }
    // The name and another form agree.
    let host = format!("{}.localhost", town.second.endpoint.to_uppercase());
    let options = format!("options='endpoint={}'", town.second.endpoint);
    assert_eq!(town.psql(&host, "app", &options, PASSWORD).good(), "second");
    // Without TLS there is no name on the wire: the default.
    assert_eq!(town.psql(&host, "app", "sslmode=disable", PASSWORD).good(), "first");
}

/// Resolves every name to 127.0.0.1, then runs the program of the driver itself.
const ASYNCPG: &str = "import os, runpy, socket, sys\n\
    real = socket.getaddrinfo\n\
    socket.getaddrinfo = lambda host, *rest, **more: real('127.0.0.1', *rest, **more)\n\
    runpy.run_path(os.environ['PROGRAM'], run_name='__main__')";

const NODE: &str = "import dns from 'node:dns'; import net from 'node:net';\
    const real = dns.lookup; \
    dns.lookup = (host, options, done) => real('127.0.0.1', options, done);";

async fn drivers_find_it_by_host_name(town: &Town) {
    // The drivers' programs tell the database's name only, so each project gets one of its own.
    for (project, name) in [(&town.first, "one"), (&town.second, "two")] {
        let host = format!("{}.localhost", project.endpoint);
        town.psql_sql(&host, &format!("create database {name}"));
        let port = town.server.pg_port();
        let password = "same%3Bin%24both%3Dprojects%40x";
        let dsn = format!("postgresql://app_owner:{password}@{host}:{port}/{name}?sslmode=require");
        let right =
            |driver: &str, said: &str| assert!(said.contains(&format!("\"{name}\"")), "{driver}: {said}");

        right("psycopg", &drive("psycopg", "whoami", &format!("{dsn}&hostaddr=127.0.0.1"), &[]).good());

        let program = dormouse_tests::checkout().join("tests/drivers/routes/asyncpg_whoami.py");
        let environment = [("DSN", dsn.as_str()), ("PROGRAM", program.to_str().unwrap())];
        right("asyncpg", &python(ASYNCPG, &environment).good());

        let dir = tempfile::tempdir().unwrap();
        let hosts = dir.path().join("hosts");
        std::fs::write(&hosts, format!("127.0.0.1 {host}\n")).unwrap();
        let option = format!("-Djdk.net.hosts.file={}", hosts.display());
        right("jdbc", &drive("jdbc", "whoami", &dsn, &[&option]).good());

        let lookup = dir.path().join("lookup.mjs");
        std::fs::write(&lookup, NODE).unwrap();
        let program = dormouse_tests::checkout().join("tests/drivers/routes/pg_whoami.mjs");
        let arguments = ["--import", lookup.to_str().unwrap(), program.to_str().unwrap()];
        right("pg", &run("node".as_ref(), &arguments, &[("DSN", &dsn)]).good());
    }
    town.server.assert_clean_log(&[]);
}

impl Town {
    fn psql_sql(&self, host: &str, sql: &str) {
        let port = self.server.pg_port();
        let connection =
            format!("host={host} hostaddr=127.0.0.1 port={port} user=app_owner dbname=app sslmode=require");
        dormouse_tests::programs::psql(&connection, PASSWORD, &["-c", sql]).good();
    }
}
