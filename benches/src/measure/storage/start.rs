//! `storage-start`: from a client's connect to its first row when nothing of the database is on this machine.
//!
//! One round: evicted → row, indexed query · suspended → row, indexed query (the baseline: all is here). Between the two
//! all is read; of a large database only in the last rounds: what the disk is still writing then would be measured
//! with the next start, and not with that of a small one.
//! The store is a directory of this machine; what a real one's distance adds is injected, for each request.

use std::path::Path;
use std::time::Duration;

use dormouse_base::clock::{self, Mono};

use super::phases::Phases;
use super::served::Served;
use super::size::{Size, rounds};
use crate::args::Args;
use crate::error::Error;
use crate::report::{PartReport, Row, Section, Target};
use crate::session;
use crate::stats::{Series, ratio};
use crate::{stop, talk};

/// Added to each request of the store, ms, with the target for the first row.
const DISTANCES: [(u64, Option<f64>); 3] = [(0, Some(120.0)), (20, Some(300.0)), (50, None)];

/// The indexed query at this distance may take so much longer than with all here.
const QUERY_MORE: (u64, f64) = (20, 100.0);

/// How much longer a start of ten times the data may take.
const TEN_TIMES: f64 = 1.2;

/// What was measured at one distance of one size.
#[derive(Debug, Default)]
struct Measured {
    stored: Series,
    stored_query: Series,
    local: Series,
    local_query: Series,
    phases: Phases,
    local_phases: Phases,
    complete: Series,
}

/// Measures.
///
/// # Errors
/// When something broke.
pub(crate) fn run(binary: &Path, args: &Args) -> Result<PartReport, Error> {
    let mut all = Vec::new();
    for size in Size::all(args) {
        let rounds = rounds(args, 4, 12);
        let starts_only = rounds - size.full_rounds(rounds);
        for (latency, _) in DISTANCES {
            let served = Served::start(binary, size, Duration::from_millis(latency))?;
            talk::say(&format!("storage-start: {}, {latency} ms, {rounds} rounds", size.name));
            let mut measured = Measured::default();
            // Not counted: page cache, spare, and the boot set, which the server learns from a start.
            start(&served, &mut Measured::default(), 0)?;
            for number in 1..=rounds {
                stop::check()?;
                start(&served, &mut measured, number)?;
                if number > starts_only {
                    fill(&served, &mut measured, number)?;
                }
            }
            all.push((size, latency, measured));
        }
    }
    Ok(report(&all))
}

/// Out of the store.
fn start(served: &Served, to: &mut Measured, number: u32) -> Result<(), Error> {
    served.evict()?;
    let since = clock::now();
    wake(served, number, &mut to.stored, &mut to.stored_query)?;
    to.phases.note(&served.server, &served.place, since)
}

/// What follows such a start, and another one when all is here.
fn fill(served: &Served, to: &mut Measured, number: u32) -> Result<(), Error> {
    to.complete.push(served.complete()?);
    served.server.suspend(&served.place)?;
    let since = clock::now();
    wake(served, number, &mut to.local, &mut to.local_query)?;
    to.local_phases.note(&served.server, &served.place, since)
}

fn wake(served: &Served, number: u32, row: &mut Series, query: &mut Series) -> Result<(), Error> {
    let start = Mono::now();
    let mut session = session::over_tcp(served.place.address, &served.login)?;
    row.push(session.first_row()?.since(start));
    // Somewhere else each time.
    let aid = 1 + (number.wrapping_mul(2_654_435_761) % served.size.accounts());
    let start = Mono::now();
    let (arrived, _) = session.query(&format!("SELECT abalance FROM pgbench_accounts WHERE aid = {aid}"))?;
    query.push(arrived.ok_or_else(|| Error::unexpected("an account is missing"))?.since(start));
    Ok(())
}

fn report(all: &[(Size, u64, Measured)]) -> PartReport {
    let (mut rows, mut queries, mut phases): (Vec<Row>, Vec<Row>, Vec<Row>) = Default::default();
    for (size, latency, m) in all {
        let name = format!("{}, {latency} ms", size.name);
        rows.push(m.local.row(&format!("{name}: all here → row"), None));
        rows.push(m.stored.row(&format!("{name}: store only → row"), Some(("all here", &m.local))));
        rows.push(m.complete.row(&format!("{name}: from that query until all is here"), None));
        queries.push(m.local_query.row(&format!("{name}: all here"), None));
        queries.push(m.stored_query.row(&format!("{name}: store only"), Some(("all here", &m.local_query))));
        phases.push(m.local_phases.row(&format!("{name}: all here")));
        phases.push(m.phases.row(&format!("{name}: store only")));
    }
    PartReport {
        name: "storage-start",
        sections: vec![
            Section { title: "client's connect to first row".into(), rows },
            Section { title: "first indexed query in that session".into(), rows: queries },
            Section { title: "phases as the server recorded them, medians".into(), rows: phases },
        ],
        targets: targets(all),
        notes: vec![
            "store only: evicted; the template's spare copy is there, as on every node".into(),
            "ms: added to each request of the store, which is a directory of this machine".into(),
        ],
    }
}

fn targets(all: &[(Size, u64, Measured)]) -> Vec<Target> {
    let mut targets = Vec::new();
    for (size, latency, m) in all {
        let name = format!("{}, {latency} ms", size.name);
        let limit = DISTANCES.iter().find(|(at, _)| at == latency).and_then(|(_, limit)| *limit);
        if let Some(limit) = limit {
            targets.push(Target::at_most(
                &format!("{name}: store only → row, p50"),
                m.stored.p50(),
                limit,
                "ms",
            ));
        }
        if *latency == QUERY_MORE.0 {
            let more = m.stored_query.p50() - m.local_query.p50();
            targets.push(Target::at_most(
                &format!("{name}: indexed query, p50, more"),
                more,
                QUERY_MORE.1,
                "ms",
            ));
        }
        let usual = all.iter().find(|(other, at, _)| at == latency && other != size);
        if let Some((_, _, usual)) = usual.filter(|(other, _, _)| other.scale < size.scale) {
            let times = ratio(m.stored.p50(), usual.stored.p50()).unwrap_or_default();
            targets.push(Target::at_most(&format!("{name}: times the smaller one's"), times, TEN_TIMES, "×"));
        }
    }
    targets
}
