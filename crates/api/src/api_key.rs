//! API key: lets a program use this API. The key itself is shown once, when it is made.

use dormouse_base::{ApiKeyId, ProjectId, Secret, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sealed;

/// What every API key begins with.
pub const KEY_PREFIX: &str = "dm_";

/// One entry of `GET /api_keys`, which is a bare array.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKey {
    /// The key's public name.
    pub id: ApiKeyId,
    /// What it is for, in its maker's words.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was used last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// The first characters of the key, to recognise it by *(extension)*.
    pub prefix: String,
    /// The only project that it may use; absent = every project, and the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// Who made it.
    #[serde(default)]
    pub created_by: KeyMaker,
    /// The address that it was used from last; empty when unknown.
    #[serde(default)]
    pub last_used_from_addr: String,
}

/// Who made a key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyMaker {
    /// Always [`crate::user::LOGIN`].
    pub id: String,
    /// The key or the identity that made it; `local` for the server's own.
    pub name: String,
    /// There are no pictures here.
    pub image: String,
}

/// `POST /api_keys`, the reply (201).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKeyCreated {
    /// The key's public name.
    pub id: ApiKeyId,
    /// What it is for.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The first characters of the key *(extension)*.
    pub prefix: String,
    /// The only project that it may use; absent = every project, and the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// The key. It is not shown again.
    #[serde(with = "sealed::required")]
    #[schemars(with = "String")]
    pub key: Secret<String>,
}

/// `DELETE /api_keys/{key_id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKeyRevoked {
    /// The key's public name.
    pub id: ApiKeyId,
    /// What it was for.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was used last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// Always true.
    pub revoked: bool,
}

/// `POST /api_keys`, the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateApiKey {
    /// What it is for.
    pub key_name: String,
    /// The only project that it may use, by ID or name; absent = every project, and the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
}
