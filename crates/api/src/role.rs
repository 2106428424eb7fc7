//! Role: a PostgreSQL role of a branch.

use dormouse_base::{BranchId, Secret, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Operation, sealed};

/// A role as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Role {
    /// Its branch.
    pub branch_id: BranchId,
    /// Its name.
    pub name: String,
    /// Its password; only in the reply that made or reset it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "sealed::optional")]
    #[schemars(with = "Option<String>")]
    pub password: Option<Secret<String>>,
    /// It cannot be deleted.
    pub protected: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a field of it changed last.
    pub updated_at: Timestamp,
    /// It cannot log in *(extension)*.
    #[serde(default)]
    pub no_login: bool,
}

/// `GET …/roles`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Roles {
    /// All of them, without passwords.
    pub roles: Vec<Role>,
}

/// `GET …/roles/{role_name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleReply {
    /// The role.
    pub role: Role,
}

/// `POST …/roles` (201), `DELETE …/roles/{role_name}` and `POST …/reset_password`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleChanged {
    /// The role after the change; with its password when that is new.
    pub role: Role,
    /// The work that carries the change out.
    pub operations: Vec<Operation>,
}

/// `GET …/roles/{role_name}/reveal_password`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RolePassword {
    /// The password in the clear.
    #[serde(with = "sealed::required")]
    #[schemars(with = "String")]
    pub password: Secret<String>,
}

/// `POST …/roles`, the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateRole {
    /// The wishes.
    pub role: NewRole,
}

/// Wishes for a new role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewRole {
    /// Its name, 1 to 63 bytes.
    pub name: String,
    /// It cannot log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_login: Option<bool>,
}
