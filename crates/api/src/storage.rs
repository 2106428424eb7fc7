//! Storage *(extension)*: the state of the object store, its check, and the collection of garbage.
//!
//! Check and collection may take long (a check reads everything): their requests have no time limit on the
//! server, and whoever goes away ends a check. Fields are added, never renamed: scripts read them.

use dormouse_base::{BranchId, EndpointId, Epoch, Lsn, ProjectId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `GET /storage`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StorageStatus {
    /// The address of the store, without secrets.
    pub url: String,
    /// The version of its format.
    pub format: u32,
    /// Whether it decides by itself between two writers. If not, no second server may use it.
    pub arbitrates: bool,
    /// The pristine clusters of this server in it, by name.
    pub templates: Vec<String>,
    /// What this server holds of branches.
    pub endpoints: Vec<StorageEndpoint>,
}

/// One endpoint that has files on this server, in [`StorageStatus`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StorageEndpoint {
    /// The endpoint.
    pub id: EndpointId,
    /// The project.
    pub project_id: ProjectId,
    /// The branch, by its public ID where it has one.
    pub branch_id: BranchId,
    /// Its name; absent when no branch is on that line of history any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// It only reads: nothing of it has to be stored.
    pub read_only: bool,
    /// The number of this writer; absent until the branch's register knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// Every byte of WAL before this one is in the store; absent while nothing watches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filed: Option<Lsn>,
    /// Bytes of WAL that are on this machine only, as of the last look.
    pub lag_bytes: u64,
    /// How long something has been waiting, seconds.
    pub lag_seconds: f64,
    /// What somebody should look at; absent = nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<String>,
    /// What failed last; absent when the last try went well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Where its newest snapshot ends; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_lsn: Option<Lsn>,
    /// How far its directory is filled; absent when it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hydration: Option<HydrationProgress>,
    /// Its directory is being made or stored at this moment, so that nothing more can be told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub busy: bool,
}

/// How far a directory is filled from the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HydrationProgress {
    /// All chunks (256 KiB) of its files.
    pub chunks: u64,
    /// Those that are not here yet.
    pub absent: u64,
}

/// `POST /storage/check`, the request. `{}` checks everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckStorage {
    /// Only this project, by ID or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Only this branch of it, by ID or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Only look for what is missing or too short; read no data.
    #[serde(default)]
    pub quick: bool,
    /// Also start every branch on a temporary branch and let PostgreSQL look at it.
    #[serde(default)]
    pub restore: bool,
}

/// `POST /storage/check`, the reply.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StorageChecked {
    /// Branches that were looked at.
    pub branches: u64,
    /// Objects that were read, or in a quick check looked for.
    pub objects: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Objects that nothing needs; garbage collection deletes them in time.
    pub orphans: u64,
    /// Their bytes.
    pub orphan_bytes: u64,
    /// What is wrong; empty = every branch can be restored.
    pub findings: Vec<StorageFinding>,
    /// The branches that were started, when that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restored: Vec<RestoredBranch>,
}

/// Something that a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StorageFinding {
    /// The project, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// The branch that cannot be restored, or not everywhere, by its public ID where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_id: Option<BranchId>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The object in the store, or the part of a database.
    pub object: String,
    /// What is wrong with it.
    pub problem: String,
}

/// A branch that a check started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RestoredBranch {
    /// The project.
    pub project_id: ProjectId,
    /// The branch.
    pub branch_id: BranchId,
    /// Its name.
    pub branch: String,
    /// Databases that were looked at.
    pub databases: u64,
    /// Tables that were read to their end.
    pub tables: u64,
    /// B-trees that were checked against their tables.
    pub indexes: u64,
    /// What could not be looked at, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// `POST /storage/collect`, the request. `{}` does what the server does by itself once an hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CollectStorage {
    /// Count what would be deleted, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// How old something must be to be deleted, seconds; an hour when absent. Less than
    /// [`MIN_GRACE_SECONDS`] only with `dry_run`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<u64>,
}

/// The shortest time that garbage may have to wait: whoever has just read a register must be able to use
/// what it names.
pub const MIN_GRACE_SECONDS: u64 = 60;

/// `POST /storage/collect`, the reply.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StorageCollected {
    /// Nothing was changed.
    pub dry_run: bool,
    /// Objects that were (or would be) deleted.
    pub deleted: u64,
    /// Their bytes.
    pub deleted_bytes: u64,
    /// Objects that nothing needs but that are too young.
    pub waiting: u64,
    /// Snapshots that left the list of their branch; their objects go with a later run.
    pub retired: u64,
    /// Packs that were written anew without their dead parts.
    pub rewritten: u64,
    /// Files of interrupted writes that were removed from a directory store.
    pub leftovers: u64,
    /// What was left alone because something about it is not understood.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frozen: Vec<FrozenProject>,
    /// Objects whose names are not understood; never deleted.
    pub strange: u64,
}

/// A project of which nothing was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FrozenProject {
    /// The project.
    pub project_id: ProjectId,
    /// Why.
    pub reason: String,
}
