//! Connection: how a client reaches a database, as one string and in parts.

use dormouse_base::{BranchId, EndpointId, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sealed;

/// One entry of `connection_uris` in the reply to `POST /projects`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionUri {
    /// The whole connection string, with the password.
    #[serde(with = "sealed::required")]
    #[schemars(with = "String")]
    pub connection_uri: Secret<String>,
    /// The same in parts.
    pub connection_parameters: ConnectionParameters,
}

/// The parts of a connection string.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionParameters {
    /// The database.
    pub database: String,
    /// The role's password.
    #[serde(with = "sealed::required")]
    #[schemars(with = "String")]
    pub password: Secret<String>,
    /// The role.
    pub role: String,
    /// The host for session connections.
    pub host: String,
    /// The host for pooled connections.
    pub pooler_host: String,
    /// The port of both *(extension)*; Neon's is always 5432.
    pub port: u16,
}

/// `GET /projects/{project_id}/connection_uri`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionUriReply {
    /// The whole connection string, with the password.
    #[serde(with = "sealed::required")]
    #[schemars(with = "String")]
    pub uri: Secret<String>,
}

/// The query of `GET /projects/{project_id}/connection_uri`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionUriQuery {
    /// The database.
    pub database_name: String,
    /// The role.
    pub role_name: String,
    /// The branch; the default branch when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_id: Option<BranchId>,
    /// The endpoint; the branch's `read_write` one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_id: Option<EndpointId>,
    /// Use the pooled host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooled: Option<bool>,
}
