//! `create_project`: the template of its version, and its root branch in the store; with the end of the operation it
//! is ready. Its cluster is made at the first wake, from a spare: most projects of a test suite or a trial are
//! never used.
//!
//! The rows (project, branch, endpoint, roles, database) are written together with the operation,
//! so names and passwords exist at once; the branch is `init` until the end.

use std::sync::Arc;

use dormouse_base::BranchId;
use dormouse_runtime::task;

use super::{Seal, StepFailure, Work};
use crate::db::{Db, branches, projects, settings};
use crate::directory::{Directories, DirectoryError};
use crate::keeper::Keeper;
use crate::meta;
use crate::model::record::Operation;
use crate::vault::Vault;

/// The kind's name.
pub const KIND: &str = "create_project";

/// See the module.
#[derive(Debug, Clone)]
pub struct CreateProject {
    /// The metadata.
    pub db: Db,
    /// The clusters.
    pub directories: Directories,
    /// The store.
    pub vault: Arc<dyn Vault>,
    /// Told when the project does not come to be.
    pub keeper: Keeper,
}

impl CreateProject {
    fn version(&self, operation: &Operation) -> Result<u16, StepFailure> {
        let project =
            self.db.read("read a new project", |db| projects::get(db, &operation.target.project_id))?;
        match project {
            Some(project) => Ok(project.pg_version),
            None => Err(StepFailure::fatal(
                dormouse_base::Kind::NotFound,
                "project-not-found",
                "the project was removed while it was being made",
            )),
        }
    }
}

impl CreateProject {
    async fn root(&self, operation: &Operation, branch: &BranchId, major: u16) -> Result<(), StepFailure> {
        let project = &operation.target.project_id;
        let found = self.db.read("read a new project", |db| {
            let (Some(row), Some(root)) = (projects::get(db, project)?, branches::get(db, branch)?) else {
                return Ok(None);
            };
            Ok(Some((meta::project(db, &row)?, meta::branch(db, &root)?)))
        })?;
        let Some((of_project, of_root)) = found else { return Err(StepFailure::gone("project")) };
        let line = of_root.storage_id.clone();
        self.vault.create_root(project, &line, major, super::as_json(&of_root)).await?;
        Ok(self.vault.set_meta(project, None, super::as_json(&of_project)).await?)
    }
}

#[async_trait::async_trait]
impl Work for CreateProject {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn steps(&self) -> u32 {
        2
    }

    async fn perform(&self, operation: &Operation, step: u32) -> Result<(), StepFailure> {
        let major = self.version(operation)?;
        let directories = self.directories.clone();
        match (step, &operation.target.branch_id) {
            (0, ..) => {
                let made = move || {
                    directories.template(major)?;
                    Ok::<_, DirectoryError>(directories.spares(major).is_empty())
                };
                // One that is made now competes with the first wake; with others in stock that can wait.
                if task::blocking(made).await? {
                    self.keeper.signals().spares.notify_one();
                }
            }
            (1, Some(branch)) => self.root(operation, branch, major).await?,
            _ => {}
        }
        Ok(())
    }

    fn seal(&self, operation: &Operation) -> Option<Seal> {
        super::ready(operation)
    }

    async fn undo(&self, operation: &Operation, step: u32) -> Result<(), StepFailure> {
        let project = operation.target.project_id.clone();
        if step == 1 {
            self.vault.delete_project(&project).await?;
        }
        if step > 0 {
            return Ok(());
        }
        self.db
            .write("remove a project", move |db| {
                if settings::get(db, settings::DEFAULT_PROJECT)?.as_deref() == Some(project.as_str()) {
                    settings::delete(db, settings::DEFAULT_PROJECT)?;
                }
                projects::delete(db, &project)
            })
            .await?;
        if let Some(endpoint) = &operation.target.endpoint_id {
            self.keeper.forget(endpoint);
        }
        Ok(())
    }
}
