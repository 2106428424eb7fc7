//! `delete_branch`: stop its computes, remove their files, remove it from the store, remove its rows; the
//! same for the branches below it that were named with it, children first.
//!
//! There is no way back once files go, so it is tried until it is done. From the moment the operation
//! exists the branches are marked: nothing of them starts or is found any more.

use std::sync::Arc;

use dormouse_base::BranchId;
use dormouse_runtime::failpoint;
use serde::{Deserialize, Serialize};

use super::{StepFailure, Work, removal};
use crate::computes::Computes;
use crate::db::{Db, branches, endpoints};
use crate::directory::Directories;
use crate::keeper::Keeper;
use crate::model::record::{Branch, Endpoint, Operation};
use crate::vault::Vault;

/// The kind's name.
pub const KIND: &str = "delete_branch";

/// What is deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Args {
    /// Public IDs, children before their parents.
    pub branches: Vec<BranchId>,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct DeleteBranch {
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

impl DeleteBranch {
    fn doomed(&self, operation: &Operation) -> Result<Vec<(Branch, Vec<Endpoint>)>, StepFailure> {
        let args: Args = super::arguments(operation)?;
        let read = self.db.read("list what is deleted", |db| {
            let mut rows = Vec::new();
            for id in &args.branches {
                if let Some(branch) = branches::get(db, id)? {
                    rows.push((branch, endpoints::all_of_branch(db, id)?));
                }
            }
            Ok(rows)
        });
        Ok(read?)
    }
}

#[async_trait::async_trait]
impl Work for DeleteBranch {
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
        let doomed = self.doomed(operation)?;
        let endpoints: Vec<Endpoint> = doomed.iter().flat_map(|(_, all)| all.clone()).collect();
        match step {
            0 => removal::stop(&self.computes, &endpoints).await?,
            1 => removal::remove_files(&self.vault, &self.directories, endpoints).await?,
            2 => {
                for (branch, _) in &doomed {
                    super::interrupted(failpoint::hit("control.delete_branch.before_store").await)?;
                    self.vault.delete_branch(&branch.project_id, &branch.storage_id).await?;
                }
            }
            _ => {
                self.db
                    .write("remove branches", move |db| {
                        doomed.iter().try_for_each(|(branch, _)| branches::delete(db, &branch.id))
                    })
                    .await?;
                endpoints.iter().for_each(|endpoint| self.keeper.forget(&endpoint.id));
            }
        }
        Ok(())
    }
}
