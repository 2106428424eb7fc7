//! One kind of load, and one pgbench run of it.

use std::fs;
use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use super::POOL;
use super::meter::Meter;
use super::stage::{Stage, Way};
use crate::error::Error;
use crate::pgbench;
use crate::stats::Series;
use crate::stop;

/// Threads of pgbench, but where each client needs its own.
const THREADS: u32 = 2;

/// What pgbench does before its clients connect.
const PREFACE: Duration = Duration::from_millis(15);

/// The last backends are still ending; then their time is on the postmaster's account.
const ENDING: Duration = Duration::from_millis(100);

/// From so many on, logging in takes as long as a run.
const CROWD: u32 = 1000;

/// Times that a run is made longer when its clients did not log in in time.
const LONGER: usize = 4;

/// What a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// One row by its key.
    Select,
    /// Seven statements that write.
    Tpcb,
}

/// One kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Case {
    /// What a transaction is.
    pub(super) work: Work,
    /// pgbench's name of the protocol.
    pub(super) mode: &'static str,
    /// Clients at once.
    pub(super) clients: u32,
    /// Each transaction has a connection of its own.
    pub(super) reconnect: bool,
}

const MODES: [&str; 3] = ["simple", "extended", "prepared"];
const CLIENTS: [u32; 4] = [1, 16, 64, CROWD];
const RECONNECT: Case = Case { reconnect: true, ..select("simple", 16) };

const fn select(mode: &'static str, clients: u32) -> Case {
    Case { work: Work::Select, mode, clients, reconnect: false }
}

const fn tpcb(mode: &'static str, clients: u32) -> Case {
    Case { work: Work::Tpcb, ..select(mode, clients) }
}

/// Every case.
pub(super) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for make in [select, tpcb] {
        for mode in MODES {
            cases.extend(CLIENTS.map(|clients| make(mode, clients)));
        }
    }
    cases.push(RECONNECT);
    cases
}

/// Those that say most.
pub(super) fn few() -> Vec<Case> {
    let mut cases = MODES.map(|mode| select(mode, 16)).to_vec();
    cases.extend([select("simple", CROWD), tpcb("simple", 16), RECONNECT]);
    cases
}

impl Case {
    /// In tables.
    pub(super) fn name(self) -> String {
        let work = match self.work {
            Work::Select => "-S",
            Work::Tpcb => "tpcb",
        };
        let (mode, clients) = (self.mode, self.clients);
        let connections = if self.reconnect { ", one connection per transaction" } else { "" };
        format!("{work} {mode}, {clients} client{}{connections}", if clients == 1 { "" } else { "s" })
    }

    /// pgbench prepares with its whole thread waiting. When that needs a backend that another client of the thread
    /// holds, in the middle of its transaction, both wait for ever, whatever the pooler: then each client has its own.
    fn threads(self) -> u32 {
        let may_hang = self.work == Work::Tpcb && self.mode == "prepared" && self.clients >= POOL;
        if may_hang { self.clients } else { THREADS.min(self.clients) }
    }

    /// Whether there are so many clients that their logins take longest.
    pub(super) fn is_crowd(self) -> bool {
        self.clients >= CROWD
    }

    /// The share of transactions that is logged: thousands, which cost nothing.
    fn logged(self) -> &'static str {
        match (self.work, self.clients) {
            (Work::Tpcb, _) => "1",
            _ if self.reconnect => "1",
            (Work::Select, 1) => "0.2",
            (Work::Select, _) => "0.05",
        }
    }

    fn arguments(self, seconds: u32, logs: &Path) -> Vec<String> {
        let mut arguments = vec!["-n".to_owned(), format!("-M{}", self.mode), format!("-T{seconds}")];
        arguments.extend([format!("-c{}", self.clients), format!("-j{}", self.threads())]);
        arguments.push(match self.work {
            Work::Select => "-S".to_owned(),
            Work::Tpcb => "-btpcb-like".to_owned(),
        });
        if self.reconnect {
            arguments.push("-C".to_owned());
        }
        let prefix = format!("--log-prefix={}", logs.join("log").display());
        arguments.extend(["-l".to_owned(), prefix, format!("--sampling-rate={}", self.logged())]);
        arguments
    }
}

/// What one run found out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// Transactions per second.
    pub(super) tps: f64,
    /// Latency of a transaction, milliseconds.
    pub(super) p50: f64,
    /// The same, which one in a hundred exceeds.
    pub(super) p99: f64,
    /// Processor time for each transaction, µs.
    pub(super) pooler_us: f64,
    /// The same of all processes of the server.
    pub(super) postgres_us: f64,
    /// Transactions in all.
    pub(super) transactions: f64,
}

/// Runs a case by a way. A run that ended before its clients had logged in is repeated.
///
/// # Errors
/// When a client fails.
pub(super) fn run(stage: &Stage, case: Case, way: Way, seconds: u32) -> Result<Run, Error> {
    let key = if case.reconnect { 0 } else { case.clients };
    let logins = || stage.logins.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..LONGER {
        let allowance = logins().allowance(way, key);
        if let Some((run, connected)) = run_once(stage, case, way, seconds + allowance)? {
            logins().note(way, key, connected);
            return Ok(run);
        }
        stop::check()?;
        logins().note(way, key, Duration::from_secs(2 * u64::from(allowance + 1)));
    }
    Err(Error::unexpected("clients did not log in in time"))
}

/// One run and how long its clients took to log in; `None` when it was over before that.
fn run_once(stage: &Stage, case: Case, way: Way, seconds: u32) -> Result<Option<(Run, Duration)>, Error> {
    let logs = tempfile::tempdir().map_err(Error::system("make a temporary directory"))?;
    let mut meter = Meter::begin(stage, way);
    let said = stage.pgbench(way, &case.arguments(seconds, logs.path()), &mut || meter.watch())?;
    if pgbench::did_nothing(&said) {
        return Ok(None);
    }
    let outcome = pgbench::read(&said)?;
    std::thread::sleep(ENDING);
    let connected = Duration::from_secs_f64(outcome.connect_ms / 1000.0);
    let (pooler, postgres) = meter.end(if case.reconnect { Duration::ZERO } else { connected + PREFACE });
    let each = |time: Duration| time.as_secs_f64() * 1e6 / outcome.transactions.max(1.0);
    let latencies = latencies(logs.path()).map_err(Error::system("read pgbench's logs"))?;
    let run = Run {
        tps: outcome.tps,
        p50: latencies.p50(),
        p99: latencies.p99(),
        pooler_us: each(pooler),
        postgres_us: each(postgres),
        transactions: outcome.transactions,
    };
    Ok(Some((run, connected)))
}

/// The latencies in all of pgbench's logs: `client transaction latency_us …`.
fn latencies(dir: &Path) -> std::io::Result<Series> {
    let mut series = Series::default();
    for entry in fs::read_dir(dir)? {
        let text = fs::read_to_string(entry?.path())?;
        let values = text.lines().filter_map(|line| line.split(' ').nth(2)?.parse().ok());
        series.extend(values.map(Duration::from_micros));
    }
    Ok(series)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_a_name_of_its_own() {
        let mut names: Vec<String> = all().into_iter().map(Case::name).collect();
        assert_eq!(names.len(), 2 * 3 * 4 + 1);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 2 * 3 * 4 + 1);
        assert_eq!(select("simple", 1).name(), "-S simple, 1 client");
        assert_eq!([tpcb("prepared", 64), tpcb("simple", 64)].map(Case::threads), [64, 2]);
    }

    #[test]
    fn latencies_of_all_threads_count_and_failures_do_not() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("log.7"), "0 1 1500 0 1700000000 5\n0 2 failed 0 1700000000 9\n").unwrap();
        fs::write(dir.path().join("log.7.1"), "1 1 2500 0 1700000000 5\n").unwrap();
        let found = latencies(dir.path()).unwrap();
        assert_eq!((found.p50(), found.p99()), (1.5, 2.5));
    }
}
