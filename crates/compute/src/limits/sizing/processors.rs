//! Processors of one compute, and of all: quotas hold always, weights when there are not enough processors for all
//! who want them.
//!
//! ```text
//!  this machine ─┬─ other sessions and services          1 each
//!                ├─ the server                           1
//!                └─ all computes                         2 for each processor
//!                     ├─ one of 0.25 CU   0.25 ┐ of what
//!                     └─ one of 2 CU      2    ┘ these have
//! ```
//!
//! A group is one for its whole machine: with an ordinary weight it has a half of that on each of two processors, so
//! that a busy compute stands back behind every thread beside it. The pooler suffers as well: it is woken for every
//! answer instead of for some (simple queries of 16 clients: 40 µs of it for each instead of 25).

use std::io;
use std::path::Path;

use dormouse_base::Cu;

use super::write;

/// One turn of the CPU limit, microseconds. Shorter than the kernel's usual 100 ms: whoever has used up its share
/// stands still until the next turn, and a client waits for that.
const PERIOD_US: u64 = 20_000;

/// An ordinary group's `cpu.shares`, and the kernel's limits.
const V1_WEIGHT: f64 = 1024.0;
const V1_WEIGHTS: (f64, f64) = (2.0, 262_144.0);

/// An ordinary group's `cpu.weight`, and the kernel's limits.
const V2_WEIGHT: f64 = 100.0;
const V2_WEIGHTS: (f64, f64) = (1.0, 10_000.0);

/// What all computes together weigh on each processor, in busy threads.
pub(in crate::limits) const ALL_WEIGH: f64 = 2.0;

/// Sets the quota, if it is `limited`, and the weight of a group of version 2. Of each period it has its quota, and as
/// much again saved up while it was idle; savings never exceed the quota, so they go first.
///
/// # Errors
/// When the kernel refuses the quota. A weight is best effort.
pub(super) fn of_v2(dir: &Path, cu: Cu, limited: bool) -> io::Result<()> {
    weigh_v2(dir, cu.cores());
    // Kernels before 5.14 have no burst.
    let _old_kernel = write(dir, "cpu.max.burst", "0");
    match limited.then(|| quota(cu)) {
        Some(quota) => {
            write(dir, "cpu.max", &format!("{quota} {PERIOD_US}"))?;
            let _old_kernel = write(dir, "cpu.max.burst", &quota.to_string());
            Ok(())
        }
        None => write(dir, "cpu.max", &format!("max {PERIOD_US}")),
    }
}

/// The same of version 1.
///
/// # Errors
/// As of [`of_v2`].
pub(super) fn of_v1(dir: &Path, cu: Cu, limited: bool) -> io::Result<()> {
    weigh_v1(dir, cu.cores());
    let _old_kernel = write(dir, "cpu.cfs_burst_us", "0");
    if !limited {
        return write(dir, "cpu.cfs_quota_us", "-1");
    }
    let quota = quota(cu);
    write(dir, "cpu.cfs_period_us", &PERIOD_US.to_string())?;
    match write(dir, "cpu.cfs_quota_us", &quota.to_string()) {
        // More than a group above it has: then that one's limit holds.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => write(dir, "cpu.cfs_quota_us", "-1"),
        Err(error) => Err(error),
        Ok(()) => {
            let _old_kernel = write(dir, "cpu.cfs_burst_us", &quota.to_string());
            Ok(())
        }
    }
}

/// Gives a group of version 2 the weight of so many busy threads. Best effort.
pub(in crate::limits) fn weigh_v2(dir: &Path, threads: f64) {
    weigh(dir, "cpu.weight", V2_WEIGHT * threads, V2_WEIGHTS);
}

/// The same of version 1.
pub(in crate::limits) fn weigh_v1(dir: &Path, threads: f64) {
    weigh(dir, "cpu.shares", V1_WEIGHT * threads, V1_WEIGHTS);
}

fn weigh(dir: &Path, file: &str, weight: f64, (least, most): (f64, f64)) {
    if let Err(error) = write(dir, file, &format!("{:.0}", weight.clamp(least, most))) {
        tracing::debug!(%error, "a group keeps the weight that it has");
    }
}

/// Microseconds of each period.
fn quota(cu: Cu) -> u64 {
    u64::from(cu.milli()) * PERIOD_US / 1000
}
