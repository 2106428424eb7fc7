//! `create_project`: the template of its version, the cluster of its first endpoint, then ready.
//!
//! The rows (project, branch, endpoint, roles, database) are written together with the operation,
//! so names and passwords exist at once; the branch is `init` until the last step.

use dormouse_base::clock;
use dormouse_runtime::task;

use super::{StepFailure, Work};
use crate::db::{Db, branches, endpoints, projects, settings};
use crate::directory::Directories;
use crate::keeper::Keeper;
use crate::model::record::Operation;

/// The kind's name.
pub const KIND: &str = "create_project";

/// See the module.
#[derive(Debug, Clone)]
pub struct CreateProject {
    /// The metadata.
    pub db: Db,
    /// The clusters.
    pub directories: Directories,
    /// Told when the project does not come to be.
    pub keeper: Keeper,
}

impl CreateProject {
    fn facts(&self, operation: &Operation) -> Result<(u16, u32), StepFailure> {
        let (project, endpoint) = self.db.read("read a new project", |db| {
            let endpoint = match &operation.target.endpoint_id {
                Some(id) => endpoints::get(db, id)?,
                None => None,
            };
            Ok((projects::get(db, &operation.target.project_id)?, endpoint))
        })?;
        match (project, endpoint) {
            (Some(project), Some(endpoint)) => Ok((project.pg_version, endpoint.slot)),
            _ => Err(StepFailure::fatal(
                dormouse_base::Kind::NotFound,
                "project-not-found",
                "the project was removed while it was being made",
            )),
        }
    }
}

#[async_trait::async_trait]
impl Work for CreateProject {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn steps(&self) -> u32 {
        3
    }

    async fn perform(&self, operation: &Operation, step: u32) -> Result<(), StepFailure> {
        let (major, slot) = self.facts(operation)?;
        let directories = self.directories.clone();
        match (step, &operation.target.endpoint_id, &operation.target.branch_id) {
            (0, ..) => task::blocking(move || directories.template(major).map(drop)).await?,
            (1, Some(endpoint), _) => {
                let endpoint = endpoint.clone();
                task::blocking(move || directories.ensure(&endpoint, major, slot).map(drop)).await?;
                self.keeper.signals().spares.notify_one();
            }
            (_, _, Some(branch)) => {
                let branch = branch.clone();
                self.db
                    .write("mark a branch ready", move |db| branches::mark_ready(db, &branch, clock::now()))
                    .await?;
            }
            _ => {}
        }
        Ok(())
    }

    async fn undo(&self, operation: &Operation, step: u32) -> Result<(), StepFailure> {
        match (step, &operation.target.endpoint_id) {
            (1, Some(endpoint)) => {
                let (directories, endpoint) = (self.directories.clone(), endpoint.clone());
                task::blocking(move || directories.remove(&endpoint)).await?;
            }
            (0, endpoint) => {
                let project = operation.target.project_id.clone();
                self.db
                    .write("remove a project", move |db| {
                        if settings::get(db, settings::DEFAULT_PROJECT)?.as_deref() == Some(project.as_str())
                        {
                            settings::delete(db, settings::DEFAULT_PROJECT)?;
                        }
                        projects::delete(db, &project)
                    })
                    .await?;
                if let Some(endpoint) = endpoint {
                    self.keeper.forget(endpoint);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
