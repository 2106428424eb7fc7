//! `storage-snapshot`: a stopped cluster into a store, and a directory out of it.
//!
//! ```text
//!  each round:  ours, first · pgBackRest, full · pg_basebackup          with one worker, at the same level
//!  each round:  one page in every hundredth chunk changes · ours, incremental · pgBackRest, incremental
//!  each round:  directory: lazy with a spare · lazy without · eager     with a spare: as on every node
//! ```
//! Processor time is what is compared: both have helpers besides the one worker, and the machine has other
//! work to do.

use std::fs;
use std::time::Duration;

use dormouse_storage::chunk;
use dormouse_storage::restore::Mode;
use dormouse_storage::snapshot::Taken;

use super::cluster::{self, Cluster};
use super::lab::Lab;
use super::peers::{self, PgBackRest};
use super::size::{Size, rounds};
use crate::args::Args;
use crate::error::Error;
use crate::report::{PartReport, Row, Section, Target};
use crate::stats::{Series, median, ratio};
use crate::tool::Took;
use crate::{stop, talk};

/// Of pgbench's account rows, 61 fill a page, and 32 pages a chunk: one row in every hundredth chunk.
const CHANGE: &str =
    "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid % (61 * 32 * 100) = 5; CHECKPOINT";

/// Targets.
const FASTER: f64 = 10.0;
const SMALLER: f64 = 20.0;
const AGAINST_PGBACKREST: f64 = 1.0;

/// One way to store a cluster, and what it took each time.
#[derive(Debug, Default)]
struct Way {
    took: Vec<Took>,
    bytes: Vec<f64>,
}

impl Way {
    fn push(&mut self, took: Took, bytes: u64) {
        self.took.push(took);
        self.bytes.push(bytes as f64);
    }

    fn seconds(&self, time: impl Fn(&Took) -> Duration) -> f64 {
        median(&self.took.iter().map(|took| time(took).as_secs_f64()).collect::<Vec<_>>())
    }

    fn wall(&self) -> f64 {
        self.seconds(|took| took.wall)
    }

    fn cpu(&self) -> f64 {
        self.seconds(|took| took.cpu)
    }

    fn written(&self) -> f64 {
        median(&self.bytes)
    }

    /// `data`: million bytes of the cluster.
    fn row(&self, what: &str, data: f64, baseline: Option<(&str, &Way)>) -> Row {
        let per = |seconds: f64| ratio(data, seconds).unwrap_or_default();
        Row {
            what: what.to_owned(),
            unit: "MB/s",
            figures: vec![
                ("MB/s", per(self.wall())),
                ("MB per CPU s", per(self.cpu())),
                ("seconds", self.wall()),
                ("CPU s", self.cpu()),
                ("stored MB", self.written() / 1e6),
            ],
            baseline: baseline.map(|(name, _)| name.to_owned()),
            ratio: baseline.and_then(|(_, other)| ratio(other.cpu(), self.cpu())),
        }
    }
}

#[derive(Debug, Default)]
struct Measured {
    first: Way,
    full: Way,
    basebackup: Way,
    next: Way,
    incremental: Way,
    spare: Series,
    no_spare: Series,
    eager: Series,
    copy: Series,
    notes: Vec<String>,
}

/// Measures.
///
/// # Errors
/// When something broke.
pub(crate) fn run(args: &Args) -> Result<PartReport, Error> {
    let cluster = Cluster::get(Size::of(args))?;
    let lab = Lab::new()?;
    let peer = PgBackRest::new(&cluster, lab.path(), chunk::LEVEL)?;
    let (mut measured, rounds) = (Measured::default(), rounds(args, 2, 3));
    if peer.is_none() {
        measured.notes.push("pgBackRest is not installed: scripts/setup --bench".to_owned());
    }
    for round in 1..=rounds {
        talk::say(&format!("storage-snapshot: first, round {round} of {rounds}"));
        first(&lab, &cluster, peer.as_ref(), &mut measured)?;
    }
    let template = lab.template(&cluster)?;
    let mut last = lab.snapshot(&cluster, Some(template.base()))?.0;
    for round in 1..=rounds {
        talk::say(&format!("storage-snapshot: incremental, round {round} of {rounds}"));
        last = next(&lab, &cluster, peer.as_ref(), &last, &mut measured)?;
    }
    for round in 1..=rounds {
        talk::say(&format!("storage-snapshot: directories, round {round} of {rounds}"));
        directories(&lab, &cluster, (&template, &last), &mut measured)?;
    }
    Ok(measured.report(&cluster))
}

fn first(
    lab: &Lab,
    cluster: &Cluster,
    peer: Option<&PgBackRest<'_>>,
    to: &mut Measured,
) -> Result<(), Error> {
    stop::check()?;
    let (taken, took) = lab.snapshot(cluster, None)?;
    to.first.push(took, taken.stats.written_bytes());
    if let Some(peer) = peer {
        peer.empty()?;
        let (took, bytes) = peer.backup("full")?;
        to.full.push(took, bytes);
    }
    let (took, bytes, how) = peers::basebackup(cluster, lab.path(), chunk::LEVEL)?;
    to.basebackup.push(took, bytes);
    if to.basebackup.took.len() == 1 {
        to.notes.push(format!(
            "zstd level {} everywhere; pg_basebackup: tar, {how}, the server's time included",
            chunk::LEVEL
        ));
    }
    Ok(())
}

fn next(
    lab: &Lab,
    cluster: &Cluster,
    peer: Option<&PgBackRest<'_>>,
    last: &Taken,
    to: &mut Measured,
) -> Result<Taken, Error> {
    stop::check()?;
    let running = cluster.bare.boot()?;
    cluster::sql(&running, CHANGE)?;
    running.stop()?;
    let (taken, took) = lab.snapshot(cluster, Some(last.base()))?;
    to.next.push(took, taken.stats.written_bytes());
    if let Some(peer) = peer {
        let (took, bytes) = peer.backup("incr")?;
        to.incremental.push(took, bytes);
    }
    Ok(taken)
}

fn directories(
    lab: &Lab,
    cluster: &Cluster,
    taken: (&Taken, &Taken),
    to: &mut Measured,
) -> Result<(), Error> {
    stop::check()?;
    let (template, taken) = taken;
    let spare = Some(template.manifest.clone());
    let bare = lab.place(cluster, "made")?;
    let ways = [
        (Mode::Lazy, spare, &mut to.spare),
        (Mode::Lazy, None, &mut to.no_spare),
        (Mode::Eager, None, &mut to.eager),
    ];
    for (mode, base, series) in ways {
        if base.is_some() {
            cluster::copy(&cluster.template, &bare.data())?;
        }
        let made = lab.materialise(lab.store(), taken, &bare, mode, base)?;
        series.push(made.stats.time);
        fs::remove_dir_all(bare.data()).map_err(Error::system("remove a directory that was made"))?;
    }
    let start = dormouse_base::clock::Mono::now();
    cluster::copy(&cluster.bare.data(), &bare.data())?;
    to.copy.push(start.elapsed());
    fs::remove_dir_all(bare.data()).map_err(Error::system("remove a copy"))
}

impl Measured {
    fn report(self, cluster: &Cluster) -> PartReport {
        let data = cluster.bytes() as f64 / 1e6;
        let full = (!self.full.took.is_empty()).then_some(("pgBackRest full", &self.full));
        let incr = (!self.incremental.took.is_empty()).then_some(("pgBackRest incr", &self.incremental));
        let mut rows = vec![self.first.row("first", data, full)];
        rows.extend(full.map(|(_, way)| way.row("pgBackRest, full", data, None)));
        rows.push(self.basebackup.row("pg_basebackup", data, None));
        rows.push(self.next.row("1 % of chunks changed", data, incr));
        rows.extend(incr.map(|(_, way)| way.row("pgBackRest, incr", data, None)));
        let copy = Some(("cp -a", &self.copy));
        let made = vec![
            self.spare.row("lazy, on a spare copy of the template", copy),
            self.no_spare.row("lazy, from nothing", copy),
            self.eager.row("eager, from nothing", copy),
            self.copy.row("cp -a of the cluster", None),
        ];
        let targets = self.targets(data);
        let mut notes = self.notes;
        notes.push("ratio: of CPU seconds, more is better; one worker each, the cluster stopped".to_owned());
        let size = cluster.size.name;
        PartReport {
            name: "storage-snapshot",
            sections: vec![
                Section { title: format!("a cluster of {size} into the store"), rows },
                Section { title: format!("a directory of {size} out of it"), rows: made },
            ],
            targets,
            notes,
        }
    }

    fn targets(&self, data: f64) -> Vec<Target> {
        let times = |a: f64, b: f64| ratio(a, b).unwrap_or_default();
        let mut targets = vec![
            Target::at_least(
                "1 % changed: times faster than first",
                times(self.first.wall(), self.next.wall()),
                FASTER,
                "×",
            ),
            Target::at_least(
                "1 % changed: times smaller than first",
                times(self.first.written(), self.next.written()),
                SMALLER,
                "×",
            ),
        ];
        if !self.full.took.is_empty() && data > 0.0 {
            let cpu = times(self.full.cpu(), self.first.cpu());
            let wall = times(self.full.wall(), self.first.wall());
            targets.push(Target::at_least(
                "first: MB per CPU second against pgBackRest",
                cpu,
                AGAINST_PGBACKREST,
                "×",
            ));
            targets.push(Target::at_least(
                "first: MB/s with one worker against pgBackRest",
                wall,
                AGAINST_PGBACKREST,
                "×",
            ));
        }
        targets
    }
}
