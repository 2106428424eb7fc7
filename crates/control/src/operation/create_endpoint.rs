//! `create_endpoint`: another compute for a branch. Its row is written together with the operation; its
//! files are made at the first wake.

use super::{StepFailure, Work};
use crate::db::{Db, endpoints};
use crate::keeper::Keeper;
use crate::model::record::Operation;

/// The kind's name.
pub const KIND: &str = "create_endpoint";

/// See the module.
#[derive(Debug, Clone)]
pub struct CreateEndpoint {
    /// The metadata.
    pub db: Db,
    /// Told what is pending at the first start.
    pub keeper: Keeper,
}

#[async_trait::async_trait]
impl Work for CreateEndpoint {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn steps(&self) -> u32 {
        1
    }

    async fn perform(&self, operation: &Operation, _step: u32) -> Result<(), StepFailure> {
        let Some(endpoint) = &operation.target.endpoint_id else { return Ok(()) };
        let pending = self.db.read("list pending changes", endpoints::with_pending)?.contains(endpoint);
        self.keeper.set_pending(endpoint, pending);
        Ok(())
    }

    async fn undo(&self, operation: &Operation, _step: u32) -> Result<(), StepFailure> {
        let Some(endpoint) = operation.target.endpoint_id.clone() else { return Ok(()) };
        self.keeper.forget(&endpoint);
        self.db.write("remove an endpoint", move |db| endpoints::delete(db, &endpoint)).await?;
        Ok(())
    }
}
