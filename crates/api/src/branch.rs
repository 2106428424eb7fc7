//! Branch: a named line of history of a project's data.

use std::collections::BTreeMap;

use dormouse_base::{BranchId, Lsn, ProjectId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::endpoint::{EndpointType, NewEndpointLimits};
use crate::used::Used;
use crate::{ConnectionUri, Database, Endpoint, Operation, Page, Role};

/// `creation_source` of everything on this server.
pub const CREATION_SOURCE: &str = "dormouse";

/// Whether a branch can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BranchState {
    /// Being made.
    Init,
    /// Usable.
    Ready,
    /// Getting other data; its endpoints sleep until that is done.
    Resetting,
}

/// A branch as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Branch {
    /// The branch.
    pub id: BranchId,
    /// Its project.
    pub project_id: ProjectId,
    /// Its name, unique in the project.
    pub name: String,
    /// Whether it can be used.
    pub current_state: BranchState,
    /// The state it is on its way to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_state: Option<BranchState>,
    /// The branch that it was made from; absent for a root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<BranchId>,
    /// Where it left its parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_lsn: Option<Lsn>,
    /// The time of that place, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_timestamp: Option<Timestamp>,
    /// It is the one that is meant when none is named.
    pub default: bool,
    /// It cannot be deleted or reset.
    pub protected: bool,
    /// An older name of `default`; always equal to it.
    pub primary: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a field of it changed last.
    pub updated_at: Timestamp,
    /// Who made it; always [`CREATION_SOURCE`].
    pub creation_source: String,
    /// When it is deleted by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The time to live that `expires_at` was set with, seconds; a reset starts it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_interval_seconds: Option<i64>,
    /// What happened to it.
    #[serde(flatten)]
    pub past: BranchPast,
    /// What it used in the month that runs.
    #[serde(flatten)]
    pub used: Used,
    /// What it takes, when the store can tell. In lists only `logical_size`, as it was measured last.
    #[serde(flatten)]
    pub sizes: BranchSizes,
    /// How far back it can be restored; as for the sizes *(extension)*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<BranchHistory>,
}

/// What happened to a branch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BranchPast {
    /// When `current_state` began.
    #[serde(default)]
    pub state_changed_at: Timestamp,
    /// When it last got other data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reset_at: Option<Timestamp>,
    /// Where that data came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<BranchId>,
}

/// What a branch takes, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BranchSizes {
    /// All its files as PostgreSQL sees them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logical_size: Option<u64>,
    /// Stored bytes that no other branch shares *(extension)*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_size: Option<u64>,
    /// Stored bytes that are kept for its past *(extension)*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_size: Option<u64>,
}

/// How far back a branch can be restored, and how far the store has come *(extension)*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BranchHistory {
    /// The earliest position that can be restored.
    pub start: Lsn,
    /// Its time, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<Timestamp>,
    /// The newest position that is in the store.
    pub stored: Lsn,
}

/// `GET /projects/{project_id}/branches`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Branches {
    /// This page.
    pub branches: Vec<Branch>,
    /// Always empty; `neonctl` reads the key.
    #[serde(default)]
    pub annotations: BTreeMap<String, serde_json::Value>,
    /// Absent on the last page; the place to go on is `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagination: Option<Page>,
}

/// `GET /projects/{project_id}/branches/{branch_id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BranchReply {
    /// The branch.
    pub branch: Branch,
}

/// `PATCH` and `DELETE /projects/{project_id}/branches/{branch_id}`, and `POST …/restore|set_as_default`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BranchChanged {
    /// The branch after the change.
    pub branch: Branch,
    /// The work that carries the change out.
    pub operations: Vec<Operation>,
}

/// `PATCH /projects/{project_id}/branches/{branch_id}`, the request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpdateBranch {
    /// The changes.
    pub branch: BranchPatch,
}

/// Changes to a branch; absent fields stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BranchPatch {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// It cannot be deleted or reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected: Option<bool>,
    /// When it is deleted by itself; `null` (here `Some(None)`) = never.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub expires_at: Option<Option<Timestamp>>,
}

/// Tells `null` from a missing field.
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// `POST /projects/{project_id}/branches`, the request. `{}` makes a branch of the default branch's head,
/// without an endpoint, as with Neon.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CreateBranch {
    /// The wishes.
    #[serde(default)]
    pub branch: NewBranch,
    /// Its endpoints; none when absent or empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<NewBranchEndpoint>,
}

/// Wishes for a new branch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewBranch {
    /// Its name; two random words when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its parent; the default branch when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<BranchId>,
    /// Where it leaves its parent; now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_lsn: Option<Lsn>,
    /// The same as a time; not together with `parent_lsn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_timestamp: Option<Timestamp>,
    /// It cannot be deleted or reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected: Option<bool>,
    /// When it is deleted by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// `parent-data` (when absent); Neon also knows `schema-only`, which is refused here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_source: Option<String>,
}

/// Wishes for an endpoint of a new branch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NewBranchEndpoint {
    /// What it may do.
    #[serde(rename = "type")]
    pub kind: EndpointType,
    /// When it sleeps, and how large it may become.
    #[serde(flatten)]
    pub limits: NewEndpointLimits,
}

/// `POST /projects/{project_id}/branches`, the reply (201).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CreatedBranch {
    /// The branch.
    pub branch: Branch,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
    /// The work that made it.
    pub operations: Vec<Operation>,
    /// Its roles, without passwords: they are those of the parent.
    pub roles: Vec<Role>,
    /// Its databases.
    pub databases: Vec<Database>,
    /// How to connect; empty without an endpoint, or when the owner's password is not known.
    pub connection_uris: Vec<ConnectionUri>,
}

/// The query of `DELETE /projects/{project_id}/branches/{branch_id}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeleteBranchQuery {
    /// Delete the branches below it as well *(extension)*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recursive: Option<bool>,
}

/// `POST /projects/{project_id}/branches/{branch_id}/restore`, the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RestoreBranch {
    /// Where the data comes from: the branch itself, its parent, or any other branch of the project.
    pub source_branch_id: BranchId,
    /// The place in the source's history; now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_lsn: Option<Lsn>,
    /// The same as a time; not together with `source_lsn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_timestamp: Option<Timestamp>,
    /// The name under which the present data is kept; `<name>_old_<time>` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preserve_under_name: Option<String>,
}

/// `GET /projects/{project_id}/branches/count`, the query.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CountQuery {
    /// Only branches with this in their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
}

/// `GET /projects/{project_id}/branches/count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BranchesCount {
    /// How many there are.
    pub count: u64,
}

/// `POST /projects/{project_id}/branches/{branch_id}/finalize_restore`, the request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FinalizeRestore {
    /// The name under which the replaced data is kept; `<name>_old_<time>` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// `POST /projects/{project_id}/branches/{branch_id}/store` *(extension)*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BranchStored {
    /// Everything before this position can be restored quickly.
    pub lsn: Lsn,
}
