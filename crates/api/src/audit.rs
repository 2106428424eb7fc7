//! Audit: who changed what, when, from where, and how it ended *(extension)*.

use dormouse_base::{ProjectId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Page;

/// One request that changed something, or was told a secret, or wanted to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    /// Grows with every entry of the server.
    pub id: i64,
    /// When it was answered.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What: the `operationId` of the route, such as `createProjectBranch`.
    pub action: String,
    /// The path below `/api/v2`, which names what it was done to.
    pub path: String,
    /// The project, when it concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// Where it came from; absent when that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The HTTP status of the answer; absent when the client went away before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The code of the error, when it was refused; `replayed` when the reply was that of an earlier request with the same
    /// `Idempotency-Key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Finds the request in the server's log.
    pub request_id: String,
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Actor {
    /// What proved it.
    pub kind: ActorKind,
    /// The ID of the key, or issuer and subject of the token.
    pub id: String,
    /// For people: the name of the key, or the subject.
    pub name: String,
}

/// What proves who somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// An API key.
    ApiKey,
    /// A token of an identity provider.
    Oidc,
}

/// `GET /audit` and `GET /projects/{project_id}/audit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Audit {
    /// This page, newest first.
    pub entries: Vec<AuditEntry>,
    /// Absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagination: Option<Page>,
}
