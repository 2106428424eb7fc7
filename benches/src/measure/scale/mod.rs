//! `scale`: how soon a compute under load gets more processors, whether its throughput follows, and what looking
//! after sizes costs.
//!
//! The baseline of throughput is a compute that had the size all along, measured in the same minutes; that of the
//! cost is the same server while everything sleeps.

mod cost;
mod step;

use std::path::Path;

use crate::args::Args;
use crate::error::Error;
use crate::report::{PartReport, Section};

/// Measures.
///
/// # Errors
/// When something broke.
pub(crate) fn run(binary: &Path, args: &Args) -> Result<PartReport, Error> {
    let step = step::measure(binary, args)?;
    let cost = cost::measure(binary, args.quick)?;
    let sections = vec![
        Section { title: "a load step on the smallest size".to_owned(), rows: step.reactions },
        Section { title: "pgbench -S, simple protocol, after the step".to_owned(), rows: step.throughput },
        Section { title: cost.title, rows: cost.rows },
    ];
    let targets = step.targets.into_iter().chain(cost.targets).collect();
    Ok(PartReport { name: "scale", sections, targets, notes: [step.notes, cost.notes].concat() })
}
