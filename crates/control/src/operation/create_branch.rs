//! `create_branch`: its line in the store; with the end of the operation it is ready.
//!
//! The rows (branch with its fork, endpoints, roles, databases) are written together with the operation,
//! so its name is taken at once; it is `init`, and nothing of it starts, until the end.

use std::sync::Arc;

use super::{Seal, StepFailure, Work};
use crate::db::{Db, branches, endpoints};
use crate::keeper::Keeper;
use crate::meta;
use crate::model::record::Operation;
use crate::vault::{Fork, NewBranch, Vault};

/// The kind's name.
pub const KIND: &str = "create_branch";

/// See the module.
#[derive(Debug, Clone)]
pub struct CreateBranch {
    /// The metadata.
    pub db: Db,
    /// The store.
    pub vault: Arc<dyn Vault>,
    /// Told what is pending at the first start.
    pub keeper: Keeper,
}

#[async_trait::async_trait]
impl Work for CreateBranch {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn steps(&self) -> u32 {
        1
    }

    async fn perform(&self, operation: &Operation, _step: u32) -> Result<(), StepFailure> {
        let Some(id) = operation.target.branch_id.clone() else { return Ok(()) };
        let found = self.db.read("read a new branch", |db| {
            let row = branches::get(db, &id)?;
            row.map(|row| Ok((meta::branch(db, &row)?, row))).transpose()
        })?;
        let Some((meta, row)) = found else { return Err(StepFailure::gone("branch")) };
        if let Some(parent) = row.parent {
            let new = NewBranch {
                project: row.project_id,
                branch: row.storage_id,
                parent: parent.storage_id,
                fork: Fork { lsn: parent.lsn, at: parent.at },
                meta: super::as_json(&meta),
            };
            self.vault.create_branch(new).await?;
        }
        // Before anybody can wake it: see the keeper.
        let pending = self.db.read("list pending changes", endpoints::with_pending)?;
        let all = self.db.read("list endpoints", |db| endpoints::all_of_branch(db, &id))?;
        for endpoint in all.iter().filter(|endpoint| pending.contains(&endpoint.id)) {
            self.keeper.set_pending(&endpoint.id, true);
        }
        Ok(())
    }

    fn seal(&self, operation: &Operation) -> Option<Seal> {
        super::ready(operation)
    }

    fn waits_to_undo(&self) -> bool {
        true
    }

    async fn undo(&self, operation: &Operation, _step: u32) -> Result<(), StepFailure> {
        let Some(id) = operation.target.branch_id.clone() else { return Ok(()) };
        let found = self
            .db
            .read("read a branch", |db| Ok((branches::get(db, &id)?, endpoints::all_of_branch(db, &id)?)))?;
        let (Some(row), endpoints) = found else { return Ok(()) };
        self.vault.delete_branch(&row.project_id, &row.storage_id).await?;
        self.db.write("remove a branch", move |db| branches::delete(db, &id)).await?;
        endpoints.iter().for_each(|endpoint| self.keeper.forget(&endpoint.id));
        Ok(())
    }
}
