//! `usage`: how long somebody waits for what was used, when there is a year of 100 branches and every kept hour,
//! day and month of it.
//!
//! Nobody waits for a year to pass: the rows are written into the metadata beside the server. The baseline is the
//! cheapest question there is, asked in the same run.

use std::path::Path;
use std::time::Duration;

use dormouse_api::client;
use dormouse_api::usage::{Granularity, Query};
use dormouse_base::clock::{self, Mono};
use dormouse_base::{BranchId, ProjectId, Timestamp};
use rusqlite::{Connection, params};

use super::STAY_AWAKE;
use crate::error::Error;
use crate::report::{PartReport, Row, Section, Target};
use crate::server::Server;
use crate::stats::Series;
use crate::{stop, talk};

/// Branches, and how many of them a project has.
const BRANCHES: usize = 100;
const PER_PROJECT: usize = 10;
/// Days that there was use.
const DAYS: i64 = 365;
/// Of those, so many have their hours.
const HOURLY_DAYS: i64 = 35;
/// How often each report is asked for.
const ROUNDS: usize = 30;

/// The target of the product.
const YEAR_MS: f64 = 200.0;

const DAY_S: i64 = 86_400;
/// Where the server keeps what it knows.
const METADATA: &str = "metadata.sqlite";

/// Measures.
///
/// # Errors
/// When something broke.
pub(crate) fn run(binary: &Path) -> Result<PartReport, Error> {
    let server = Server::start(binary, &STAY_AWAKE)?;
    let now = clock::now();
    talk::say(&format!("usage: writing {DAYS} days of {BRANCHES} branches"));
    let (project, rows) =
        fill(&server.data().join(METADATA), now).map_err(|error| Error::unexpected(error.to_string()))?;
    let ago = |days: i64| Timestamp::from_second(now.as_second() - days * DAY_S).unwrap_or(now);
    let mut cheapest = Series::default();
    for _ in 0..ROUNDS {
        cheapest.push(timed(|| server.call(&client::server::user()))?);
    }
    let year = Query { from: Some(ago(DAYS - 1)), ..Query::default() };
    let by =
        |granularity, from| Query { from: Some(from), granularity: Some(granularity), ..Query::default() };
    let asked = [
        ("this month, by branch", Query::default()),
        ("a year, by branch", year.clone()),
        ("a year, month by month", by(Granularity::Month, ago(DAYS - 1))),
        ("a year, day by day", by(Granularity::Day, ago(DAYS - 1))),
        ("a month, hour by hour", by(Granularity::Hour, ago(30))),
        (
            "a year of one project, day by day",
            Query { project_id: Some(project.to_string()), ..by(Granularity::Day, ago(DAYS - 1)) },
        ),
    ];
    let base = Some(("GET /users/me", &cheapest));
    let mut told: Vec<Row> = vec![cheapest.row("GET /users/me", None)];
    let mut slowest: f64 = 0.0;
    for (name, query) in asked {
        let mut series = Series::default();
        for _ in 0..ROUNDS {
            stop::check()?;
            series.push(timed(|| server.call(&client::usage::report(&query)))?);
        }
        if name.starts_with("a year") {
            slowest = slowest.max(series.p50());
        }
        told.push(series.row(name, base));
    }
    Ok(PartReport {
        name: "usage",
        sections: vec![Section { title: "how long somebody waits for GET /usage".into(), rows: told }],
        targets: vec![Target::at_most(
            &format!("a year of {BRANCHES} branches, the slowest way to ask, p50"),
            slowest,
            YEAR_MS,
            "ms",
        )],
        notes: vec![format!("{rows} rows in the ledger")],
    })
}

/// Writes a year of use; gives one of the projects, and the number of rows.
fn fill(metadata: &Path, now: Timestamp) -> rusqlite::Result<(ProjectId, usize)> {
    let mut db = Connection::open(metadata)?;
    db.busy_timeout(Duration::from_secs(10))?;
    let transaction = db.transaction()?;
    let mut project = ProjectId::generate();
    let mut rows = 0;
    {
        let mut subjects = transaction.prepare(
            "INSERT INTO usage_subjects (branch_id, project_id, name, project_name) VALUES (?1, ?2, ?3, ?4)",
        )?;
        let mut usage = transaction.prepare(
            "INSERT OR REPLACE INTO usage (grain, start, subject, active_ms, milli_cu_ms, paused_ms,
                 storage_byte_hours, history_byte_hours, egress, ingress, queries, written, wakes)
             VALUES (?1, ?2, ?3, 123456, 30864000, 654321, 1e12, 1e10, 1000000, 200000, 1000, 5000000, 4)",
        )?;
        let today = now.as_second().div_euclid(DAY_S) * DAY_S;
        for number in 0..BRANCHES {
            if number % PER_PROJECT == 0 {
                project = ProjectId::generate();
            }
            let (branch, name) = (BranchId::generate(), format!("branch-{number}"));
            subjects.execute(params![branch.as_str(), project.as_str(), name, "bench"])?;
            let subject = transaction.last_insert_rowid();
            for day in (0..DAYS).map(|ago| today - ago * DAY_S) {
                rows += usage.execute(params![1, day, subject])?;
                if day > today - HOURLY_DAYS * DAY_S {
                    for hour in 0..24 {
                        rows += usage.execute(params![0, day + hour * 3600, subject])?;
                    }
                }
                let month = month_of(day);
                if day == today || month_of(day + DAY_S) != month {
                    rows += usage.execute(params![2, month, subject])?;
                }
            }
        }
    }
    transaction.commit()?;
    Ok((project, rows))
}

/// The first second of a day's month.
fn month_of(day: i64) -> i64 {
    let text = Timestamp::from_second(day).map(|at| at.to_string()).unwrap_or_default();
    let first = format!("{}-01T00:00:00Z", text.get(..7).unwrap_or("1970-01"));
    first.parse::<Timestamp>().map_or(day, Timestamp::as_second)
}

fn timed<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<Duration, Error> {
    let start = Mono::now();
    work()?;
    Ok(start.elapsed())
}
