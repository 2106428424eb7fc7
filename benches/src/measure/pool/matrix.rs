//! pgbench by every way: throughput, latency, processor time.

use super::case::{self, Case, Run, Work};
use super::stage::{Stage, WAYS, Way};
use super::{Found, Plan};
use crate::error::Error;
use crate::report::{Row, Section, Target};
use crate::stats::{Spread, median, ratio};
use crate::{stop, talk};

/// Targets, in terms of PgBouncer in the same round.
const TPS_RATIO: f64 = 1.0;
const CPU_RATIO: f64 = 1.0;
const P99_RATIO: f64 = 1.0;

/// The order of the ways in the first round; in each next one every way is replaced by the one behind it, and every
/// second one runs backwards. A run leaves something to the next (pages that are not written yet, a checkpoint that is
/// due), so in ten rounds every way comes as often at each place, and behind every other way. With fewer, that is so in
/// part.
const ORDER: [usize; WAYS.len()] = [0, 1, 3, 2, 4];

/// The ways in the order of a round.
fn order(turn: usize) -> impl Iterator<Item = usize> {
    let count = ORDER.len();
    (0..count).map(move |place| {
        let place = if turn.is_multiple_of(2) { place } else { count - 1 - place };
        (turn + ORDER[place]) % count
    })
}

/// A figure of a run.
pub(super) type Figure = fn(&Run) -> f64;

/// The figure of some runs divided by that of others in the same round.
pub(super) fn round_by_round(runs: &[Run], others: &[Run], figure: Figure) -> Option<Spread> {
    let pairs = runs.iter().zip(others);
    let ratios: Vec<f64> = pairs.filter_map(|(one, other)| ratio(figure(one), figure(other))).collect();
    (!ratios.is_empty()).then(|| Spread::of(&ratios))
}

/// A case by a way, round by round.
#[derive(Debug)]
struct Runs {
    way: Way,
    runs: Vec<Run>,
    /// Why there are none, or no more.
    trouble: Option<String>,
}

/// A case by all ways.
#[derive(Debug)]
struct Compared {
    case: Case,
    ways: Vec<Runs>,
}

/// Measures.
///
/// # Errors
/// When the end is asked for.
pub(super) fn measure(stage: &Stage, plan: &Plan) -> Result<Found, Error> {
    let new = |way, case| Runs { way, runs: Vec::new(), trouble: refusal(stage, case, way) };
    let compare = |case: &Case| Compared { case: *case, ways: WAYS.map(|way| new(way, *case)).into() };
    let mut all: Vec<Compared> = plan.cases.iter().map(compare).collect();
    for round in 0..plan.rounds {
        talk::say(&format!("pool: round {} of {}, {} cases by five ways", round + 1, plan.rounds, all.len()));
        for (turn, compared) in all.iter_mut().enumerate() {
            compared.round(stage, plan.seconds, round + turn)?;
        }
    }
    Ok(report(&all, stage, plan))
}

/// What a way does not offer.
fn refusal(stage: &Stage, case: Case, way: Way) -> Option<String> {
    match way {
        Way::Bouncer | Way::BouncerToo if case.mode == "prepared" && !stage.pgbouncer.prepares => {
            Some(format!("not offered by this version ({})", stage.pgbouncer.version))
        }
        Way::Dormouse if case.is_crowd() && !stage.pools => Some("the pooled name does not pool".into()),
        _ => None,
    }
}

impl Compared {
    /// Each way once, in another [`order`] each time.
    fn round(&mut self, stage: &Stage, seconds: u32, turn: usize) -> Result<(), Error> {
        for way in order(turn) {
            stop::check()?;
            let runs = &mut self.ways[way];
            if runs.trouble.is_some() {
                continue;
            }
            let writes = self.case.work == Work::Tpcb;
            let ready = if writes { stage.vacuum(runs.way) } else { Ok(()) };
            let ready = ready.and_then(|()| stage.settle());
            match ready.and_then(|()| case::run(stage, self.case, runs.way, seconds)) {
                Ok(run) => runs.runs.push(run),
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) => {
                    let said = dormouse_base::with_causes(&error);
                    talk::say(&format!("pool: {}: {} failed: {said}", self.case.name(), runs.way.name()));
                    runs.trouble = Some("failed, see the log".into());
                    // What it did before is no longer a round beside the others' rounds.
                    runs.runs.clear();
                }
            }
        }
        Ok(())
    }

    fn of(&self, way: Way) -> &[Run] {
        self.ways.iter().find(|runs| runs.way == way).map_or(&[], |runs| &runs.runs)
    }

    /// A way's figure divided by another's in the same round.
    fn ratio(&self, way: Way, to: Way, figure: Figure) -> Option<Spread> {
        round_by_round(self.of(way), self.of(to), figure)
    }

    fn rows(&self) -> impl Iterator<Item = Row> {
        self.ways.iter().map(|runs| self.row(runs))
    }

    fn row(&self, runs: &Runs) -> Row {
        let name = format!("{}: {}", self.case.name(), runs.way.name());
        if let Some(trouble) = &runs.trouble {
            let what = format!("{name}: {trouble}");
            return Row { what, unit: "tps", figures: Vec::new(), baseline: None, ratio: None };
        }
        let of = |figure: Figure| median(&runs.runs.iter().map(figure).collect::<Vec<_>>());
        let direct = self.ratio(runs.way, Way::Direct, |run| run.tps).map_or(0.0, |spread| spread.median);
        let rival = runs.way.rival();
        Row {
            what: name,
            unit: "tps",
            figures: vec![
                ("tps", of(|run| run.tps)),
                ("p50 ms", of(|run| run.p50)),
                ("p99 ms", of(|run| run.p99)),
                ("pooler CPU µs", of(|run| run.pooler_us)),
                ("postgres CPU µs", of(|run| run.postgres_us)),
                ("of direct", direct),
            ],
            baseline: rival.map(|rival| rival.name().to_owned()),
            ratio: rival
                .and_then(|rival| self.ratio(runs.way, rival, |run| run.tps))
                .map(|spread| spread.median),
        }
    }

    /// Against PgBouncer before the same server, where it takes part.
    fn targets(&self) -> impl Iterator<Item = Target> {
        WAYS.into_iter().flat_map(|way| self.targets_of(way))
    }

    fn targets_of(&self, way: Way) -> Vec<Target> {
        let ratio = |figure: Figure| self.ratio(way, way.rival()?, figure);
        let name = |figure: &str| format!("{}: {}: {figure}, times PgBouncer", self.case.name(), way.name());
        let tps = ratio(|run| run.tps).map(|got| Target::at_least(&name("tps"), got, TPS_RATIO, "×"));
        let cpu =
            ratio(|run| run.pooler_us).map(|got| Target::at_most(&name("pooler CPU"), got, CPU_RATIO, "×"));
        let p99 = ratio(|run| run.p99).map(|got| Target::at_most(&name("p99"), got, P99_RATIO, "×"));
        // Logging in is most of a connection per transaction, and there is only one target for it. And a process
        // that files the database's WAL as well is compared with nothing.
        let files_wal = way == Way::Dormouse && self.case.work == Work::Tpcb;
        let rest = [cpu.filter(|_| !files_wal), p99].into_iter().filter(|_| !self.case.reconnect);
        [tps].into_iter().chain(rest).flatten().collect()
    }
}

fn report(all: &[Compared], stage: &Stage, plan: &Plan) -> Found {
    let (rounds, scale, pool) = (plan.rounds, plan.scale, super::POOL);
    let title =
        format!("pgbench, scale {scale}, {pool} connections to the server, medians of {rounds} rounds");
    let mut notes = Vec::new();
    if !stage.pools {
        notes.push("two clients of the pooled name had two backends: this Dormouse does not pool".to_owned());
    }
    if all.iter().any(|one| one.of(Way::Bouncer).is_empty()) {
        notes.push("where PgBouncer has no figures there is no target".to_owned());
    }
    Found {
        sections: vec![Section { title, rows: all.iter().flat_map(Compared::rows).collect() }],
        targets: all.iter().flat_map(Compared::targets).collect(),
        notes,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn every_way_comes_as_often_at_each_place_and_behind_every_other() {
        let rounds: Vec<Vec<usize>> = (0..2 * WAYS.len()).map(|turn| order(turn).collect()).collect();
        let mut behind = HashMap::new();
        for two in rounds.iter().flat_map(|order| order.windows(2)) {
            *behind.entry((two[0], two[1])).or_insert(0) += 1;
        }
        assert_eq!(behind.len(), WAYS.len() * (WAYS.len() - 1));
        assert!(behind.values().all(|times| *times == 2));
        for place in 0..WAYS.len() {
            let often = |way| rounds.iter().filter(|order| order[place] == way).count();
            assert!((0..WAYS.len()).all(|way| often(way) == 2));
        }
    }

    fn runs(way: Way, tps: &[f64], trouble: Option<&str>) -> Runs {
        let run = |tps: &f64| Run {
            tps: *tps,
            p50: 1.0,
            p99: 2.0,
            pooler_us: 10.0,
            postgres_us: 20.0,
            transactions: 100.0,
        };
        Runs { way, runs: tps.iter().map(run).collect(), trouble: trouble.map(str::to_owned) }
    }

    #[test]
    fn rounds_are_compared_with_themselves() {
        let ways = vec![
            runs(Way::Direct, &[100.0, 10.0, 50.0], None),
            runs(Way::Bouncer, &[500.0, 500.0, 500.0], None),
            runs(Way::BouncerToo, &[50.0, 5.0, 20.0], None),
            runs(Way::Dormouse, &[60.0, 6.0, 10.0], None),
        ];
        let compared = Compared { case: case::few()[0], ways };
        assert_eq!(compared.ratio(Way::Dormouse, Way::BouncerToo, |run| run.tps), Some(1.2.into()));
        assert_eq!(compared.targets().count(), 3);
        let last = compared.rows().last().unwrap();
        assert_eq!((last.ratio, last.baseline.as_deref()), (Some(1.2), Some(Way::BouncerToo.name())));
    }

    #[test]
    fn who_takes_no_part_is_no_target() {
        let ways = vec![
            runs(Way::Direct, &[100.0], None),
            runs(Way::BouncerToo, &[], Some("not offered by this version")),
            runs(Way::Dormouse, &[60.0], None),
        ];
        let compared = Compared { case: case::few()[0], ways };
        assert_eq!(compared.targets().count(), 0);
        let rows: Vec<Row> = compared.rows().collect();
        assert!(rows[1].what.ends_with("not offered by this version") && rows[1].figures.is_empty());
        assert_eq!(rows[2].ratio, None);
    }
}
