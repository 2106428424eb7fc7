//! What storage keeps beside the data, so that a lost metadata file can be made again from the bucket.
//!
//! These structs are an on-disk format: fields are added with a default, never renamed; [`VERSION`] grows
//! when an old reader would misunderstand. Nothing secret is in here but verifiers, which PostgreSQL's own
//! files (and so the bucket) hold as well; sealed passwords and slots stay out.
//! `control::meta` fills them in and reads them back.

use std::collections::BTreeMap;

use dormouse_api::database::DatabaseLocale;
use dormouse_base::{BranchId, EndpointId, Lsn, ProjectId, Timestamp};
use serde::{Deserialize, Serialize};

use super::record::{Origin, Pending, ProjectSettings, Warm};

/// The version that is written.
pub const VERSION: u32 = 1;

/// A project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProjectMeta {
    /// The version of this format.
    pub version: u32,
    /// The project.
    pub id: ProjectId,
    /// Its name.
    pub name: String,
    /// PostgreSQL major version.
    pub pg_version: u16,
    /// Settings.
    #[serde(default)]
    pub settings: ProjectSettings,
    /// The public ID of the default branch.
    #[serde(default)]
    pub default_branch: Option<BranchId>,
    /// It is the project that a route without a project means.
    #[serde(default)]
    pub is_default: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A branch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BranchMeta {
    /// The version of this format.
    pub version: u32,
    /// Its public ID.
    pub id: BranchId,
    /// The line that it is on.
    pub storage_id: BranchId,
    /// Its name.
    pub name: String,
    /// Where it comes from; `None` = a root.
    #[serde(default)]
    pub parent: Option<Origin>,
    /// It cannot be deleted or reset.
    #[serde(default)]
    pub protected: bool,
    /// When it is deleted by itself.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// The time to live that this was set with, seconds.
    #[serde(default)]
    pub ttl_seconds: Option<i64>,
    /// The branch whose data it got at the last restore.
    #[serde(default)]
    pub restored_from: Option<BranchId>,
    /// When that was.
    #[serde(default)]
    pub last_reset_at: Option<Timestamp>,
    /// A restore made this line and was not over: another line with this ID is the branch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restoring: bool,
    /// The role that owns what nobody else owns.
    pub owner: String,
    /// Its endpoints.
    #[serde(default)]
    pub endpoints: Vec<EndpointMeta>,
    /// Its roles as they were last known.
    #[serde(default)]
    pub roles: Vec<RoleMeta>,
    /// Its databases as they were last known.
    #[serde(default)]
    pub databases: Vec<DatabaseMeta>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointMeta {
    /// The endpoint.
    pub id: EndpointId,
    /// It reads only.
    #[serde(default)]
    pub read_only: bool,
    /// It shows its branch as it was here.
    #[serde(default)]
    pub pinned_lsn: Option<Lsn>,
    /// Seconds without work before it sleeps; 0 = the server's default, −1 = never.
    pub suspend_timeout_seconds: i64,
    /// Seconds it stays Paused; `None` = the server's default.
    #[serde(default)]
    pub pause_timeout_seconds: Option<i64>,
    /// Lower end of its size, compute units.
    pub min_cu: f64,
    /// Upper end of its size, compute units.
    pub max_cu: f64,
    /// PostgreSQL settings.
    #[serde(default)]
    pub pg_settings: BTreeMap<String, String>,
    /// Addresses that may connect; empty = all.
    #[serde(default)]
    pub allowed_ips: Vec<String>,
    /// What makes it quick before anybody comes.
    #[serde(default)]
    pub warm: Warm,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleMeta {
    /// Its name.
    pub name: String,
    /// What PostgreSQL keeps in `rolpassword`.
    #[serde(default)]
    pub verifier: Option<String>,
    /// Whether it may log in.
    pub can_login: bool,
    /// When its password ends.
    #[serde(default)]
    pub valid_until: Option<Timestamp>,
    /// It owns the branch.
    #[serde(default)]
    pub protected: bool,
    /// What still has to be done in PostgreSQL.
    #[serde(default)]
    pub pending: Option<Pending>,
    /// The name that PostgreSQL still knows it by.
    #[serde(default)]
    pub rename_from: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseMeta {
    /// Its name.
    pub name: String,
    /// The role that owns it.
    pub owner: String,
    /// What still has to be done in PostgreSQL.
    #[serde(default)]
    pub pending: Option<Pending>,
    /// The name that PostgreSQL still knows it by.
    #[serde(default)]
    pub rename_from: Option<String>,
    /// How it is to sort and compare text when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<Box<DatabaseLocale>>,
    /// When it was made.
    pub created_at: Timestamp,
}
