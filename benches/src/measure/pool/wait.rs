//! Many more clients than backends: how long the unlucky wait.
//!
//! What a client sees of the wait is its latency; the query itself is a hundredth of it. With so many
//! clients the mean follows from the throughput alone. What is fair or not shows in the 99th percentile.

use super::case::{self, Case, Work};
use super::stage::{Stage, Way};
use super::{Found, POOL, Plan};
use crate::error::Error;
use crate::report::{Row, Section, Target};
use crate::stats::{median, ratio};
use crate::talk;

/// The load.
const CASE: Case = Case { work: Work::Select, mode: "simple", clients: 1000, reconnect: false };

/// Target.
const P99_MS: f64 = 50.0;

/// Measures both poolers.
///
/// # Errors
/// When something broke.
pub(super) fn measure(stage: &Stage, plan: &Plan) -> Result<Found, Error> {
    let mut found = Found::default();
    if !stage.pools {
        found.notes.push("pool wait: the pooled name does not pool".into());
        return Ok(found);
    }
    let rounds = plan.crowd_rounds;
    talk::say(&format!("pool: {} clients on {POOL} backends, {rounds} rounds", CASE.clients));
    let mut runs = [Way::Bouncer, Way::InPlace, Way::Dormouse].map(|way| (way, Vec::new()));
    for round in 0..rounds {
        for turn in 0..runs.len() {
            stage.settle()?;
            let (way, runs) = &mut runs[(round + turn) % 3];
            runs.push(case::run(stage, CASE, *way, plan.seconds)?);
        }
    }
    let of = |runs: &[case::Run], figure: fn(&case::Run) -> f64| {
        median(&runs.iter().map(figure).collect::<Vec<_>>())
    };
    let p99 = runs.each_ref().map(|(_, runs)| of(runs, |run| run.p99));
    let row = |(way, runs): &(Way, Vec<case::Run>)| Row {
        what: way.name().to_owned(),
        unit: "ms",
        figures: vec![
            ("p50", of(runs, |run| run.p50)),
            ("p99", of(runs, |run| run.p99)),
            ("p99 / p50", of(runs, |run| run.p99 / run.p50.max(f64::MIN_POSITIVE))),
            ("tps", of(runs, |run| run.tps)),
        ],
        baseline: (*way != Way::Bouncer).then(|| Way::Bouncer.name().to_owned()),
        ratio: if *way == Way::Bouncer { None } else { ratio(of(runs, |run| run.p99), p99[0]) },
    };
    let title = format!("-S simple, {} clients on {POOL} backends: latency", CASE.clients);
    found.sections.push(Section { title, rows: runs.iter().map(row).collect() });
    for ((way, _), p99) in runs.iter().zip(p99).skip(1) {
        found.targets.push(Target::at_most(&format!("{}: pool wait, p99", way.name()), p99, P99_MS, "ms"));
    }
    Ok(found)
}
