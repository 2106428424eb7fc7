//! Which seconds of a database are billed.
//!
//! What does not sleep is billed while it exists. What sleeps is billed while it is active, each wake as at least
//! one piece (and at least the minimum per wake), longer where the provider waits longer before it sleeps; never
//! more than it exists. Wakes are known by their number only, not by their lengths: where they are of different
//! lengths, a provider with a minimum bills a little more than is shown here.

use crate::sheet::Sleep;
use crate::usage::Database;

pub(super) fn billed(sleep: Sleep, database: &Database) -> u64 {
    let piece = u64::from(sleep.billed_by_seconds.max(1));
    let exists = database.exists();
    let seconds = if sleep.sleeps {
        let least = u64::from(sleep.minimum_seconds_per_wake).max(if piece > 1 { piece } else { 0 });
        let extra = u64::from(sleep.extra_seconds_per_wake);
        let awake = database.active_seconds.max(database.wakes.saturating_mul(least));
        awake.saturating_add(database.wakes.saturating_mul(extra)).min(exists)
    } else {
        exists
    };
    seconds.div_ceil(piece).saturating_mul(piece)
}
