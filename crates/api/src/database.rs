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
    /// How it sorts and compares text; as the project's other databases when absent. It cannot be changed
    /// later *(extension)*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<DatabaseLocale>,
}

/// How a database sorts and compares text, as `CREATE DATABASE` takes it. What is absent is as in the project's
/// other databases. The encoding is always UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DatabaseLocale {
    /// Whose rules these are.
    pub provider: LocaleProvider,
    /// The locale, such as `de-AT` (`icu`), `de_AT.UTF-8` (`libc`) or `C` (`builtin`). With `libc` it stands for
    /// both `lc_collate` and `lc_ctype`; the others need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The operating system's locale for sorting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lc_collate: Option<String>,
    /// The operating system's locale for kinds of characters, such as upper and lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lc_ctype: Option<String>,
    /// Further rules of sorting, with `icu` and PostgreSQL 16 and newer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icu_rules: Option<String>,
}

/// Whose rules of text a database follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LocaleProvider {
    /// The operating system of the server's machine.
    Libc,
    /// The ICU library, if PostgreSQL was built with it.
    Icu,
    /// PostgreSQL itself, from 17 on.
    Builtin,
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
