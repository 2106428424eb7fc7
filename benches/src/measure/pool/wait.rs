//! Many more clients than backends: how long the unlucky wait.
//!
//! What a client sees of the wait is its latency; the query itself is a hundredth of it. With so many
//! clients the mean follows from the throughput alone. What is fair or not shows in the 99th percentile.

use super::case::{self, Case, Run, Work};
use super::matrix::{Figure, round_by_round};
use super::stage::{Stage, Way};
use super::{Found, POOL, Plan};
use crate::error::Error;
use crate::report::{Row, Section, Target};
use crate::stats::{Spread, median};
use crate::talk;

/// The load.
const CASE: Case = Case { work: Work::Select, mode: "simple", clients: 1000, reconnect: false };

/// Target.
const P99_MS: f64 = 50.0;

/// All that pool.
const WAYS: [Way; 4] = [Way::Bouncer, Way::InPlace, Way::BouncerToo, Way::Dormouse];

/// Measures all poolers.
///
/// # Errors
/// When something broke.
pub(super) fn measure(stage: &Stage, plan: &Plan) -> Result<Found, Error> {
    let mut found = Found::default();
    if !stage.pools {
        found.notes.push("pool wait: the pooled name does not pool".into());
        return Ok(found);
    }
    let rounds = plan.rounds;
    talk::say(&format!("pool: {} clients on {POOL} backends, {rounds} rounds", CASE.clients));
    let mut all = WAYS.map(|way| (way, Vec::new()));
    for round in 0..rounds {
        for turn in 0..WAYS.len() {
            stage.settle()?;
            let (way, runs) = &mut all[(round + turn) % WAYS.len()];
            runs.push(case::run(stage, CASE, *way, plan.seconds)?);
        }
    }
    let title = format!(
        "-S simple, {} clients on {POOL} backends: latency, medians of {rounds} rounds",
        CASE.clients
    );
    found
        .sections
        .push(Section { title, rows: all.iter().map(|(way, runs)| row(*way, runs, &all)).collect() });
    for (way, runs) in all.iter().filter(|(way, _)| way.rival().is_some()) {
        let p99: Vec<f64> = runs.iter().map(|run| run.p99).collect();
        let what = format!("{}: pool wait, p99", way.name());
        found.targets.push(Target::at_most(&what, Spread::of(&p99), P99_MS, "ms"));
    }
    Ok(found)
}

fn row(way: Way, runs: &[Run], all: &[(Way, Vec<Run>)]) -> Row {
    let of = |figure: Figure| median(&runs.iter().map(figure).collect::<Vec<_>>());
    let rival = all.iter().find(|(other, _)| Some(*other) == way.rival());
    Row {
        what: way.name().to_owned(),
        unit: "ms",
        figures: vec![
            ("p50", of(|run| run.p50)),
            ("p99", of(|run| run.p99)),
            ("p99 / p50", of(|run| run.p99 / run.p50.max(f64::MIN_POSITIVE))),
            ("tps", of(|run| run.tps)),
        ],
        baseline: rival.map(|(rival, _)| rival.name().to_owned()),
        ratio: rival
            .and_then(|(_, others)| round_by_round(runs, others, |run| run.p99))
            .map(|spread| spread.median),
    }
}
