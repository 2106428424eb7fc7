//! Auth: login tokens, which a client may show in the place of a password *(extension)*.
//!
//! A token is good for one role of one branch, for minutes. It is verified by the server's own key; a new key
//! ends all tokens.

use dormouse_base::{BranchId, EndpointId, Secret, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sealed;

/// `POST /projects/{project_id}/auth/token`, the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateToken {
    /// The wishes.
    pub token: NewToken,
}

/// Wishes for a login token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewToken {
    /// The role that its holder logs in as.
    pub role_name: String,
    /// The branch; the endpoint's, else the default branch when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_id: Option<BranchId>,
    /// Good at this endpoint only; at every endpoint of the branch when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_id: Option<EndpointId>,
    /// Good for this database only; for every database when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_name: Option<String>,
    /// Its lifetime, seconds (1 to 3600); 900 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<i64>,
}

/// `POST /projects/{project_id}/auth/token`, the reply (201).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenCreated {
    /// The token: the password of the login.
    #[serde(with = "sealed::required")]
    #[schemars(with = "String")]
    pub token: Secret<String>,
    /// The role that its holder logs in as.
    pub role_name: String,
    /// The branch.
    pub branch_id: BranchId,
    /// Good at this endpoint only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_id: Option<EndpointId>,
    /// Good for this database only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_name: Option<String>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// `POST /auth/rotate_key`, the reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyRotated {
    /// The name of the new key, as tokens carry it.
    pub key_id: String,
}
