//! Garbage: what nothing reaches any more, found and deleted.
//!
//! ```text
//!   look ──► plan (pure) ──► registers ──► look ──► plan ──► … nothing to change ──► references ──► delete
//!    ▲                          │ moved                                                  │ moved
//!    └──────────────────────────┴────────────────────────────────────────────────────────┘
//! ```
//!
//! [`plan`] decides; [`Collector`] looks, writes registers and deletes; [`rewrite`](self) makes sparse packs
//! dense. [`Leases`] are what this process uses. [`Windows`] say how far back is kept.
//!
//! # Why it is safe
//!
//! *A crash anywhere.* Every step leaves a state that the next run understands: a register version is one
//! create, deletes can be repeated, and an object is deleted only if no register lists it. So there is
//! never a register that lists what is gone. What a dead collector left undone is still garbage.
//!
//! *A branch that is being made.* Its maker (1) pins the point, (2) reads the parent and sees that the
//! point is not before `history_start`, (3) creates the child's register, (4) reads the parent again and
//! undoes the child if the point is before `history_start` *now*. The collector (a) looks, (b) creates a
//! version of the parent's register that retires the child's base, (c) looks again. If (b) was before (4),
//! the maker sees it and refuses. If (4) was before (b), so was (3), so the look of (c) finds the child,
//! and the plan of (c) puts the base back: a retired snapshot stays in the register with its objects for
//! the grace period, and leaves it in a version that is made after another look. If the collector dies
//! before (c), the next run does (c) first: every run begins with a look, and nothing expires without
//! one. This needs listings that show a child within the grace period after it was made; stores promise
//! that at once.
//!
//! *A snapshot that is being published.* Its objects are younger than the grace period, or its writer
//! holds an upload lease. Chunks that it shares are those of its base, which registers list: the newest
//! snapshot of a branch is never retired, nor is the base of a child that has none of its own. Publishing
//! is a register version: the collector's create of the same number fails, and it looks again; before it
//! deletes, it asks each register whether it is still the one of the look.
//!
//! *A reader.* What it found in a register stays listed or retired, with all its objects, for the grace
//! period after it was taken off the list; for longer work it holds a lease.

pub mod plan;

mod lease;
pub(crate) mod look;
mod metrics;
pub(crate) mod reach;
mod rewrite;
mod sweep;
pub(crate) mod window;

use std::collections::BTreeSet;
use std::sync::Arc;

use dormouse_base::ProjectId;

pub use lease::{Lease, Leases, MAX_LEASES, TooManyLeases};
pub use metrics::Metrics;
pub use window::{Always, Windows};

use crate::branch::register::RegisterError;
use crate::key::Key;
use crate::object::{Store, StoreError};
use plan::{Limits, Strange};

/// The most objects that one run deletes.
pub const MAX_DELETES: u64 = 100_000;

/// Looks at one project in one run; if it is still moving then, the next run has it.
pub const MAX_LOOKS: u32 = 6;

/// The most strange objects that a report names.
pub const MAX_STRANGE: usize = 100;

/// Garbage could not be collected.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GcError {
    /// The store failed.
    #[error("cannot look for garbage in the store")]
    Store(#[source] StoreError),
    /// A register cannot be read or written.
    #[error("cannot read or write a register while looking for garbage")]
    Register(#[source] RegisterError),
    /// A failpoint.
    #[error("collecting garbage was interrupted")]
    Interrupted(#[source] Arc<std::io::Error>),
}

/// How to collect.
#[derive(Debug, Clone)]
pub struct Options {
    /// Times and bounds of the plan.
    pub limits: Limits,
    /// See [`MAX_DELETES`].
    pub max_deletes: u64,
    /// Whether sparse packs are rewritten.
    pub rewrite: bool,
    /// Templates that new projects are made of.
    pub templates: BTreeSet<String>,
    /// Projects that another server looks after: what that uses, and how far back it keeps, is not known here.
    pub others: BTreeSet<ProjectId>,
    /// Look and count, but change nothing.
    pub dry_run: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            max_deletes: MAX_DELETES,
            rewrite: true,
            templates: BTreeSet::new(),
            others: BTreeSet::new(),
            dry_run: false,
        }
    }
}

/// What a run did.
#[derive(Debug, Clone, Default)]
pub struct Collected {
    /// Projects that were looked at.
    pub projects: u64,
    /// Objects that nothing reaches and that were deleted (in a dry run: would be).
    pub deleted: u64,
    /// Their bytes.
    pub deleted_bytes: u64,
    /// Objects that nothing reaches but that are too young, or beyond the limit of one run.
    pub waiting: u64,
    /// Snapshots that were taken off a list.
    pub retired: u64,
    /// Packs that were rewritten because most of them was dead.
    pub rewritten: u64,
    /// Projects that were not touched, or not their packs, and why.
    pub frozen: Vec<(ProjectId, String)>,
    /// Objects that were not understood, at most [`MAX_STRANGE`].
    pub strange: Vec<Strange>,
    /// How many there are of these.
    pub strange_count: u64,
}

/// Collects garbage.
#[derive(Clone)]
pub struct Collector {
    store: Store,
    leases: Leases,
    windows: Arc<dyn Windows>,
    options: Options,
    metrics: Metrics,
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collector").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Collector {
    /// A collector of a store. All users of the store in this process share `leases`.
    #[must_use]
    pub fn new(store: Store, leases: Leases, windows: Arc<dyn Windows>, options: Options) -> Self {
        Self { store, leases, windows, options, metrics: Metrics::default() }
    }

    /// The same with counters that outlive it.
    #[must_use]
    pub fn counting(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

/// An interruption for a test.
async fn hit(failpoint: &'static str) -> Result<(), GcError> {
    // Failpoints are of the process; tests of this module run beside others.
    #[cfg(test)]
    tests::trap::step_on(failpoint).await?;
    dormouse_runtime::failpoint::hit(failpoint).await.map_err(|error| GcError::Interrupted(Arc::new(error)))
}

/// The manifests or boot packs that could not be read, for a report.
fn unreadable(key: &Key, error: &dyn std::error::Error) -> String {
    format!("the references of {key} are not known: {}", dormouse_base::with_causes(error))
}

#[cfg(test)]
pub(crate) mod tests;
