//! Snapshot: the data of a branch at one point, kept until somebody deletes it.
//!
//! Underneath it is a branch without endpoints that the list of branches does not show, so it costs only what
//! changed since, and everything that can be done with a branch can be done with it.

use dormouse_base::{BranchId, Lsn, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::branch::present;
use crate::{Branch, Operation};

/// What the ID of a snapshot begins with; the rest is that of the branch underneath.
pub const ID_PREFIX: &str = "snap-";

/// A snapshot as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// The snapshot.
    pub id: String,
    /// Its name; names need not be unique.
    pub name: String,
    /// The position of the data.
    pub lsn: Lsn,
    /// The time of that place, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
    /// The branch that it was taken of.
    pub source_branch_id: BranchId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it is deleted by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Somebody asked for it; always true, because there are no schedules.
    pub manual: bool,
}

/// The query of `POST …/branches/{branch_id}/snapshot`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateSnapshotQuery {
    /// The position; now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lsn: Option<Lsn>,
    /// The same as a time; not together with `lsn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
    /// Its name; the branch's name and the time when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it is deleted by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// `POST …/branches/{branch_id}/snapshot`, and `PATCH …/snapshots/{snapshot_id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotChanged {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// The work that made it.
    pub operations: Vec<Operation>,
}

/// `GET …/snapshots`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshots {
    /// All of them, the oldest first.
    pub snapshots: Vec<Snapshot>,
}

/// `PATCH …/snapshots/{snapshot_id}`, the request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpdateSnapshot {
    /// The changes.
    pub snapshot: SnapshotPatch,
}

/// Changes to a snapshot; absent fields stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotPatch {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it is deleted by itself; `null` = never.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub expires_at: Option<Option<Timestamp>>,
}

/// `DELETE …/snapshots/{snapshot_id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotDeleted {
    /// The work that removes it.
    pub operations: Vec<Operation>,
}

/// `POST …/snapshots/{snapshot_id}/restore`, the request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RestoreSnapshot {
    /// The name of the new branch; made up when absent. With `finalize_restore`: the name under which the
    /// replaced data is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The branch that gets the data; the one that the snapshot was taken of when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_branch_id: Option<BranchId>,
    /// Give the branch the data now. Otherwise the data becomes a new branch, to be looked at first.
    #[serde(default)]
    pub finalize_restore: bool,
}

/// `POST …/snapshots/{snapshot_id}/restore`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotRestored {
    /// The branch with the data.
    pub branch: Branch,
    /// The work that did it.
    pub operations: Vec<Operation>,
}

/// `GET` and `PUT …/backup_schedule`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupSchedule {
    /// Always empty: this server takes no snapshots by itself.
    pub schedule: Vec<ScheduleItem>,
}

/// One rule of a schedule. Neon's clients send them; all are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduleItem {
    /// Such as `daily`.
    pub frequency: String,
    /// Of the day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hour: Option<u8>,
    /// Of the week or month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<u8>,
    /// Of the year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub month: Option<u8>,
    /// How long each snapshot is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_seconds: Option<u64>,
}
