//! Status *(extension)*: the state of every endpoint in one reply. `dormouse status --output json`
//! prints exactly this, and scripts rely on it: fields are added, never renamed.

use dormouse_base::{BranchId, EndpointId, ProjectId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::LiveState;

/// `GET /status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The server's version.
    pub version: String,
    /// Every endpoint of every project.
    pub endpoints: Vec<StatusEndpoint>,
}

/// One endpoint in [`Status`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusEndpoint {
    /// The endpoint.
    pub id: EndpointId,
    /// Its project.
    pub project_id: ProjectId,
    /// Its branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_id: Option<BranchId>,
    /// The name of its branch.
    pub branch: String,
    /// What it is doing.
    pub state: LiveState,
    /// Process ID of the postmaster, `null` when there is none.
    pub pid: Option<u32>,
    /// PostgreSQL major version.
    pub pg_version: u16,
    /// The host name that clients connect to.
    pub host: String,
    /// When it last had work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_active: Option<Timestamp>,
}
