//! Compute: capacity × time, or machines of fixed sizes; then the credit.
//!
//! Capacity is what the database had while it was active, at least the minimum; what is billed beyond its active
//! time is billed at the minimum, as nobody works then. A machine is the cheapest that is large enough for the
//! peak (the mean, where no peak is known); beyond the largest, several of the largest.

use std::collections::BTreeMap;

use super::{Line, time, total};
use crate::money::{Fixed, Money, Quantity};
use crate::sheet::{Capacity, Compute, Sheet, Size, Sizes};
use crate::usage::{Database, Usage};

/// Milli-CU-seconds, or milli-unit-seconds, in one unit-hour.
const UNIT_HOUR: u128 = 1_000 * 3_600;
/// Seconds in an hour.
const HOUR: u128 = 3_600;

pub(super) fn lines(sheet: &Sheet, usage: &Usage, lines: &mut Vec<Line>, notes: &mut Vec<String>) {
    let mut own = match &sheet.compute {
        Compute::Capacity(capacity) => vec![by_capacity(capacity, usage)],
        Compute::Sizes(sizes) => by_size(sizes, usage, notes),
    };
    let credit = Money::from(sheet.fees.compute_credit).min(total(&own));
    if credit > Money::ZERO {
        own.push(Line {
            item: "compute credit".to_owned(),
            quantity: 1.0,
            unit: "month".to_owned(),
            unit_price: sheet.fees.compute_credit,
            amount: Money::ZERO - credit,
        });
    }
    lines.append(&mut own);
}

fn by_capacity(capacity: &Capacity, usage: &Usage) -> Line {
    let counted = usage
        .databases()
        .map(|database| unit_milli_seconds(capacity, database))
        .fold(0, u128::saturating_add);
    let unit = capacity.unit.clone();
    Line::new("compute", Quantity { counted, unit: UNIT_HOUR }, unit, capacity.price)
}

/// What is billed of one database, thousandths of a unit × seconds.
pub(super) fn unit_milli_seconds(capacity: &Capacity, database: &Database) -> u128 {
    let billed = u128::from(time::billed(capacity.sleep, database));
    let active = u128::from(database.active_seconds);
    let least = u128::from(capacity.minimum_units.milli());
    let used = scale(database.milli_cu_seconds, capacity.units_per_cu);
    used.max(least.saturating_mul(active)).saturating_add(least.saturating_mul(billed.saturating_sub(active)))
}

/// Rounded up to a thousandth of a unit-second.
fn scale(milli_cu_seconds: u128, units_per_cu: Fixed) -> u128 {
    const NANO: u128 = 1_000_000_000;
    let factor = u128::from(units_per_cu.nano());
    let (whole, rest) = (milli_cu_seconds / NANO, milli_cu_seconds % NANO);
    whole.saturating_mul(factor).saturating_add((rest * factor).div_ceil(NANO))
}

fn by_size(sizes: &Sizes, usage: &Usage, notes: &mut Vec<String>) -> Vec<Line> {
    // By place in the list: seconds of all databases of that size.
    let mut seconds = BTreeMap::<usize, u128>::new();
    let mut several = false;
    for database in usage.databases() {
        let billed = u128::from(time::billed(sizes.sleep, database));
        if billed == 0 {
            continue;
        }
        let (at, machines) = machine(&sizes.sizes, database.size());
        several |= machines > 1;
        let all = seconds.entry(at).or_default();
        *all = all.saturating_add(billed.saturating_mul(machines));
    }
    if several && let Some(largest) = sizes.sizes.last() {
        notes.push(format!(
            "More is needed than the largest size, {}: several of it are billed.",
            largest.name
        ));
    }
    let line = |(at, counted): (usize, u128)| {
        let size = &sizes.sizes[at];
        Line::new(format!("compute {}", size.name), Quantity { counted, unit: HOUR }, "hour", size.price)
    };
    seconds.into_iter().map(line).collect()
}

/// The cheapest size that is large enough, by its place, and how many of it are needed.
pub(crate) fn machine(sizes: &[Size], milli_cu: u64) -> (usize, u128) {
    let enough = sizes.iter().enumerate().filter(|(_, size)| size.cu.milli() >= milli_cu);
    if let Some((at, _)) = enough.min_by_key(|(_, size)| size.price) {
        return (at, 1);
    }
    let at = sizes.len().saturating_sub(1);
    let each = sizes.get(at).map_or(1, |size| size.cu.milli().max(1));
    (at, u128::from(milli_cu.div_ceil(each)))
}
