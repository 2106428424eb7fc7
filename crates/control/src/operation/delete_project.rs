//! `delete_project`: stop its computes, remove their files, remove it from the store, remove its rows.
//!
//! There is no way back once files go, so it is tried until it is done. From the moment the
//! operation exists the project is marked: nothing of it starts or is found any more.

use std::sync::Arc;

use super::{StepFailure, Work, removal};
use crate::computes::Computes;
use crate::db::{Db, endpoints, projects};
use crate::directory::Directories;
use crate::keeper::Keeper;
use crate::model::record::Operation;
use crate::vault::Vault;

/// The kind's name.
pub const KIND: &str = "delete_project";

/// See the module.
#[derive(Debug, Clone)]
pub struct DeleteProject {
    /// The metadata.
    pub db: Db,
    /// The clusters.
    pub directories: Directories,
    /// The computes.
    pub computes: Arc<dyn Computes>,
    /// The store.
    pub vault: Arc<dyn Vault>,
    /// Told when an endpoint is gone.
    pub keeper: Keeper,
}

#[async_trait::async_trait]
impl Work for DeleteProject {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn steps(&self) -> u32 {
        4
    }

    fn never_gives_up(&self) -> bool {
        true
    }

    async fn perform(&self, operation: &Operation, step: u32) -> Result<(), StepFailure> {
        let project = operation.target.project_id.clone();
        let endpoints = self.db.read("list endpoints", |db| endpoints::of_project(db, &project))?;
        match step {
            0 => removal::stop(&self.computes, &endpoints).await?,
            1 => removal::remove_files(&self.vault, &self.directories, endpoints).await?,
            2 => self.vault.delete_project(&project).await?,
            _ => {
                self.db.write("remove a project", move |db| projects::delete(db, &project)).await?;
                for endpoint in &endpoints {
                    self.keeper.forget(&endpoint.id);
                }
            }
        }
        Ok(())
    }
}
