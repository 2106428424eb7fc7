//! What the metadata keeps: one plain struct per row of a table.
//!
//! These are not the HTTP types (those live in `dormouse-api`): a row knows secrets and plans that
//! never leave the server.

use dormouse_api::database::DatabaseLocale;
use dormouse_api::endpoint::KeepWarm;
use dormouse_base::{ApiKeyId, BranchId, EndpointId, Lsn, OperationId, ProjectId, Timestamp};
use dormouse_compute::spec::Mode;
use serde::{Deserialize, Serialize};

use super::quota::Plan;

/// Settings that new endpoints of a project start with, and the project's own switches.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProjectSettings {
    /// Seconds without work before an endpoint sleeps; 0 = the server's default, −1 = never.
    pub suspend_timeout_seconds: i64,
    /// Seconds an endpoint stays Paused; `None` = the server's default, 0 = never pause, −1 = for ever.
    pub pause_timeout_seconds: Option<i64>,
    /// Lower end of the compute size, in compute units.
    pub autoscaling_limit_min_cu: Option<f64>,
    /// Upper end of the compute size, in compute units.
    pub autoscaling_limit_max_cu: Option<f64>,
    /// Libraries to preload.
    pub preload_libraries: Vec<String>,
    /// The owner role is a superuser. For trusted, single-tenant use only.
    pub owner_is_superuser: bool,
    /// How far back history is kept, seconds.
    pub history_retention_seconds: Option<i64>,
    /// Addresses that may connect; empty = all.
    pub allowed_ips: Vec<String>,
    /// The list holds for protected branches only.
    pub allowed_ips_protected_branches_only: bool,
    /// How much it may use.
    pub quotas: Plan,
}

/// One tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    /// Its identifier.
    pub id: ProjectId,
    /// Its name; names need not be unique.
    pub name: String,
    /// PostgreSQL major version.
    pub pg_version: u16,
    /// Settings.
    pub settings: ProjectSettings,
    /// Being deleted: nothing may start any more.
    pub deleting: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Where a branch left another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The parent's storage ID.
    pub storage_id: BranchId,
    /// The position.
    pub lsn: Lsn,
    /// Its time, as far as it is known.
    pub at: Option<Timestamp>,
}

/// A named line of history.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// Its public identifier, which never changes.
    pub id: BranchId,
    /// What storage calls it: `id` until it is restored, then another line.
    pub storage_id: BranchId,
    /// Where it comes from; `None` = a root.
    pub parent: Option<Origin>,
    /// Its project.
    pub project_id: ProjectId,
    /// Its name, unique in the project.
    pub name: String,
    /// The project's default branch.
    pub is_default: bool,
    /// Its data exists.
    pub ready: bool,
    /// It cannot be deleted or reset.
    pub protected: bool,
    /// When it is deleted by itself.
    pub expires_at: Option<Timestamp>,
    /// The time to live that `expires_at` was set with, seconds.
    pub ttl_seconds: Option<i64>,
    /// Being deleted: nothing of it starts or is found any more.
    pub deleting: bool,
    /// Being given other data: nothing of it starts until that is done.
    pub resetting: bool,
    /// The branch whose data it got at the last restore.
    pub restored_from: Option<BranchId>,
    /// When that was.
    pub last_reset_at: Option<Timestamp>,
    /// The role that owns what nobody else owns.
    pub owner: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Branch {
    /// A branch that was just wished for: without a parent, not ready.
    #[must_use]
    pub fn new(id: BranchId, project: &ProjectId, name: String, owner: String, now: Timestamp) -> Self {
        Self {
            storage_id: id.clone(),
            id,
            parent: None,
            project_id: project.clone(),
            name,
            is_default: false,
            ready: false,
            protected: false,
            expires_at: None,
            ttl_seconds: None,
            deleting: false,
            resetting: false,
            restored_from: None,
            last_reset_at: None,
            owner,
            created_at: now,
            updated_at: now,
        }
    }
}

/// When an endpoint was last seen doing what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// When it last became Active.
    pub started_at: Option<Timestamp>,
    /// When it last left Active.
    pub suspended_at: Option<Timestamp>,
    /// When it was last seen Active.
    pub last_active: Option<Timestamp>,
}

/// What makes an endpoint quick before anybody comes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Warm {
    /// When it is kept awake.
    pub keep: Vec<KeepWarm>,
    /// Its working set is read soon after each start.
    pub prewarm: bool,
}

/// The compute of a branch.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Its identifier.
    pub id: EndpointId,
    /// What it may do. A branch has at most one that writes.
    pub mode: Mode,
    /// A reader that shows its branch as it was here.
    pub pinned_lsn: Option<Lsn>,
    /// When it is deleted by itself: it was made for one question.
    pub expires_at: Option<Timestamp>,
    /// Being deleted: it does not start any more.
    pub deleting: bool,
    /// Its project.
    pub project_id: ProjectId,
    /// Its branch.
    pub branch_id: BranchId,
    /// Picks the user ID that its processes run as; unique among living endpoints.
    pub slot: u32,
    /// Seconds without work before it sleeps; 0 = the server's default, −1 = never.
    pub suspend_timeout_seconds: i64,
    /// Seconds it stays Paused; `None` = the server's default, 0 = never pause, −1 = for ever.
    pub pause_timeout_seconds: Option<i64>,
    /// Lower end of the compute size, in compute units.
    pub autoscaling_limit_min_cu: f64,
    /// Upper end of the compute size, in compute units.
    pub autoscaling_limit_max_cu: f64,
    /// PostgreSQL settings.
    pub pg_settings: std::collections::BTreeMap<String, String>,
    /// Addresses that may connect, of those that the project allows; empty = all.
    pub allowed_ips: Vec<String>,
    /// What makes it quick before anybody comes.
    pub warm: Warm,
    /// Clients were let in since the roles were last learned, so the roles table may be behind.
    pub roles_stale: bool,
    /// When PostgreSQL itself next wants to run something.
    pub next_wake: Option<Timestamp>,
    /// When it was last seen doing what.
    pub seen: Seen,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Endpoint {
    /// The writer of a branch, with the project's settings. Its slot is chosen when it is stored.
    #[must_use]
    pub fn new(
        id: EndpointId,
        project: &ProjectId,
        branch: &BranchId,
        wishes: &ProjectSettings,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            mode: Mode::ReadWrite,
            pinned_lsn: None,
            expires_at: None,
            deleting: false,
            project_id: project.clone(),
            branch_id: branch.clone(),
            slot: 0,
            suspend_timeout_seconds: wishes.suspend_timeout_seconds,
            pause_timeout_seconds: wishes.pause_timeout_seconds,
            autoscaling_limit_min_cu: wishes.autoscaling_limit_min_cu.unwrap_or(super::defaults::MIN_CU),
            autoscaling_limit_max_cu: wishes.autoscaling_limit_max_cu.unwrap_or(super::defaults::MAX_CU),
            pg_settings: std::collections::BTreeMap::new(),
            allowed_ips: Vec::new(),
            warm: Warm::default(),
            roles_stale: false,
            next_wake: None,
            seen: Seen::default(),
            created_at: now,
            updated_at: now,
        }
    }
}

/// What still has to be done in PostgreSQL to make it agree with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pending {
    /// It is to be created.
    Create,
    /// It is to be changed.
    Alter,
    /// It is to be dropped; until then the row only blocks the name.
    Drop,
}

impl Pending {
    /// The name in the metadata.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Pending::Create => "create",
            Pending::Alter => "alter",
            Pending::Drop => "drop",
        }
    }

    /// Reads the name in the metadata.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Pending::Create, Pending::Alter, Pending::Drop].into_iter().find(|p| p.name() == text)
    }
}

/// A role of a branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its branch.
    pub branch_id: BranchId,
    /// Its name.
    pub name: String,
    /// What PostgreSQL keeps in `rolpassword`.
    pub verifier: Option<String>,
    /// The password, sealed with the machine key, when we know it.
    pub sealed_password: Option<Vec<u8>>,
    /// Whether it may log in.
    pub can_login: bool,
    /// When its password ends.
    pub valid_until: Option<Timestamp>,
    /// The branch's owner: cannot be deleted.
    pub protected: bool,
    /// What still has to be done in PostgreSQL.
    pub pending: Option<Pending>,
    /// The name that PostgreSQL still knows it by.
    pub rename_from: Option<String>,
    /// What PostgreSQL knows it by whatever it is called (`pg_authid.oid`); `None` until that was learnt.
    pub oid: Option<u32>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A database of a branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its number, unique on this server.
    pub id: i64,
    /// Its branch.
    pub branch_id: BranchId,
    /// Its name.
    pub name: String,
    /// The role that owns it.
    pub owner: String,
    /// What still has to be done in PostgreSQL.
    pub pending: Option<Pending>,
    /// The name that PostgreSQL still knows it by.
    pub rename_from: Option<String>,
    /// How it is to sort and compare text when it is made; `None` = as the cluster does, or it is not known.
    #[serde(default)]
    pub locale: Option<Box<DatabaseLocale>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// An API key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its public identifier.
    pub id: ApiKeyId,
    /// What its maker calls it.
    pub name: String,
    /// The first characters of the secret, to find the row and to recognise the key.
    pub prefix: String,
    /// SHA-256 of the secret.
    pub hash: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// The only project that it may use; `None` = every project, and the server.
    pub project_id: Option<ProjectId>,
    /// Who made it, for people.
    pub created_by: String,
    /// The address that it was last used from; empty = unknown.
    pub last_used_from: String,
}

/// Identifies the things that an operation is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The project; the lock is per project.
    pub project_id: ProjectId,
    /// The branch, if one.
    pub branch_id: Option<BranchId>,
    /// The endpoint, if one.
    pub endpoint_id: Option<EndpointId>,
}

/// A durable piece of work.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// Its identifier.
    pub id: OperationId,
    /// What it is about.
    pub target: Target,
    /// Its kind, such as `create_project`; the public `action`.
    pub kind: String,
    /// Where it is.
    pub phase: crate::operation::phase::Phase,
    /// The next step to do (or, when undoing, the last one that was begun).
    pub step: u32,
    /// What the kind needs to know, as JSON.
    pub args: serde_json::Value,
    /// What went wrong last.
    pub error: Option<crate::operation::StepFailure>,
    /// How often a step failed.
    pub failures: u32,
    /// Not before this time.
    pub retry_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}
