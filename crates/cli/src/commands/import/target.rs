//! The project that things are imported into, through the public API.

use std::time::Duration;

use dormouse_api::connection::ConnectionUriQuery;
use dormouse_api::database::{CreateDatabase, NewDatabase};
use dormouse_api::endpoint::EndpointType;
use dormouse_api::project::{CreateProject, NewProject, NewProjectBranch};
use dormouse_api::{Project, client};
use dormouse_base::BranchId;

use super::check::Making;
use super::databases::Pair;
use super::program::Login;
use crate::commands::psql;
use crate::connect::http::Session;
use crate::error::{Class, Error};
use crate::resolve;

/// The server's code for a version that it does not have.
const NOT_INSTALLED: &str = "version-not-installed";

/// How often the list of databases is read after one was removed, until it is gone.
const GONE_TRIES: u32 = 20;

/// The pause between these tries.
const GONE_PAUSE: Duration = Duration::from_millis(100);

/// A project with a branch.
#[derive(Debug)]
pub(super) struct Target {
    session: Session,
    pub(super) project: Project,
    pub(super) branch: BranchId,
    /// The role that owns the branch.
    pub(super) owner: String,
    /// Made by this run.
    pub(super) made: bool,
}

impl Target {
    /// Makes a project of the first of these versions that the server has.
    pub(super) async fn make(
        session: Session,
        name: Option<String>,
        versions: &[u16],
        first: &Pair,
    ) -> Result<Self, Error> {
        let mut refused = Error::failed("there is no version to choose from");
        for version in versions {
            let branch =
                NewProjectBranch { database_name: Some(first.target.clone()), ..NewProjectBranch::default() };
            let project = NewProject {
                name: name.clone(),
                pg_version: Some(*version),
                branch: Some(branch),
                ..NewProject::default()
            };
            match session.call(client::project::create(&CreateProject { project })).await {
                Ok(made) => {
                    let owner = made.roles.first().map(|role| role.name.clone()).unwrap_or_default();
                    return Ok(Self {
                        session,
                        project: made.project,
                        branch: made.branch.id,
                        owner,
                        made: true,
                    });
                }
                Err(error) if error.code() == Some(NOT_INSTALLED) => refused = error,
                Err(error) => return Err(error),
            }
        }
        Err(refused
            .hint("A project is never older than its source. `scripts/postgres` installs newer versions."))
    }

    /// An existing project; its version must be one of these.
    pub(super) async fn existing(session: Session, given: &str, versions: &[u16]) -> Result<Self, Error> {
        let place = resolve::branch(&session, Some(given), None).await?;
        let version = place.project.pg_version;
        if !versions.contains(&version) {
            return Err(Error::usage(format!(
                "project `{}` is PostgreSQL {version}, which is not what this import needs",
                place.project.name
            ))
            .hint("A project is never older than its source."));
        }
        let roles = session.call(client::role::list(&place.project.id, &place.branch.id)).await?.roles;
        let owner = roles.into_iter().find(|role| role.protected).map(|role| role.name);
        let owner = owner.ok_or_else(|| Error::failed("the project has no owner role"))?;
        Ok(Self { session, project: place.project, branch: place.branch.id, owner, made: false })
    }

    /// Removes what this run made.
    pub(super) async fn take_back(&self) {
        if self.made {
            // The error that led here is the one to show.
            let _left = self.session.call(client::project::delete(&self.project.id)).await;
        }
    }

    /// The names of its databases.
    pub(super) async fn databases(&self) -> Result<Vec<String>, Error> {
        let list = self.session.call(client::database::list(&self.project.id, &self.branch)).await?;
        Ok(list.databases.into_iter().map(|database| database.name).collect())
    }

    /// Makes sure that the database is there, as it should be.
    pub(super) async fn database(&self, name: &str, making: &Making) -> Result<(), Error> {
        if self.has(name).await? {
            if !making.replace {
                return Ok(());
            }
            // Asleep it would only be marked, and its name would stay taken.
            self.wake().await?;
            self.session.call(client::database::delete(&self.project.id, &self.branch, name)).await?;
            for _ in 0..GONE_TRIES {
                if !self.has(name).await? {
                    break;
                }
                tokio::time::sleep(GONE_PAUSE).await;
            }
        } else if making.locale.is_some() {
            // Asleep it would be made later, and nobody would hear what PostgreSQL says of the locale.
            self.wake().await?;
        }
        let database = NewDatabase {
            name: name.to_owned(),
            owner_name: self.owner.clone(),
            locale: making.locale.clone(),
        };
        self.session
            .call(client::database::create(&self.project.id, &self.branch, &CreateDatabase { database }))
            .await?;
        Ok(())
    }

    async fn has(&self, name: &str) -> Result<bool, Error> {
        Ok(self.databases().await?.iter().any(|known| known == name))
    }

    async fn wake(&self) -> Result<(), Error> {
        let call = client::endpoint::list_of_branch(&self.project.id, &self.branch);
        let endpoints = self.session.call(call).await?.endpoints;
        if let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.kind == EndpointType::ReadWrite) {
            self.session.call(client::endpoint::start(&self.project.id, &endpoint.id)).await?;
        }
        Ok(())
    }

    /// The names of its roles.
    pub(super) async fn roles(&self) -> Result<Vec<String>, Error> {
        let list = self.session.call(client::role::list(&self.project.id, &self.branch)).await?;
        Ok(list.roles.into_iter().map(|role| role.name).collect())
    }

    /// Makes a role; the server gives it a password that nobody has seen.
    pub(super) async fn make_role(&self, name: &str, login: bool) -> Result<(), Error> {
        let role = dormouse_api::role::NewRole { name: name.to_owned(), no_login: (!login).then_some(true) };
        let call =
            client::role::create(&self.project.id, &self.branch, &dormouse_api::role::CreateRole { role });
        self.session.call(call).await.map(drop)
    }

    /// The owner's connection string, with the password.
    pub(super) async fn uri(&self, database: &str) -> Result<dormouse_base::Secret<String>, Error> {
        let query = ConnectionUriQuery {
            database_name: database.to_owned(),
            role_name: self.owner.clone(),
            branch_id: Some(self.branch.clone()),
            endpoint_id: None,
            pooled: None,
        };
        Ok(self.session.call(client::project::connection_uri(&self.project.id, &query)).await?.uri)
    }

    /// How the owner reaches a database.
    pub(super) async fn login(&self, database: &str) -> Result<Login, Error> {
        let plan = psql::plan(&self.uri(database).await?, psql::resolves)?;
        Ok(Login {
            connection: plan.connection,
            password: plan.password,
            needs_loopback: plan.needs_loopback,
            ours: true,
        })
    }

    /// What to do after a failure: what was made stays, so that the import can be tried again.
    pub(super) fn how_to_go_on(&self, error: Error) -> Error {
        if error.class() == Class::Usage {
            return error;
        }
        error
            .hint(format!(
                "Project `{}` ({}) has what was imported so far.",
                self.project.name, self.project.id
            ))
            .hint(format!("To try again: the same command with `--into {} --clean`.", self.project.id))
            .hint(format!("To remove it: `dormouse project delete {}`.", self.project.id))
    }
}
