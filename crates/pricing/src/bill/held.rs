//! Data and history: what is held for how long.
//!
//! Per database: at least the minimum, or the next size that can be had, of its mean over the time it existed;
//! less what is included. Then all databases together, in steps. A GB-month is a GB for the length of the month
//! that the period is part of.

use super::{Line, in_small, stepped};
use crate::money::Fixed;
use crate::sheet::{Giga, Sheet, Storage};
use crate::usage::{Database, Usage};

pub(super) fn lines(sheet: &Sheet, usage: &Usage, lines: &mut Vec<Line>) {
    let month = u128::from(usage.period.month_seconds.max(1));
    if let Some(storage) = &sheet.storage {
        let counted = sum(usage, |database| provisioned(storage, database) - included(storage, database));
        let name = format!("{}-month", storage.unit.name());
        let free = sum(usage, |database| included(storage, database));
        let unit = u128::from(storage.unit.bytes()) * month;
        if free > 0 {
            lines.extend(stepped("storage", free, unit, &name, &free_of_charge()));
        }
        lines.extend(stepped("storage", counted, unit, &name, &storage.price));
    }
    if let Some(history) = &sheet.history {
        let counted = sum(usage, |database| match (&sheet.storage, history.included_up_to_storage) {
            (Some(storage), true) => {
                database.history_byte_seconds.saturating_sub(provisioned(storage, database))
            }
            _ => database.history_byte_seconds,
        });
        let name = format!("{}-month", history.unit.name());
        let unit = u128::from(history.unit.bytes()) * month;
        lines.extend(stepped("history", counted, unit, &name, &history.price));
    }
}

fn free_of_charge() -> crate::sheet::Tiers {
    crate::sheet::Tiers::one(Fixed::ZERO)
}

fn sum(usage: &Usage, of: impl Fn(&Database) -> u128) -> u128 {
    usage.databases().map(of).fold(0, u128::saturating_add)
}

/// Byte-seconds that are billed for the data of one database.
fn provisioned(storage: &Storage, database: &Database) -> u128 {
    let exists = u128::from(database.exists());
    let for_all_time = |size: Fixed| bytes(size, storage.unit).saturating_mul(exists);
    let used = database.storage_byte_seconds.max(for_all_time(storage.minimum_per_database));
    match (
        storage.sizes.iter().map(|size| for_all_time(*size)).find(|size| *size >= used),
        storage.sizes.last(),
    ) {
        (Some(size), _) => size,
        // Beyond the largest: several of it.
        (None, Some(largest)) => {
            let each = for_all_time(*largest);
            if each == 0 { used } else { used.div_ceil(each).saturating_mul(each) }
        }
        (None, None) => used,
    }
}

/// Of that, what costs nothing.
fn included(storage: &Storage, database: &Database) -> u128 {
    let free =
        bytes(storage.included_per_database, storage.unit).saturating_mul(u128::from(database.exists()));
    free.min(provisioned(storage, database))
}

fn bytes(size: Fixed, unit: Giga) -> u128 {
    in_small(size, u128::from(unit.bytes()))
}
