//! `import_directory`: a project from the data directory of a stopped cluster.
//!
//! | step | |
//! |---|---|
//! | 0 copy | the directory to a draft beside the endpoint's cluster |
//! | 1 prepare | the draft becomes a cluster of ours; its databases become rows |
//! | 2 place | the draft becomes the endpoint's cluster; one that the disk refused, or may have, is copied and prepared again |
//! | 3 adopt | storage takes it as the beginning of the branch ([`Vault::import`]) |
//! | 4 ready | the branch may be woken; roles are learned at its first wake |
//!
//! Until the last step the branch is not ready, and the keeper lets nobody wake it: a wake would make
//! a cluster from the template in the same place.

use std::path::Path;
use std::sync::Arc;

use dormouse_base::{BranchId, EndpointId, Kind, clock};
use dormouse_compute::import::Imported;
use dormouse_runtime::{failpoint, task};

use super::{StepFailure, Work};
use crate::db::{Db, branches, databases, endpoints, projects};
use crate::directory::Directories;
use crate::keeper::Keeper;
use crate::model::record::{Branch, Database, Endpoint, Operation, Project};
use crate::vault::Vault;

/// The kind's name.
pub const KIND: &str = "import_directory";

/// The argument that names the directory.
pub const DIRECTORY: &str = "data_directory";

/// See the module.
#[derive(Debug, Clone)]
pub struct ImportDirectory {
    /// The metadata.
    pub db: Db,
    /// The clusters.
    pub directories: Directories,
    /// Told when the project does not come to be.
    pub keeper: Keeper,
    /// The storage.
    pub vault: Arc<dyn Vault>,
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn interrupted(error: std::io::Error) -> StepFailure {
    tracing::error!(%error, "import");
    StepFailure::passing(Kind::Internal, "cluster-failed", "the import was interrupted: see the server's log")
}

impl ImportDirectory {
    fn rows(&self, operation: &Operation) -> Result<(Project, Branch, Endpoint), StepFailure> {
        let target = &operation.target;
        let rows = self.db.read("read a new project", |db| {
            let project = projects::get(db, &target.project_id)?;
            let branch = target.branch_id.as_ref().map(|id| branches::get(db, id)).transpose()?.flatten();
            let endpoint =
                target.endpoint_id.as_ref().map(|id| endpoints::get(db, id)).transpose()?.flatten();
            Ok(project.zip(branch).zip(endpoint))
        })?;
        let gone = || {
            StepFailure::fatal(
                Kind::NotFound,
                "project-not-found",
                "the project was removed while it was being made",
            )
        };
        rows.map(|((project, branch), endpoint)| (project, branch, endpoint)).ok_or_else(gone)
    }

    async fn copy(&self, operation: &Operation, endpoint: EndpointId) -> Result<(), StepFailure> {
        let source = operation.args[DIRECTORY].as_str().unwrap_or_default().to_owned();
        let directories = self.directories.clone();
        failpoint::hit("import.copy.before").await.map_err(interrupted)?;
        task::blocking(move || directories.copy_import(&endpoint, Path::new(&source))).await?;
        failpoint::hit("import.copy.after").await.map_err(interrupted)
    }

    async fn prepare(&self, branch: Branch, endpoint: EndpointId, major: u16) -> Result<(), StepFailure> {
        let (directories, owner) = (self.directories.clone(), branch.owner);
        failpoint::hit("import.prepare.before").await.map_err(interrupted)?;
        let found = task::blocking(move || directories.prepare_import(&endpoint, major, &owner)).await?;
        failpoint::hit("import.prepare.after").await.map_err(interrupted)?;
        self.store(branch.id, found).await
    }

    /// The disk refused what an earlier try had made, or nobody heard its answer. Until all of this is done that is known.
    async fn make_again(
        &self,
        operation: &Operation,
        branch: Branch,
        (endpoint, major): (EndpointId, u16),
    ) -> Result<(), StepFailure> {
        self.copy(operation, endpoint.clone()).await?;
        self.prepare(branch, endpoint.clone(), major).await?;
        let directories = self.directories.clone();
        Ok(task::blocking(move || directories.believe_import(&endpoint)).await?)
    }

    /// Rows of the databases that came along; those of an earlier try go.
    async fn store(&self, branch: BranchId, found: Vec<Imported>) -> Result<(), StepFailure> {
        let store = move |db: &rusqlite::Transaction<'_>| {
            for old in databases::all(db, &branch)? {
                databases::delete(db, old.id)?;
            }
            let now = clock::now();
            for Imported { name, owner, .. } in found.into_iter().filter(|database| database.visible) {
                let branch_id = branch.clone();
                let (pending, rename_from) = (None, None);
                let row = Database {
                    id: 0,
                    branch_id,
                    name,
                    owner,
                    pending,
                    rename_from,
                    locale: None,
                    created_at: now,
                    updated_at: now,
                };
                databases::insert(db, &row)?;
            }
            Ok(())
        };
        Ok(self.db.write("store the imported databases", store).await?)
    }

    async fn ready(&self, branch: BranchId, endpoint: EndpointId) -> Result<(), StepFailure> {
        let store = move |db: &rusqlite::Transaction<'_>| {
            // Stale: only PostgreSQL knows the roles that came along, and it is asked at the first wake.
            endpoints::mark_opened(db, &endpoint)?;
            branches::mark_ready(db, &branch, clock::now())
        };
        self.db.write("mark an imported branch ready", store).await?;
        self.keeper.signals().heal.notify_one();
        Ok(())
    }
}

#[async_trait::async_trait]
impl Work for ImportDirectory {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn steps(&self) -> u32 {
        5
    }

    async fn perform(&self, operation: &Operation, step: u32) -> Result<(), StepFailure> {
        let (project, branch, endpoint) = self.rows(operation)?;
        let (directories, id, major) = (self.directories.clone(), endpoint.id.clone(), project.pg_version);
        match step {
            0 => self.copy(operation, id).await?,
            1 => self.prepare(branch, id, major).await?,
            2 => {
                let (directories_too, same) = (directories.clone(), id.clone());
                if !task::blocking(move || directories_too.has_import(&same)).await {
                    self.make_again(operation, branch, (id.clone(), major)).await?;
                }
                failpoint::hit("import.place.before").await.map_err(interrupted)?;
                task::blocking(move || directories.place_import(&id, endpoint.slot)).await?;
                failpoint::hit("import.place.after").await.map_err(interrupted)?;
            }
            3 => {
                failpoint::hit("import.adopt.before").await.map_err(interrupted)?;
                self.vault.import(&project.id, &branch.storage_id, &id, major).await?;
                failpoint::hit("import.adopt.after").await.map_err(interrupted)?;
            }
            _ => self.ready(branch.id, id).await?,
        }
        Ok(())
    }

    async fn undo(&self, operation: &Operation, step: u32) -> Result<(), StepFailure> {
        let project = operation.target.project_id.clone();
        match step {
            3 => self.vault.delete_project(&project).await?,
            0 => {
                if let Some(endpoint) = operation.target.endpoint_id.clone() {
                    let (directories, id) = (self.directories.clone(), endpoint.clone());
                    task::blocking(move || directories.remove(&id)).await?;
                    self.db.write("remove a project", move |db| projects::delete(db, &project)).await?;
                    self.keeper.forget(&endpoint);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
