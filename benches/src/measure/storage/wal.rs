//! `storage-wal`: what it costs a busy writer that its WAL goes to the store.
//!
//! A compute of a server, at its own socket, beside the same PostgreSQL with the same arguments and the same data,
//! once alone and once with `pg_receivewal` on a slot. They take turns, one runs at a time. Snapshots,
//! which a compute that writes so much gets now and then, are part of its figures.

use std::path::Path;
use std::time::Duration;

use dormouse_api::client;
use dormouse_base::clock::Mono;

use super::cluster::{self, MAJOR};
use super::receiver::Receiver;
use super::served::{bench_at, sql_at};
use super::size::{Size, rounds};
use crate::args::Args;
use crate::bare::Bare;
use crate::error::Error;
use crate::pgbench::{self, Outcome, Pgbench};
use crate::report::{PartReport, Row, Section, Target};
use crate::server::{Compute, Place, Server};
use crate::stats::{median, ratio};
use crate::{cpu, session, stop, talk};

/// The share of plain that is wanted.
const SHARE: f64 = 0.93;

/// The server has nothing to do when it uses less than a twentieth of a processor for this long.
const IDLE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(25));

/// Nothing is waited for longer than this.
const IDLE_WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    Service,
    Receiver,
}

const WAYS: [(Way, &str); 3] = [
    (Way::Plain, "plain"),
    (Way::Service, "compute, WAL service on"),
    (Way::Receiver, "plain and pg_receivewal on a slot"),
];

#[derive(Debug, Clone, Copy)]
struct Run {
    outcome: Outcome,
    postgres_us: f64,
    /// The server's, or `pg_receivewal`'s.
    other_us: f64,
    wal_mb: f64,
}

struct Stage {
    server: Server,
    place: Place,
    compute: Compute,
    bare: Bare,
    pgbench: Pgbench,
    seconds: String,
    _dir: tempfile::TempDir,
}

/// Measures.
///
/// # Errors
/// When something broke.
pub(crate) fn run(binary: &Path, args: &Args) -> Result<PartReport, Error> {
    let size = Size::of(args);
    let stage = Stage::set(binary, args, size)?;
    let rounds = rounds(args, 2, 5);
    let mut all = WAYS.map(|(way, name)| (way, name, Vec::new()));
    for round in 1..=rounds {
        talk::say(&format!("storage-wal: round {round} of {rounds}"));
        for (way, _, runs) in &mut all {
            stop::check()?;
            runs.push(stage.measure(*way)?);
        }
    }
    Ok(report(&all, size, rounds))
}

impl Stage {
    fn set(binary: &Path, args: &Args, size: Size) -> Result<Self, Error> {
        let server = Server::start(binary, &crate::measure::STAY_AWAKE)?;
        // A version that the installed pg_receivewal can talk to.
        let place = server.new_place_of("wal", Some(MAJOR))?;
        session::over_tcp(place.address, &place.login)?.first_row()?;
        let compute = server.compute(&place)?;
        let dir = crate::measure::storm::passable_dir()?;
        let bare = Bare::like(&compute, dir.path())?;
        let seconds = if args.quick { args.seconds().min(3) } else { args.seconds() * 2 };
        let (pgbench, seconds) = (pgbench::find()?, format!("-T{seconds}"));
        let stage = Self { server, place, compute, bare, pgbench, seconds, _dir: dir };
        talk::say(&format!("storage-wal: filling two databases of {}", size.name));
        let words = ["-i", "-q", &format!("-s{}", size.scale)];
        bench_at(&stage.pgbench, &stage.compute, &stage.place, &words)?;
        let running = stage.bare.boot()?;
        cluster::bench(&stage.pgbench, &stage.bare, &words)?;
        running.stop()?;
        let (project, id) = (&stage.place.project, &stage.place.id);
        let branch = stage.server.call(&client::endpoint::get(project, id))?.endpoint.branch_id;
        stage.server.call(&client::branch::store(project, &branch))?;
        Ok(stage)
    }

    fn measure(&self, way: Way) -> Result<Run, Error> {
        self.idle()?;
        match way {
            Way::Service => self.service(),
            Way::Plain | Way::Receiver => self.plain(way == Way::Receiver),
        }
    }

    fn words(&self) -> [&str; 5] {
        ["-n", "-Mprepared", "-c16", "-j2", &self.seconds]
    }

    fn service(&self) -> Result<Run, Error> {
        let data = self.compute.data().ok_or_else(|| Error::unexpected("the compute has no directory"))?;
        let wal = || number(sql_at(&self.compute, &self.place, WAL)?);
        sql_at(&self.compute, &self.place, "CHECKPOINT")?;
        let now = || (cpu::of_compute(self.compute.pid, data), cpu::of_process(self.server.pid()));
        let (from, before) = (wal()?, now());
        let outcome = pgbench::read(&bench_at(&self.pgbench, &self.compute, &self.place, &self.words())?)?;
        settle();
        Ok(run_of(outcome, before, now(), wal()? - from))
    }

    fn plain(&self, received: bool) -> Result<Run, Error> {
        let running = self.bare.boot()?;
        let install = cluster::installation()?;
        let receiver = if received { Some(Receiver::start(&install, &self.bare, &running)?) } else { None };
        let wal = || number(cluster::sql(&running, WAL)?);
        cluster::sql(&running, "CHECKPOINT")?;
        let now = || {
            let other = receiver.as_ref().map_or(Duration::ZERO, Receiver::cpu);
            (cpu::of_compute(running.pid(), &self.bare.data()), other)
        };
        let (from, before) = (wal()?, now());
        let outcome = pgbench::read(&cluster::bench(&self.pgbench, &self.bare, &self.words())?)?;
        settle();
        let run = run_of(outcome, before, now(), wal()? - from);
        if let Some(receiver) = receiver {
            receiver.stop(&running)?;
        }
        running.stop()?;
        Ok(run)
    }

    /// Waits until the server has filed and stored what the last run left.
    fn idle(&self) -> Result<(), Error> {
        let start = Mono::now();
        while start.elapsed() < IDLE_WITHIN {
            stop::check()?;
            let before = cpu::of_process(self.server.pid());
            std::thread::sleep(IDLE.0);
            if cpu::of_process(self.server.pid()).saturating_sub(before) < IDLE.1 {
                return Ok(());
            }
        }
        talk::say("the server does not become idle; going on");
        Ok(())
    }
}

const WAL: &str = "SELECT (pg_current_wal_lsn() - '0/0')::text";

fn number(text: Option<String>) -> Result<f64, Error> {
    text.and_then(|text| text.parse().ok()).ok_or_else(|| Error::unexpected("PostgreSQL tells no position"))
}

/// The last backends are still ending; then their time is on the postmaster's account.
fn settle() {
    std::thread::sleep(Duration::from_millis(100));
}

type Used = (Duration, Duration);

fn run_of(outcome: Outcome, before: Used, after: Used, wal: f64) -> Run {
    let each =
        |a: Duration, b: Duration| a.saturating_sub(b).as_secs_f64() * 1e6 / outcome.transactions.max(1.0);
    Run {
        outcome,
        postgres_us: each(after.0, before.0),
        other_us: each(after.1, before.1),
        wal_mb: wal / 1e6,
    }
}

fn report(all: &[(Way, &str, Vec<Run>)], size: Size, rounds: u32) -> PartReport {
    let of =
        |runs: &[Run], figure: &dyn Fn(&Run) -> f64| median(&runs.iter().map(figure).collect::<Vec<_>>());
    let tps = |way: Way| {
        let runs = all.iter().find(|(other, _, _)| *other == way).map(|(_, _, runs)| runs.as_slice());
        of(runs.unwrap_or_default(), &|run| run.outcome.tps)
    };
    let row = |(way, name, runs): &(Way, &str, Vec<Run>)| Row {
        what: (*name).to_owned(),
        unit: "tps",
        figures: vec![
            ("tps", of(runs, &|run| run.outcome.tps)),
            ("lowest", runs.iter().map(|run| run.outcome.tps).fold(f64::INFINITY, f64::min)),
            ("latency ms", of(runs, &|run| run.outcome.latency_ms)),
            ("postgres CPU µs", of(runs, &|run| run.postgres_us)),
            ("other CPU µs", of(runs, &|run| run.other_us)),
            ("WAL MB", of(runs, &|run| run.wal_mb)),
        ],
        baseline: (*way != Way::Plain).then(|| "plain".to_owned()),
        ratio: if *way == Way::Plain { None } else { ratio(tps(*way), tps(Way::Plain)) },
    };
    let share = |way, of| ratio(tps(way), tps(of)).unwrap_or_default();
    PartReport {
        name: "storage-wal",
        sections: vec![Section {
            title: format!("tpcb of {}, 16 clients, prepared, medians of {rounds}", size.name),
            rows: all.iter().map(row).collect(),
        }],
        targets: vec![
            Target::at_least("WAL service: share of plain", share(Way::Service, Way::Plain), SHARE, "×"),
            Target::at_least(
                "WAL service: against pg_receivewal",
                share(Way::Service, Way::Receiver),
                1.0,
                "×",
            ),
        ],
        notes: vec![
            "other CPU: the server's (proxy idle), or pg_receivewal's, which was seen to stream it all"
                .into(),
            "each run begins with a checkpoint; snapshots that fall into a run are part of it".into(),
        ],
    }
}
