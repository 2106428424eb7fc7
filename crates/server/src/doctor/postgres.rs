//! Which PostgreSQL versions there are, and which expected extensions they lack.

use std::path::{Path, PathBuf};

use dormouse_compute::postgres::discover::{Installation, Installations, SUPPORTED};

use super::{Finding, Level};

/// Extensions that people expect of a platform.
const EXPECTED: [&str; 6] = ["pg_stat_statements", "pgcrypto", "pg_trgm", "citext", "hstore", "vector"];

pub(super) fn examine(named: &[PathBuf]) -> Vec<Finding> {
    let found = Installations::discover(named);
    let mut findings = Vec::new();
    for major in SUPPORTED {
        match found.get(major) {
            Some(installation) => findings.extend(describe(installation)),
            None => findings.push(
                Finding::new("postgres", Level::Note, format!("PostgreSQL {major} is not installed"))
                    .advice(format!("scripts/postgres {major}")),
            ),
        }
    }
    if found.newest().is_none() {
        findings.push(
            Finding::new("postgres", Level::Fail, "no PostgreSQL 15 to 18 was found")
                .advice("run scripts/postgres, or name an installation with --pg-dir"),
        );
    }
    findings.push(client_tools(&found));
    findings
}

fn describe(installation: &Installation) -> Vec<Finding> {
    let Installation { major, version, bin, .. } = installation;
    let mut findings =
        vec![Finding::new("postgres", Level::Ok, format!("PostgreSQL {version} in {}", bin.display()))];
    let extensions = installation.extensions();
    let missing: Vec<&str> =
        EXPECTED.into_iter().filter(|name| !extensions.iter().any(|have| have == name)).collect();
    if !missing.is_empty() {
        let what = format!("PostgreSQL {major} lacks the extensions {}", missing.join(", "));
        findings.push(
            Finding::new("postgres", Level::Note, what).advice("scripts/postgres --extras adds what it can"),
        );
    }
    findings
}

/// Dumps need client tools at least as new as the server.
fn client_tools(found: &Installations) -> Finding {
    let newest = found.newest().map_or(0, |installation| installation.major);
    let has = |installation: &Installation| installation.bin.join("pg_dump").is_file();
    let tools = found.iter().filter(|i| has(i)).map(|i| i.major).max();
    match tools {
        Some(major) if major >= newest => {
            Finding::new("postgres", Level::Ok, format!("pg_dump {major} can dump every installed version"))
        }
        Some(major) => Finding::new(
            "postgres",
            Level::Warn,
            format!("pg_dump is only version {major}, the newest server is {newest}"),
        )
        .advice("scripts/postgres --extras installs newer client tools"),
        None if Path::new("/usr/bin/psql").is_file() => {
            Finding::new("postgres", Level::Note, "no pg_dump beside the servers; psql is there")
        }
        None => Finding::new("postgres", Level::Warn, "no client tools (psql, pg_dump) were found")
            .advice("install postgresql-client, or run scripts/postgres --extras"),
    }
}
