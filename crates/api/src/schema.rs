//! Schema: the definitions of one database, without its data, and how two of them differ.

use dormouse_base::{BranchId, Lsn, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The query of `GET …/branches/{branch_id}/schema`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SchemaQuery {
    /// The database.
    pub db_name: String,
    /// As it was at this position; now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lsn: Option<Lsn>,
    /// The same as a time; not together with `lsn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
}

/// `GET …/branches/{branch_id}/schema`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SchemaReply {
    /// What `pg_dump --schema-only` says.
    pub sql: String,
}

/// The query of `GET …/branches/{branch_id}/compare_schema`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CompareQuery {
    /// The database, of the same name on both sides.
    pub db_name: String,
    /// The branch to compare with; the parent when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_branch_id: Option<BranchId>,
    /// The branch as it was at this position; now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lsn: Option<Lsn>,
    /// The same as a time; not together with `lsn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
    /// The other branch as it was at this position; now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_lsn: Option<Lsn>,
    /// The same as a time; not together with `base_lsn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_timestamp: Option<Timestamp>,
}

/// `GET …/branches/{branch_id}/compare_schema`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CompareReply {
    /// A unified diff from the other branch to this one; empty when they are the same.
    pub diff: String,
}
