//! Branch: a named line of history of a project's data.

use std::collections::BTreeMap;

use dormouse_base::{BranchId, ProjectId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Operation, Page};

/// Whether a branch can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BranchState {
    /// Being made.
    Init,
    /// Usable.
    Ready,
}

/// A branch as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Who made it, such as `console` or `dormouse`.
    pub creation_source: String,
}

/// `GET /projects/{project_id}/branches`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchReply {
    /// The branch.
    pub branch: Branch,
}

/// `PATCH /projects/{project_id}/branches/{branch_id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchChanged {
    /// The branch after the change.
    pub branch: Branch,
    /// The work that carries the change out.
    pub operations: Vec<Operation>,
}

/// `PATCH /projects/{project_id}/branches/{branch_id}`, the request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateBranch {
    /// The changes.
    pub branch: BranchPatch,
}

/// Changes to a branch; absent fields stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchPatch {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
