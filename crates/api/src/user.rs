//! User: who the API key belongs to. There is one user per server for now.

use dormouse_base::ProjectId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `login` of the one user.
pub const LOGIN: &str = "local";

/// `plan` of the one user: nobody sends bills.
pub const PLAN: &str = "self_hosted";

/// `GET /users/me`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// The user.
    pub id: String,
    /// Unknown here, so empty; `neonctl` prints it.
    pub email: String,
    /// Always [`LOGIN`].
    pub login: String,
    /// A name for people.
    pub name: String,
    /// Empty; the name is in `name`.
    #[serde(default)]
    pub last_name: String,
    /// There are no pictures here.
    #[serde(default)]
    pub image: String,
    /// The most projects that this user may have.
    pub projects_limit: i64,
    /// The most branches of one project.
    #[serde(default)]
    pub branches_limit: i64,
    /// The largest compute; 0 = no limit.
    #[serde(default)]
    pub max_autoscaling_limit: f64,
    /// How long endpoints may be active; 0 = no limit.
    #[serde(default)]
    pub active_seconds_limit: i64,
    /// Always empty.
    #[serde(default)]
    pub auth_accounts: Vec<serde_json::Value>,
    /// Always [`PLAN`].
    #[serde(default)]
    pub plan: String,
}

/// `GET /users/me/organizations`: there are none here, but `neonctl` asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Organizations {
    /// Always empty.
    pub organizations: Vec<serde_json::Value>,
}

/// `GET /auth`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuthDetails {
    /// Always [`LOGIN`].
    pub account_id: String,
    /// How the request proved who it comes from.
    pub auth_method: AuthMethod,
    /// The ID of the key, or the subject of the token.
    pub auth_data: String,
    /// The only project that the caller may use *(extension)*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
}

/// How a request proves who it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// An API key.
    ApiKeyOrg,
    /// A token of an identity provider.
    Oauth,
}

/// `GET /regions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Regions {
    /// The one region.
    pub regions: Vec<Region>,
}

/// A place where projects can be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Region {
    /// Always [`crate::project::REGION`].
    pub region_id: String,
    /// For people.
    pub name: String,
    /// It is the one that is meant when none is named.
    pub default: bool,
    /// Unknown, so empty.
    pub geo_lat: String,
    /// Unknown, so empty.
    pub geo_long: String,
}
