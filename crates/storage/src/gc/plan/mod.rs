//! What of a project may be deleted now. Pure: registers and a listing in, register changes and a list out.
//!
//! ```text
//!   registers ─► need ─► retire ─► changes to registers      (only then, after another look:)
//!   listing ──────────────────────► objects ─► dead, waiting, strange
//!   references of what is reachable ─► packs ─► dead packs, sparse packs
//! ```
//!
//! Three sets decide everything.
//! - **Needed** ([`need`]): for every branch that lives, the newest snapshot at or before the beginning of
//!   its window, and all later ones; if its own snapshots do not reach back that far, the same question goes
//!   to its parent, up to the fork; and so on. Snapshots that nobody needs are *retired* ([`retire`]): they
//!   leave the list but stay in the register under `retired`, with the time.
//! - **Listed**: whatever the register of a living branch lists, retired or not, is live. So are the WAL from
//!   the first `redo` that a window needs and the WAL behind a retired snapshot. A retired entry is dropped
//!   from the register after the grace period, unless it is pinned. The register of a deleted branch cannot
//!   change any more: after the grace period only what its children need of it is live.
//! - **Dead** ([`objects`]): what is stored but not listed, and older than the grace period.
//!
//! So every object has a grace period after it was written (its register entry may be on the way) and one
//! after it was taken off the list (a reader may have planned with it). A plan that still has changes
//! names nothing dead: registers first, then another look, then objects.
//!
//! Damage and what is newer than this program make the plan timid: a register that cannot be understood
//! may reference anything, so nothing of its project is touched ([`Plan::frozen`]). An object with a name
//! that is not understood is left alone and reported.

mod need;
mod objects;
mod packs;
mod retire;
mod templates;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dormouse_base::{BranchId, Lsn, ProjectId, Timestamp};

pub(crate) use need::{Needs, Reach};
pub use packs::{Live, Packs, Sparse, packs};
pub use templates::{Templates, templates};

use crate::branch::line::Records;
use crate::branch::record::BranchRecord;
use crate::key::Key;
use crate::object::Listed;

/// How long an object stays after it was written, and after it was taken off every list.
pub const GRACE: Duration = Duration::from_secs(3600);

/// How long a superseded version of a register stays. A writer that slept longer than this between
/// reading a version and creating the next one could create a number that others have left behind.
pub const VERSION_GRACE: Duration = Duration::from_secs(24 * 3600);

/// Superseded versions of a register that stay however old they are.
pub const VERSIONS_KEPT: usize = 4;

/// An old snapshot is thinned out only if a restore behind it then replays no more WAL than this, bytes.
pub const THIN_BOUND: u64 = 256 * 1024 * 1024;

/// The newest snapshots of a branch, which are never thinned out.
pub const RECENT_SNAPSHOTS: usize = 8;

/// A pack with less than this share of live bytes is worth rewriting, per cent.
pub const SPARSE_PERCENT: u64 = 50;

/// How long a template that nobody uses stays.
pub const TEMPLATE_GRACE: Duration = Duration::from_secs(24 * 3600);

/// How far the clocks of a store and of this machine may be apart where it matters.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// The limits of a plan; [`Limits::default`] is what the constants say.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// See [`GRACE`].
    pub grace: Duration,
    /// See [`VERSION_GRACE`].
    pub version_grace: Duration,
    /// See [`VERSIONS_KEPT`].
    pub versions_kept: usize,
    /// See [`THIN_BOUND`].
    pub thin_bound: u64,
    /// See [`RECENT_SNAPSHOTS`].
    pub recent_snapshots: usize,
    /// See [`SPARSE_PERCENT`].
    pub sparse_percent: u64,
    /// See [`TEMPLATE_GRACE`].
    pub template_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            grace: GRACE,
            version_grace: VERSION_GRACE,
            versions_kept: VERSIONS_KEPT,
            thin_bound: THIN_BOUND,
            recent_snapshots: RECENT_SNAPSHOTS,
            sparse_percent: SPARSE_PERCENT,
            template_grace: TEMPLATE_GRACE,
        }
    }
}

/// A branch as a look found it.
#[derive(Debug, Clone)]
pub struct Known {
    /// The newest version of its register.
    pub record: BranchRecord,
    /// That version's number.
    pub seq: u64,
    /// When it was deleted. Then the register is its last version and cannot be changed any more.
    pub deleted_at: Option<Timestamp>,
    /// Where its window begins by the clock, or before that its first lasting point; `None` keeps everything that is still there.
    pub keep_from: Option<Lsn>,
}

/// Something of this process that uses a part of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// A branch is made or a restore is planned: nothing that could make this point is retired.
    Point {
        /// The branch.
        branch: BranchId,
        /// The point.
        lsn: Lsn,
    },
    /// A directory is filled from a snapshot, with WAL of a branch's line behind it.
    Snapshot {
        /// The branch whose line it is.
        branch: BranchId,
        /// The manifest.
        manifest: Key,
    },
    /// A snapshot of a branch is being written: since then there are objects that no register lists yet.
    Upload {
        /// The branch.
        branch: BranchId,
        /// When the first of them may have been written.
        since: Timestamp,
    },
}

/// Everything that is known of a project at one moment. The listing is older than the registers.
#[derive(Debug, Clone)]
pub struct Look {
    /// The project.
    pub project: ProjectId,
    /// When the whole project was deleted.
    pub deleted_at: Option<Timestamp>,
    /// Registers that could not be understood.
    pub opaque: Vec<Key>,
    /// The branches, deleted ones too.
    pub branches: BTreeMap<BranchId, Known>,
    /// All objects of the project, by key.
    pub objects: Vec<Listed>,
    /// What uses a part of it now.
    pub pins: Vec<Pin>,
}

impl Look {
    /// The registers alone.
    #[must_use]
    pub fn records(&self) -> Records {
        self.branches.iter().map(|(id, known)| (id.clone(), known.record.clone())).collect()
    }

    /// Since when a branch is to be gone, if it is.
    fn deleted_since(&self, known: &Known) -> Option<Timestamp> {
        known.deleted_at.or(self.deleted_at)
    }

    /// Whether a branch still has a window: it lives, or somebody may not know yet that it does not.
    fn has_window(&self, known: &Known, limits: &Limits, now: Timestamp) -> bool {
        self.deleted_since(known).is_none_or(|at| age(now, at) < limits.grace)
    }

    /// Whether a pack may belong to a snapshot that is being written.
    fn is_in_upload(&self, modified: Timestamp) -> bool {
        let covers = |pin: &Pin| match pin {
            Pin::Upload { since, .. } => age(*since, modified) <= CLOCK_SKEW,
            _ => false,
        };
        self.pins.iter().any(covers)
    }

    /// Whether a snapshot of this branch is being written. It may find the boot pack of an earlier try and
    /// use it, however old that is.
    fn is_uploading(&self, id: &BranchId) -> bool {
        self.pins.iter().any(|pin| matches!(pin, Pin::Upload { branch, .. } if branch == id))
    }
}

/// A new version of a register.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Whose.
    pub branch: BranchId,
    /// The version that it was made from; the new one has the next number.
    pub seq: u64,
    /// The new content.
    pub record: BranchRecord,
    /// Snapshots that leave the list.
    pub retired: usize,
    /// Snapshots that come back because somebody turned out to need them.
    pub restored: usize,
    /// Retired snapshots that nobody can be using any more.
    pub expired: usize,
}

/// What kind of object it is, in the order in which they are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A piece of WAL.
    Wal,
    /// A snapshot's manifest.
    Manifest,
    /// A boot pack.
    Boot,
    /// A pack.
    Pack,
    /// A version of a branch's register. The newest one, a deletion, goes last.
    Version,
    /// A version of a project's register.
    Project,
}

/// An object that nothing reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// What it is.
    pub kind: Kind,
    /// Its key.
    pub key: Key,
    /// Bytes.
    pub size: u64,
}

/// An object that was left alone because it is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strange {
    /// Its key.
    pub key: Key,
    /// What is strange about it.
    pub why: &'static str,
}

/// What is to be done with a project, except for its packs ([`packs`]).
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Why nothing of this project may be touched.
    pub frozen: Option<String>,
    /// New versions of registers. While there are any, `dead` is empty.
    pub changes: Vec<Change>,
    /// Objects to delete, in this order.
    pub dead: Vec<Dead>,
    /// Objects that nothing reaches but that are too young.
    pub waiting: Vec<Dead>,
    /// Objects that were not understood.
    pub strange: Vec<Strange>,
    /// Manifests that stay: what they reference is live.
    pub manifests: BTreeSet<Key>,
    /// Boot packs that stay without being listed: a snapshot that is tried again takes what it finds, so
    /// what *they* reference is live too.
    pub unlisted: BTreeSet<Key>,
}

/// Makes the plan of a project.
#[must_use]
pub fn plan(look: &Look, limits: &Limits, now: Timestamp) -> Plan {
    if let Some(key) = look.opaque.first() {
        let frozen = Some(format!("the register {key} is not understood"));
        return Plan { frozen, ..Plan::default() };
    }
    let (changes, records) = match retire::changes(look, limits, now) {
        Ok(found) => found,
        Err(error) => return Plan { frozen: Some(error.to_string()), ..Plan::default() },
    };
    let live = match need::Live::of(look, &records, limits, now) {
        Ok(live) => live,
        Err(error) => return Plan { frozen: Some(error.to_string()), ..Plan::default() },
    };
    let mut plan = objects::sort(look, &live, limits, now);
    if !changes.is_empty() {
        plan.dead.clear();
    }
    plan.manifests.extend(live.manifests);
    Plan { changes, ..plan }
}

/// How much later `now` is than `then`; zero if it is not.
fn age(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests;
