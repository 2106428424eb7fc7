//! From a request for a project to all its rows, checked.

use dormouse_base::{BranchId, EndpointId, ProjectId, Timestamp};
use dormouse_compute::postgres::discover::Installations;
use dormouse_pgwire::auth::scram::Verifier;
use rusqlite::Transaction;

use crate::db::{branches, databases, endpoints, operations, projects, roles};
use crate::model::record::{
    Branch, Database, Endpoint, Operation, Pending, Project, ProjectSettings, Role, Target,
};
use crate::model::{Refused, defaults, name, settings};
use crate::operation::{create_project, draft};
use crate::secrets::Secrets;

/// The wishes for a project, all optional.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// The project's name.
    pub name: Option<String>,
    /// PostgreSQL major version.
    pub pg_version: Option<u16>,
    /// The first branch's name.
    pub branch: Option<String>,
    /// The first database.
    pub database: Option<String>,
    /// The owner role.
    pub role: Option<String>,
    /// Settings.
    pub settings: ProjectSettings,
}

/// All rows of a new project.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The project.
    pub project: Project,
    /// Its first branch.
    pub branch: Branch,
    /// That branch's endpoint; its slot is chosen when it is stored.
    pub endpoint: Endpoint,
    /// The owner role.
    pub role: Role,
    /// The first database; its number is chosen when it is stored.
    pub database: Database,
    /// What makes it.
    pub operation: Operation,
    /// The owner's password.
    pub password: dormouse_base::Secret<String>,
}

/// A fresh SCRAM verifier for a password, as PostgreSQL stores it. Takes about a millisecond.
#[must_use]
pub fn verifier_of(password: &str) -> String {
    Verifier::generate(password).to_string()
}

impl Wish {
    /// Checks the wishes and fills in the defaults.
    ///
    /// # Errors
    /// When a name, a version or a setting is not allowed.
    pub fn plan(self, installed: &Installations, secrets: &Secrets, now: Timestamp) -> Result<Plan, Refused> {
        let project_name = self.name.unwrap_or_else(defaults::project_name);
        let branch_name = self.branch.unwrap_or_else(|| defaults::BRANCH.to_owned());
        let database_name = self.database.unwrap_or_else(|| defaults::DATABASE.to_owned());
        let owner = self.role.unwrap_or_else(|| defaults::owner_of(&database_name));
        name::label("project", &project_name)?;
        name::branch(&branch_name)?;
        name::database(&database_name)?;
        name::role(&owner)?;
        let pg_version = choose_version(self.pg_version, installed)?;
        check_settings(&self.settings)?;

        let (project_id, branch_id, endpoint_id) =
            (ProjectId::generate(), BranchId::generate(), EndpointId::generate());
        let password = dormouse_base::Secret::new(defaults::password());
        let renamed = |name: &str, template: &str| (name != template).then(|| template.to_owned());
        let (created_at, updated_at) = (now, now);
        let target = Target {
            project_id: project_id.clone(),
            branch_id: Some(branch_id.clone()),
            endpoint_id: Some(endpoint_id.clone()),
        };
        Ok(Plan {
            endpoint: Endpoint::new(endpoint_id, &project_id, &branch_id, &self.settings, now),
            branch: Branch {
                is_default: true,
                ..Branch::new(branch_id.clone(), &project_id, branch_name, owner.clone(), now)
            },
            role: Role {
                branch_id: branch_id.clone(),
                name: owner.clone(),
                verifier: Some(verifier_of(password.expose())),
                sealed_password: Some(secrets.seal(&branch_id, &owner, password.expose())),
                can_login: true,
                valid_until: None,
                protected: true,
                pending: Some(Pending::Create),
                rename_from: renamed(&owner, defaults::TEMPLATE_OWNER),
                oid: None,
                created_at,
                updated_at,
            },
            database: Database {
                id: 0,
                branch_id,
                rename_from: renamed(&database_name, defaults::DATABASE),
                // The template's database with the template's name needs nothing done to it.
                pending: renamed(&database_name, defaults::DATABASE).map(|_| Pending::Create),
                name: database_name,
                owner,
                locale: None,
                created_at,
                updated_at,
            },
            project: Project {
                id: project_id,
                name: project_name,
                pg_version,
                settings: self.settings,
                deleting: false,
                created_at,
                updated_at,
            },
            operation: draft(create_project::KIND, target, serde_json::json!({})),
            password,
        })
    }
}

impl Plan {
    /// Stores all rows and the operation, in the caller's transaction.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn store(&mut self, db: &Transaction<'_>) -> rusqlite::Result<()> {
        self.endpoint.slot = endpoints::free_slot(db)?;
        projects::insert(db, &self.project)?;
        branches::insert(db, &self.branch)?;
        endpoints::insert(db, &self.endpoint)?;
        roles::put(db, &self.role)?;
        self.database.id = databases::insert(db, &self.database)?;
        operations::insert(db, &self.operation)
    }
}

/// Checks a project's settings.
///
/// # Errors
/// When a time-out, a size or a library is not allowed.
pub fn check_settings(wishes: &ProjectSettings) -> Result<(), Refused> {
    settings::timeout("suspend_timeout_seconds", wishes.suspend_timeout_seconds)?;
    settings::timeout("pause_timeout_seconds", wishes.pause_timeout_seconds.unwrap_or(0))?;
    settings::size(
        wishes.autoscaling_limit_min_cu.unwrap_or(defaults::MIN_CU),
        wishes.autoscaling_limit_max_cu.unwrap_or(defaults::MAX_CU),
    )?;
    settings::history(wishes.history_retention_seconds.unwrap_or(0))?;
    wishes.quotas.check()?;
    settings::preload(&wishes.preload_libraries)
}

/// The version that was asked for; else 18; else the newest there is.
fn choose_version(asked: Option<u16>, installed: &Installations) -> Result<u16, Refused> {
    let all: Vec<String> = installed.iter().map(|i| i.major.to_string()).collect();
    let choice = match asked {
        Some(major) => installed.get(major),
        None => installed.get(defaults::PG_VERSION).or_else(|| installed.newest()),
    };
    choice.map(|i| i.major).ok_or_else(|| match asked {
        Some(major) if !all.is_empty() => Refused::new(
            "version-not-installed",
            format!("PostgreSQL {major} is not installed: install it or choose one of {}", all.join(", ")),
        ),
        _ => Refused::new(
            "version-not-installed",
            "no usable PostgreSQL (15 to 18) is installed: run scripts/postgres or name one with --pg-dir",
        ),
    })
}
