//! Project: one tenant, with a PostgreSQL major version, branches, roles and settings.

use dormouse_base::{BranchId, ProjectId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quota::NeonQuota;
use crate::used::ProjectUsed;
use crate::{Branch, ConnectionUri, Database, Endpoint, Operation, Page, Role};

/// `region_id` of everything on this server.
pub const REGION: &str = "local";

/// `platform_id` of everything on this server.
pub const PLATFORM: &str = "dormouse";

/// A project as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Project {
    /// The project.
    pub id: ProjectId,
    /// Its name; names need not be unique.
    pub name: String,
    /// PostgreSQL major version.
    pub pg_version: u16,
    /// Always [`REGION`].
    pub region_id: String,
    /// Always [`PLATFORM`].
    pub platform_id: String,
    /// Always [`crate::endpoint::PROVISIONER`].
    #[serde(default)]
    pub provisioner: String,
    /// Who made it; always [`crate::branch::CREATION_SOURCE`].
    #[serde(default)]
    pub creation_source: String,
    /// Always [`crate::user::LOGIN`].
    #[serde(default)]
    pub owner_id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a field of it changed last.
    pub updated_at: Timestamp,
    /// Passwords are kept (encrypted), so they can be revealed.
    pub store_passwords: bool,
    /// The domain that endpoint host names end with.
    pub proxy_host: String,
    /// How far back in time a branch can be made; 0 = only from now.
    pub history_retention_seconds: i64,
    /// What a new endpoint of this project starts with.
    pub default_endpoint_settings: EndpointDefaults,
    /// Settings of the whole project.
    pub settings: ProjectSettings,
    /// The branch that is meant when none is named *(extension)*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_branch_id: Option<BranchId>,
    /// What it used in the month that runs.
    #[serde(flatten)]
    pub used: ProjectUsed,
}

/// What a new endpoint starts with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointDefaults {
    /// Idle time before sleep, seconds; 0 = the server's default, −1 = never.
    pub suspend_timeout_seconds: i64,
    /// Smallest size, compute units (1 CU = 1 vCPU and 4 GiB).
    pub autoscaling_limit_min_cu: f64,
    /// Largest size, compute units.
    pub autoscaling_limit_max_cu: f64,
    /// Time paused before it stops, seconds; 0 = never pause, −1 = stay paused *(extension)*.
    pub pause_timeout_seconds: i64,
}

/// Changes to [`EndpointDefaults`]; absent fields stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointDefaultsPatch {
    /// See [`EndpointDefaults::suspend_timeout_seconds`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend_timeout_seconds: Option<i64>,
    /// See [`EndpointDefaults::autoscaling_limit_min_cu`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_min_cu: Option<f64>,
    /// See [`EndpointDefaults::autoscaling_limit_max_cu`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_max_cu: Option<f64>,
    /// See [`EndpointDefaults::pause_timeout_seconds`] *(extension)*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_timeout_seconds: Option<i64>,
}

/// Settings of the whole project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectSettings {
    /// Libraries that every compute of the project preloads.
    #[serde(default)]
    pub preload_libraries: PreloadLibraries,
    /// The owner role is a PostgreSQL superuser: for trusted, single-tenant use *(extension)*.
    #[serde(default)]
    pub owner_is_superuser: bool,
    /// Client addresses that may connect.
    #[serde(default)]
    pub allowed_ips: AllowedIps,
    /// Limits of a month that suspend; see also `GET …/quotas`.
    #[serde(default)]
    pub quota: NeonQuota,
}

/// The value of `allowed_ips`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AllowedIps {
    /// Addresses, ranges `first-last` and networks `base/bits`; empty = every address.
    #[serde(default)]
    pub ips: Vec<String>,
    /// The list holds for protected branches only.
    #[serde(default)]
    pub protected_branches_only: bool,
}

/// Changes to [`AllowedIps`]; absent fields stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AllowedIpsPatch {
    /// Replaces the whole list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ips: Option<Vec<String>>,
    /// See [`AllowedIps::protected_branches_only`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_branches_only: Option<bool>,
}

/// Changes to [`ProjectSettings`]; absent fields stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectSettingsPatch {
    /// See [`ProjectSettings::preload_libraries`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preload_libraries: Option<PreloadLibraries>,
    /// See [`ProjectSettings::owner_is_superuser`] *(extension)*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_is_superuser: Option<bool>,
    /// See [`ProjectSettings::allowed_ips`]; new connections go by it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_ips: Option<AllowedIpsPatch>,
    /// Limits of a month that suspend. Absent fields stay as they are; zero takes a limit away. Only a key for every
    /// project may send it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<NeonQuota>,
}

/// The value of `preload_libraries`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreloadLibraries {
    /// Library names, such as `pg_stat_statements`.
    #[serde(default)]
    pub enabled_libraries: Vec<String>,
}

/// `GET /projects`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Projects {
    /// This page.
    pub projects: Vec<Project>,
    /// Absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagination: Option<Page>,
}

/// `GET` and `DELETE /projects/{project_id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectReply {
    /// The project.
    pub project: Project,
}

/// `PATCH /projects/{project_id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectChanged {
    /// The project after the change.
    pub project: Project,
    /// The work that carries the change out.
    pub operations: Vec<Operation>,
}

/// `POST /projects`, the reply (201).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CreatedProject {
    /// The project.
    pub project: Project,
    /// Its first branch.
    pub branch: Branch,
    /// That branch's endpoint.
    pub endpoints: Vec<Endpoint>,
    /// That branch's roles, with their passwords.
    pub roles: Vec<Role>,
    /// That branch's databases.
    pub databases: Vec<Database>,
    /// The work that made all this.
    pub operations: Vec<Operation>,
    /// How to connect.
    pub connection_uris: Vec<ConnectionUri>,
}

/// `POST /projects`, the request. Every field has a default, `{"project":{}}` is enough.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CreateProject {
    /// The wishes.
    pub project: NewProject,
}

/// Wishes for a new project.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NewProject {
    /// Its name; two random words when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// PostgreSQL major version; 18, else the newest installed, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pg_version: Option<u16>,
    /// Names in the first branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<NewProjectBranch>,
    /// How far back in time a branch can be made, seconds; 7 days when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_retention_seconds: Option<i64>,
    /// What its endpoints start with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_endpoint_settings: Option<EndpointDefaultsPatch>,
    /// Settings of the whole project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<ProjectSettingsPatch>,
}

/// Wishes for the first branch of a new project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewProjectBranch {
    /// The branch's name; `main` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The first database; `app` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_name: Option<String>,
    /// The role that owns it; `<database>_owner` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_name: Option<String>,
}

/// `PATCH /projects/{project_id}`, the request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UpdateProject {
    /// The changes.
    pub project: ProjectPatch,
}

/// Changes to a project; absent fields stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectPatch {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How far back in time a branch can be made, seconds (at most 30 days); 0 = only from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_retention_seconds: Option<i64>,
    /// What new endpoints start with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_endpoint_settings: Option<EndpointDefaultsPatch>,
    /// Settings of the whole project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<ProjectSettingsPatch>,
}
