//! `storage-wal`: what it costs a busy writer that its WAL goes to the store.
//!
//! A compute of a server, at its own socket, beside the same PostgreSQL with the same arguments and the same data,
//! once alone and once with `pg_receivewal` on a slot. They take turns, one works at a time. What limits cost is
//! another question: the compute that is judged has none, one more has them, as computes have by default. So that
//! nothing but the way differs:
//!
//! * Each has a database of its own, and all have had the same number of runs: tables that were updated often have
//!   room in their pages, and write a quarter less WAL for each transaction.
//! * All of them run all the time; the computes have the whole machine from their first moment on.
//! * Plain PostgreSQL writes its WAL as it comes. A compute's own setting for that, compressed pages where PostgreSQL was
//!   built for it, is part of how its WAL gets to the store, with what it costs the compute.
//! * Each run begins behind a checkpoint. A compute's begins behind a snapshot, and what it leaves is stored before
//!   the next one's turn. So a run has as many snapshots as any other stretch of its length in a compute's life.

use std::path::Path;
use std::time::Duration;

use dormouse_api::client;
use dormouse_base::clock::Mono;

use super::cluster::{self, MAJOR};
use super::receiver::Receiver;
use super::served::{bench_at, sql_at};
use super::size::{Size, rounds};
use crate::args::Args;
use crate::bare::{Bare, Running};
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

/// A run is so much longer than those of other parts: one of a few seconds would have a snapshot, or none, by chance.
const LONGER: u32 = 6;

/// Nothing is waited for longer than this.
const IDLE_WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    Service,
    Limited,
    Receiver,
}

const WAYS: [(Way, &str); 4] = [
    (Way::Plain, "plain"),
    (Way::Service, "compute, WAL service on"),
    (Way::Limited, "the same with limits (cgroups)"),
    (Way::Receiver, "plain and pg_receivewal on a slot"),
];

#[derive(Debug, Clone, Copy)]
struct Run {
    outcome: Outcome,
    postgres_us: f64,
    /// The server's, or `pg_receivewal`'s.
    other_us: f64,
    wal_bytes: f64,
    checkpoints: f64,
}

/// PostgreSQL without a server, and its directory.
struct Plain {
    // First, because it is dropped first.
    running: Running,
    bare: Bare,
    _dir: tempfile::TempDir,
}

/// A compute, and its server.
struct Site {
    server: Server,
    place: Place,
    compute: Compute,
}

struct Stage {
    free: Site,
    limited: Site,
    alone: Plain,
    received: Plain,
    pgbench: Pgbench,
    seconds: String,
}

/// Measures.
///
/// # Errors
/// When something broke.
pub(crate) fn run(binary: &Path, args: &Args) -> Result<PartReport, Error> {
    let size = Size::of(args);
    let stage = Stage::set(binary, args, size)?;
    let rounds = rounds(args, 2, 3);
    let mut all = WAYS.map(|(way, name)| (way, name, Vec::new()));
    for round in 0..rounds {
        talk::say(&format!("storage-wal: round {} of {rounds}", round + 1));
        // Each is first in its turn.
        for place in 0..all.len() {
            stop::check()?;
            let turn = (place + round as usize) % all.len();
            let (way, _, runs) = &mut all[turn];
            runs.push(stage.measure(*way)?);
        }
    }
    Ok(report(&all, size, rounds))
}

impl Plain {
    fn filled(compute: &Compute, pgbench: &Pgbench, words: &[&str]) -> Result<Self, Error> {
        let dir = crate::measure::storm::passable_dir()?;
        let mut bare = Bare::like(compute, dir.path())?;
        bare.write_plain_wal();
        let plain = Self { running: bare.boot()?, bare, _dir: dir };
        cluster::bench(pgbench, &plain.bare, words)?;
        Ok(plain)
    }
}

impl Site {
    fn start(binary: &Path, options: &[&str]) -> Result<Self, Error> {
        let server = Server::start(binary, options)?;
        // A version that the installed pg_receivewal can talk to.
        let place = server.new_place_of("wal", Some(MAJOR))?;
        server.give_all(&place)?;
        session::over_tcp(place.address, &place.login)?.first_row()?;
        let compute = server.compute(&place)?;
        Ok(Self { server, place, compute })
    }

    /// Everything of the compute is in the store.
    fn store(&self) -> Result<(), Error> {
        let (project, id) = (&self.place.project, &self.place.id);
        let branch = self.server.call(&client::endpoint::get(project, id))?.endpoint.branch_id;
        self.server.call(&client::branch::store(project, &branch)).map(drop)
    }

    /// Waits until the server has nothing to do any more.
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

impl Stage {
    fn set(binary: &Path, args: &Args, size: Size) -> Result<Self, Error> {
        let options = |more: &[&'static str]| [&crate::measure::STAY_AWAKE, more].concat();
        let free = Site::start(binary, &options(&["--cgroup=off"]))?;
        let limited = Site::start(binary, &options(&[]))?;
        let pgbench = pgbench::find()?;
        let words = ["-i", "-q", &format!("-s{}", size.scale)];
        talk::say(&format!("storage-wal: filling four databases of {}", size.name));
        let alone = Plain::filled(&free.compute, &pgbench, &words)?;
        let received = Plain::filled(&free.compute, &pgbench, &words)?;
        for site in [&free, &limited] {
            bench_at(&pgbench, &site.compute, &site.place, &words)?;
        }
        let seconds = if args.quick { args.seconds().min(3) } else { args.seconds() * LONGER };
        let seconds = format!("-T{seconds}");
        Ok(Self { free, limited, alone, received, pgbench, seconds })
    }

    fn measure(&self, way: Way) -> Result<Run, Error> {
        match way {
            Way::Service | Way::Limited => {
                let site = self.site(way);
                site.store()?;
                let run = self.run(way, || cpu::of_process(site.server.pid()))?;
                site.store()?;
                Ok(run)
            }
            Way::Plain => self.run(way, || Duration::ZERO),
            Way::Receiver => {
                let Plain { running, bare, .. } = &self.received;
                let receiver = Receiver::start(&cluster::installation()?, bare, running)?;
                let run = self.run(way, || receiver.cpu())?;
                receiver.stop(running)?;
                Ok(run)
            }
        }
    }

    fn site(&self, way: Way) -> &Site {
        if way == Way::Limited { &self.limited } else { &self.free }
    }

    fn run(&self, way: Way, other: impl Fn() -> Duration) -> Result<Run, Error> {
        for site in [&self.free, &self.limited] {
            site.idle()?;
        }
        let site = self.site(way);
        let words = ["-n", "-Mprepared", "-c16", "-j2", &self.seconds];
        let ask = |text: &str| match way {
            Way::Service | Way::Limited => sql_at(&site.compute, &site.place, text),
            Way::Plain => cluster::sql(&self.alone.running, text),
            Way::Receiver => cluster::sql(&self.received.running, text),
        };
        let (pid, data) = match way {
            Way::Service | Way::Limited => (site.compute.pid, site.compute.data().map(Path::to_owned)),
            Way::Plain => (self.alone.running.pid(), Some(self.alone.bare.data())),
            Way::Receiver => (self.received.running.pid(), Some(self.received.bare.data())),
        };
        let data = data.ok_or_else(|| Error::unexpected("the compute has no directory"))?;
        let used = || (cpu::of_compute(pid, &data), other());
        let count = |text: &str| ask(text).and_then(number);
        ask("CHECKPOINT")?;
        settle();
        let (wal, checkpoints, before) = (count(WAL)?, count(CHECKPOINTS)?, used());
        let outcome = pgbench::read(&match way {
            Way::Service | Way::Limited => bench_at(&self.pgbench, &site.compute, &site.place, &words),
            Way::Plain => cluster::bench(&self.pgbench, &self.alone.bare, &words),
            Way::Receiver => cluster::bench(&self.pgbench, &self.received.bare, &words),
        }?)?;
        settle();
        let after = used();
        let each = |a: Duration, b: Duration| {
            a.saturating_sub(b).as_secs_f64() * 1e6 / outcome.transactions.max(1.0)
        };
        Ok(Run {
            outcome,
            postgres_us: each(after.0, before.0),
            other_us: each(after.1, before.1),
            wal_bytes: (count(WAL)? - wal) / outcome.transactions.max(1.0),
            checkpoints: count(CHECKPOINTS)? - checkpoints,
        })
    }
}

const WAL: &str = "SELECT (pg_current_wal_lsn() - '0/0')::text";

/// Of [`MAJOR`].
const CHECKPOINTS: &str = "SELECT (checkpoints_timed + checkpoints_req)::text FROM pg_stat_bgwriter";

fn number(text: Option<String>) -> Result<f64, Error> {
    text.and_then(|text| text.parse().ok()).ok_or_else(|| Error::unexpected("PostgreSQL tells no number"))
}

/// The last backends are still ending; then their time is on the postmaster's account. A checkpoint is counted.
fn settle() {
    std::thread::sleep(Duration::from_millis(100));
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
            ("WAL bytes", of(runs, &|run| run.wal_bytes)),
            ("checkpoints", of(runs, &|run| run.checkpoints)),
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
            "each run begins with a checkpoint, the compute's with a snapshot; those that follow are part of it".into(),
            "WAL bytes: for each transaction; where they differ by more than the checkpoints say, so do the databases"
                .into(),
        ],
    }
}
