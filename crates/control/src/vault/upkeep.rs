//! What is asked of storage as a whole: a look, a check, a collection of garbage.

use std::time::Duration;

use dormouse_base::{BranchId, EndpointId, Epoch, Lsn, ProjectId};
use serde::{Deserialize, Serialize};

/// What to check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckWish {
    /// Only this project.
    pub project: Option<ProjectId>,
    /// Only this branch of it, by its storage ID, with what it needs of its ancestors.
    pub branch: Option<BranchId>,
    /// Only what can be told without reading data.
    pub quick: bool,
}

/// Something that a check of the store found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The project, if it is about one.
    pub project: Option<ProjectId>,
    /// The storage ID of the branch, if it is about one.
    pub branch: Option<BranchId>,
    /// The object, or the part of it.
    pub object: String,
    /// What is wrong.
    pub problem: String,
}

/// What a check of the store looked at and found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Branches.
    pub branches: u64,
    /// Objects read.
    pub objects: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Objects that nothing reaches.
    pub orphans: u64,
    /// Their bytes.
    pub orphan_bytes: u64,
    /// Problems; empty = every branch can be restored.
    pub findings: Vec<Finding>,
}

/// How to collect garbage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CollectWish {
    /// Count, and change nothing.
    pub dry_run: bool,
    /// How old something must be to be deleted; `None` = as usual.
    pub grace: Option<Duration>,
}

/// What a collection of garbage did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// Objects that nothing reaches and that were deleted.
    pub deleted: u64,
    /// Their bytes.
    pub deleted_bytes: u64,
    /// Objects that nothing reaches but that are too young to be deleted.
    pub waiting: u64,
    /// Snapshots that left the list of their branch.
    pub retired: u64,
    /// Packs that were rewritten because most of them was dead.
    pub rewritten: u64,
    /// What interrupted writes left in a directory store, and was removed.
    pub leftovers: u64,
    /// Projects that were left alone, and why.
    pub frozen: Vec<(ProjectId, String)>,
    /// Objects that were not understood.
    pub strange: u64,
}

/// The store, and what this server holds of branches.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overview {
    /// The address, without secrets.
    pub url: String,
    /// The version of its format.
    pub format: u32,
    /// Whether it decides between two writers.
    pub arbitrates: bool,
    /// The templates of this server in it.
    pub templates: Vec<String>,
    /// The endpoints that have files here, by ID.
    pub endpoints: Vec<Holding>,
}

/// What this server holds of a branch for one endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Holding {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The directory; `None` = it is being made or stored at this moment.
    pub resident: Option<HeldBranch>,
    /// The capture of its WAL; `None` = nothing watches it.
    pub capture: Option<Captured>,
    /// Chunks of its directory, and those that are absent; `None` = it is complete.
    pub hydration: Option<(u64, u64)>,
}

/// A branch's directory on this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBranch {
    /// The project.
    pub project: ProjectId,
    /// The storage ID of the branch.
    pub branch: BranchId,
    /// It only reads.
    pub read_only: bool,
    /// The writer's epoch, once the register knows it.
    pub epoch: Option<Epoch>,
    /// Where its newest snapshot ends.
    pub snapshot: Option<Lsn>,
}

/// How far a compute's WAL is in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Captured {
    /// Everything before this is in the store.
    pub filed: Lsn,
    /// Bytes that are not.
    pub lag_bytes: u64,
    /// How long they have been waiting, seconds.
    pub lag_seconds: f64,
    /// What somebody should look at.
    pub alarm: Option<&'static str>,
    /// What failed last.
    pub problem: Option<String>,
}
