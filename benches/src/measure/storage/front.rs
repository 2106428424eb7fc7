//! `storage-front`: what the hydration front costs a busy PostgreSQL.
//!
//! One directory, one version, one set of settings; the ways take turns on it, and each run begins with a
//! checkpoint and a moment of reading. `shared_buffers` is small, as a compute's is, so most reads are
//! system calls that the front sees.
//! ```text
//!  each round, each kind of work:  plain · present · complete · absent (a new directory, while it is filled)
//! ```

use std::fs;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_storage::restore::Mode;
use dormouse_storage::snapshot::Taken;

use super::behind::{self, Behind};
use super::cluster::{self, Cluster};
use super::lab::Lab;
use super::size::{Size, rounds};
use crate::args::Args;
use crate::bare::{Bare, Running};
use crate::error::Error;
use crate::pgbench::{self, Outcome, Pgbench};
use crate::report::{PartReport, Row, Section, Target};
use crate::stats::{median, ratio};
use crate::{cpu, stop, talk};

/// The ways to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    Present,
    Complete,
    Absent,
}

const WAYS: [(Way, &str); 4] = [
    (Way::Plain, "plain"),
    (Way::Present, "front, all pages present"),
    (Way::Complete, "front, directory complete"),
    (Way::Absent, "front, while it is filled"),
];

/// Kinds of work: name, pgbench's option, what the share of plain should be at least.
const WORK: [(&str, Option<&str>, f64); 2] = [("select-only", Some("-S"), 0.98), ("tpcb", None, 0.97)];

/// Every run reads so long before it counts.
const WARM_UP: [&str; 6] = ["-n", "-S", "-Mprepared", "-c4", "-j2", "-T1"];

/// What a directory that is filled in the background is away from: each request takes so much longer.
const DISTANCE: Duration = Duration::from_millis(20);

/// One run.
#[derive(Debug, Clone, Copy)]
struct Run {
    outcome: Outcome,
    /// Processor time of PostgreSQL and filler for each transaction, µs.
    cpu_us: f64,
    /// Chunks that were absent at the beginning and at the end, of all, per cent.
    absent: (f64, f64),
}

struct Stage {
    lab: Lab,
    cluster: Cluster,
    taken: Taken,
    bare: Bare,
    pgbench: Pgbench,
    seconds: String,
}

/// Measures.
///
/// # Errors
/// When something broke.
pub(crate) fn run(args: &Args) -> Result<PartReport, Error> {
    let stage = Stage::set(args)?;
    let rounds = rounds(args, 2, 5);
    let mut all: Vec<(usize, Way, Vec<Run>)> = Vec::new();
    all.extend((0..WORK.len()).flat_map(|work| WAYS.map(|(way, _)| (work, way, Vec::new()))));
    for round in 1..=rounds {
        talk::say(&format!("storage-front: round {round} of {rounds}"));
        for (work, way, runs) in &mut all {
            stop::check()?;
            runs.push(stage.measure(*way, WORK[*work].1)?);
        }
    }
    Ok(report(&all, stage.cluster.size, rounds))
}

impl Stage {
    fn set(args: &Args) -> Result<Self, Error> {
        let cluster = Cluster::get(Size::of(args))?;
        let lab = Lab::new()?;
        let (taken, _) = lab.snapshot(&cluster, None)?;
        let bare = lab.place(&cluster, "work")?;
        lab.materialise(lab.store(), &taken, &bare, Mode::Eager, None)?;
        let seconds = if args.quick { args.seconds().min(3) } else { args.seconds() };
        Ok(Self { lab, cluster, taken, bare, pgbench: pgbench::find()?, seconds: format!("-T{seconds}") })
    }

    fn measure(&self, way: Way, work: Option<&str>) -> Result<Run, Error> {
        match way {
            Way::Plain => {
                let running = self.bare.boot()?;
                self.warm(&running)?;
                let run = self.busy(&self.bare, &running, None, work)?;
                running.stop()?;
                Ok(run)
            }
            Way::Present | Way::Complete => {
                let behind = behind::present(&self.lab, &self.bare, way == Way::Complete)?;
                let running = self.bare.boot_with(&behind.environment)?;
                if way == Way::Complete {
                    behind.complete(&self.lab)?;
                }
                self.warm(&running)?;
                let run = self.busy(&self.bare, &running, Some(&behind), work)?;
                running.stop()?;
                behind.end(&self.lab)?;
                Ok(run)
            }
            Way::Absent => self.absent(work),
        }
    }

    fn absent(&self, work: Option<&str>) -> Result<Run, Error> {
        let bare = self.lab.place(&self.cluster, "lazy")?;
        let store = self.lab.far_store(DISTANCE)?;
        let made = self.lab.materialise(&store, &self.taken, &bare, Mode::Lazy, None)?;
        let behind = behind::absent(&self.lab, &bare, made)?;
        let running = bare.boot_with(&behind.environment)?;
        let run = self.busy(&bare, &running, Some(&behind), work)?;
        running.stop()?;
        self.lab.wait(behind.hydration.stop());
        drop(behind);
        fs::remove_dir_all(self.lab.path().join("lazy")).map_err(Error::system("remove a directory"))?;
        Ok(run)
    }

    fn warm(&self, running: &Running) -> Result<(), Error> {
        cluster::bench(&self.pgbench, &self.bare, &WARM_UP)?;
        cluster::sql(running, "CHECKPOINT").map(drop)
    }

    fn busy(
        &self,
        bare: &Bare,
        running: &Running,
        behind: Option<&Behind>,
        work: Option<&str>,
    ) -> Result<Run, Error> {
        let mut words = vec!["-n", "-Mprepared", "-c16", "-j2", &self.seconds];
        words.extend(work);
        let cpu = || cpu::of_compute(running.pid(), &bare.data()) + cpu::of_process(std::process::id());
        let absent = || {
            let progress = behind.map(|behind| behind.hydration.progress());
            progress.map_or(0.0, |p| p.absent as f64 * 100.0 / (p.chunks as f64).max(1.0))
        };
        let (before, absent_before, start) = (cpu(), absent(), Mono::now());
        let outcome = pgbench::read(&cluster::bench(&self.pgbench, bare, &words)?)?;
        // The last backends are still ending; then their time is on the postmaster's account.
        std::thread::sleep(Duration::from_millis(100));
        let used = cpu().saturating_sub(before);
        if start.elapsed() < Duration::from_secs(1) {
            return Err(Error::unexpected("pgbench ended early"));
        }
        let cpu_us = used.as_secs_f64() * 1e6 / outcome.transactions.max(1.0);
        Ok(Run { outcome, cpu_us, absent: (absent_before, absent()) })
    }
}

fn of(runs: &[Run], figure: impl Fn(&Run) -> f64) -> f64 {
    median(&runs.iter().map(figure).collect::<Vec<_>>())
}

fn report(all: &[(usize, Way, Vec<Run>)], size: Size, rounds: u32) -> PartReport {
    let tps = |runs: &[Run]| of(runs, |run| run.outcome.tps);
    let find =
        |work: usize, way: Way| all.iter().find(|(w, y, _)| (*w, *y) == (work, way)).map(|(_, _, runs)| runs);
    let share = |work, runs: &[Run]| find(work, Way::Plain).and_then(|plain| ratio(tps(runs), tps(plain)));
    let row = |(work, way, runs): &(usize, Way, Vec<Run>)| {
        let name = WAYS.iter().find(|(other, _)| other == way).map_or("", |(_, name)| *name);
        Row {
            what: format!("{}: {name}", WORK[*work].0),
            unit: "tps",
            figures: vec![
                ("tps", tps(runs)),
                ("lowest", runs.iter().map(|run| run.outcome.tps).fold(f64::INFINITY, f64::min)),
                ("latency ms", of(runs, |run| run.outcome.latency_ms)),
                ("CPU µs", of(runs, |run| run.cpu_us)),
                ("absent before %", of(runs, |run| run.absent.0)),
                ("after %", of(runs, |run| run.absent.1)),
            ],
            baseline: (*way != Way::Plain).then(|| "plain".to_owned()),
            ratio: if *way == Way::Plain { None } else { share(*work, runs) },
        }
    };
    let mut targets = Vec::new();
    for (work, (name, _, wanted)) in WORK.iter().enumerate() {
        for (way, what) in &WAYS[1..3] {
            let got = find(work, *way).and_then(|runs| share(work, runs)).unwrap_or_default();
            targets.push(Target::at_least(&format!("{name}: {what}, share of plain"), got, *wanted, "×"));
        }
    }
    let far = DISTANCE.as_millis();
    PartReport {
        name: "storage-front",
        sections: vec![Section {
            title: format!("pgbench of {}, 16 clients, prepared, medians of {rounds}", size.name),
            rows: all.iter().map(row).collect(),
        }],
        targets,
        notes: vec![
            format!("while it is filled: begins with the start, {far} ms for each request of the store"),
            "CPU is per transaction, PostgreSQL's and the filler's (this process)".into(),
        ],
    }
}
