//! User: who the API key belongs to. There is one user per server for now.

use serde::{Deserialize, Serialize};

/// `login` of the one user.
pub const LOGIN: &str = "local";

/// `GET /users/me`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The user.
    pub id: String,
    /// Unknown here, so empty; `neonctl` prints it.
    pub email: String,
    /// Always [`LOGIN`].
    pub login: String,
    /// A name for people.
    pub name: String,
    /// The most projects that this user may have.
    pub projects_limit: i64,
}

/// `GET /users/me/organizations`: there are none here, but `neonctl` asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organizations {
    /// Always empty.
    pub organizations: Vec<serde_json::Value>,
}
