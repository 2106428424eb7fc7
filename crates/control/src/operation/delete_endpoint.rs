//! `delete_endpoint`: stop it, store what only its files hold, remove them, remove its row.
//!
//! It is marked together with the operation and does not start any more. When the store does not take its
//! last changes, the mark is taken back and the endpoint is as before.

use std::sync::Arc;

use dormouse_compute::event::SleepReason;
use dormouse_runtime::task;

use super::{StepFailure, Work};
use crate::computes::Computes;
use crate::db::{Db, endpoints};
use crate::directory::Directories;
use crate::keeper::Keeper;
use crate::model::record::Operation;
use crate::vault::Vault;

/// The kind's name.
pub const KIND: &str = "delete_endpoint";

/// See the module.
#[derive(Debug, Clone)]
pub struct DeleteEndpoint {
    /// The metadata.
    pub db: Db,
    /// The clusters.
    pub directories: Directories,
    /// The computes.
    pub computes: Arc<dyn Computes>,
    /// The store.
    pub vault: Arc<dyn Vault>,
    /// Told when the endpoint is gone.
    pub keeper: Keeper,
}

#[async_trait::async_trait]
impl Work for DeleteEndpoint {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn steps(&self) -> u32 {
        3
    }

    async fn perform(&self, operation: &Operation, step: u32) -> Result<(), StepFailure> {
        let Some(endpoint) = operation.target.endpoint_id.clone() else { return Ok(()) };
        match step {
            0 => self.computes.suspend(&endpoint, SleepReason::Request).await?,
            1 => self.vault.evict(&endpoint).await?,
            _ => {
                self.computes.forget(&endpoint).await;
                let (directories, id) = (self.directories.clone(), endpoint.clone());
                task::blocking(move || directories.remove(&id)).await?;
                let id = endpoint.clone();
                self.db.write("remove an endpoint", move |db| endpoints::delete(db, &id)).await?;
                self.keeper.forget(&endpoint);
            }
        }
        Ok(())
    }

    async fn undo(&self, operation: &Operation, step: u32) -> Result<(), StepFailure> {
        let Some(endpoint) = operation.target.endpoint_id.clone().filter(|_| step == 0) else {
            return Ok(());
        };
        self.db
            .write("take the mark of a deletion back", move |db| {
                endpoints::set_deleting(db, &endpoint, false)
            })
            .await?;
        Ok(())
    }
}
