//! Database: a PostgreSQL database of a branch.

use dormouse_base::{BranchId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Operation;

/// A database as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Database {
    /// The server's number for it (not PostgreSQL's OID).
    pub id: i64,
    /// Its branch.
    pub branch_id: BranchId,
    /// Its name.
    pub name: String,
    /// The role that owns it.
    pub owner_name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a field of it changed last.
    pub updated_at: Timestamp,
}

/// `GET …/databases`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Databases {
    /// All of them, the oldest first.
    pub databases: Vec<Database>,
}

/// `GET …/databases/{database_name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DatabaseReply {
    /// The database.
    pub database: Database,
}

/// `POST …/databases` (201), `PATCH` and `DELETE …/databases/{database_name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DatabaseChanged {
    /// The database after the change.
    pub database: Database,
    /// The work that carries the change out.
    pub operations: Vec<Operation>,
}

/// `POST …/databases`, the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateDatabase {
    /// The wishes.
    pub database: NewDatabase,
}

/// Wishes for a new database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewDatabase {
    /// Its name, 1 to 63 bytes, without `@`.
    pub name: String,
    /// The role that will own it.
    pub owner_name: String,
}

/// `PATCH …/databases/{database_name}`, the request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpdateDatabase {
    /// The changes.
    pub database: DatabasePatch,
}

/// Changes to a database; absent fields stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DatabasePatch {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A new owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_name: Option<String>,
}
