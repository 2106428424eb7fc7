//! What a plan does not allow at any price. It is said, not billed: the reader decides what it means.

use super::{compute, in_small, of_small};
use crate::money::Fixed;
use crate::sheet::{Compute, Giga, Sheet};
use crate::usage::{Project, Usage};

/// Whether the plan allows this use; each limit that is exceeded becomes a note.
pub(super) fn check(sheet: &Sheet, usage: &Usage, notes: &mut Vec<String>) -> bool {
    let before = notes.len();
    let limits = &sheet.limits;
    let month = u128::from(usage.period.month_seconds.max(1));
    if let Some(max) = limits.max_cu
        && let Some(most) = usage.databases().map(crate::usage::Database::size).max()
        && most > max.milli()
    {
        notes.push(format!("Beyond the plan: a size of {} CU, of {max}.", of_small(most.into(), 1_000)));
    }
    if let (Some(limit), Compute::Capacity(capacity)) = (limits.compute_per_project, &sheet.compute) {
        let used = |project: &Project| {
            let of = project.databases.iter().map(|database| compute::unit_milli_seconds(capacity, database));
            of.fold(0, u128::saturating_add)
        };
        let unit = 1_000 * 3_600;
        beyond(
            notes,
            usage.projects.iter().map(used),
            limit,
            unit,
            &format!("{} in a project", capacity.unit),
        );
    }
    if let Some(limit) = limits.storage_per_project {
        let held = |project: &Project| {
            project
                .databases
                .iter()
                .map(|database| database.storage_byte_seconds)
                .fold(0, u128::saturating_add)
        };
        let unit = u128::from(Giga::Decimal.bytes()) * month;
        beyond(notes, usage.projects.iter().map(held), limit, unit, "GB of data in a project");
    }
    if let Some(limit) = limits.egress {
        let sent = usage.databases().map(|database| u128::from(database.egress_bytes)).sum();
        beyond(notes, [sent], limit, u128::from(Giga::Decimal.bytes()), "GB to clients");
    }
    if let Some(max) = limits.projects
        && usage.projects.len() > max as usize
    {
        notes.push(format!("Beyond the plan: {} projects, of {max}.", usage.projects.len()));
    }
    notes.len() == before
}

fn beyond(
    notes: &mut Vec<String>,
    used: impl IntoIterator<Item = u128>,
    limit: Fixed,
    unit: u128,
    what: &str,
) {
    let most = used.into_iter().max().unwrap_or_default();
    if most > in_small(limit, unit) {
        notes.push(format!("Beyond the plan: {} {what}, of {limit}.", of_small(most, unit)));
    }
}
