//! Operation: a durable, resumable piece of control-plane work.

use dormouse_base::{BranchId, EndpointId, OperationId, ProjectId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Page;

/// Where an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationStatus {
    /// Waiting for its turn.
    Scheduling,
    /// At work.
    Running,
    /// Done.
    Finished,
    /// Given up; what it had done is undone.
    Failed,
    /// The last try failed; it will try again.
    Error,
    /// Being cancelled.
    Cancelling,
    /// Cancelled.
    Cancelled,
    /// There was nothing to do.
    Skipped,
}

impl OperationStatus {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            OperationStatus::Scheduling => "scheduling",
            OperationStatus::Running => "running",
            OperationStatus::Finished => "finished",
            OperationStatus::Failed => "failed",
            OperationStatus::Error => "error",
            OperationStatus::Cancelling => "cancelling",
            OperationStatus::Cancelled => "cancelled",
            OperationStatus::Skipped => "skipped",
        }
    }

    /// It will not change any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            OperationStatus::Finished
            | OperationStatus::Failed
            | OperationStatus::Cancelled
            | OperationStatus::Skipped => true,
            OperationStatus::Scheduling
            | OperationStatus::Running
            | OperationStatus::Error
            | OperationStatus::Cancelling => false,
        }
    }
}

/// An operation as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Operation {
    /// The operation.
    pub id: OperationId,
    /// Its project.
    pub project_id: ProjectId,
    /// Its branch, when it concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_id: Option<BranchId>,
    /// Its endpoint, when it concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_id: Option<EndpointId>,
    /// What it does, such as `create_project` or `start_compute`.
    pub action: String,
    /// Where it is.
    pub status: OperationStatus,
    /// Why the last try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Tries that failed.
    pub failures_count: u32,
    /// When the next try is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its status changed last.
    pub updated_at: Timestamp,
    /// Time at work, milliseconds.
    pub total_duration_ms: i64,
}

/// `GET /projects/{project_id}/operations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Operations {
    /// This page, newest first.
    pub operations: Vec<Operation>,
    /// Absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagination: Option<Page>,
}

/// `GET /projects/{project_id}/operations/{operation_id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperationReply {
    /// The operation.
    pub operation: Operation,
}
