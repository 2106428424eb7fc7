//! `evict_compute`: stop an endpoint and remove its local files; the store has everything, and the next wake
//! fetches what it needs.

use std::sync::Arc;

use dormouse_compute::event::SleepReason;

use super::{StepFailure, Work};
use crate::computes::Computes;
use crate::model::record::Operation;
use crate::vault::Vault;

/// The kind's name.
pub const KIND: &str = "evict_compute";

/// See the module.
#[derive(Debug, Clone)]
pub struct EvictCompute {
    /// The computes.
    pub computes: Arc<dyn Computes>,
    /// The store.
    pub vault: Arc<dyn Vault>,
}

#[async_trait::async_trait]
impl Work for EvictCompute {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn steps(&self) -> u32 {
        2
    }

    async fn perform(&self, operation: &Operation, step: u32) -> Result<(), StepFailure> {
        let Some(endpoint) = &operation.target.endpoint_id else { return Ok(()) };
        match step {
            0 => self.computes.suspend(endpoint, SleepReason::Request).await?,
            _ => self.vault.evict(endpoint).await?,
        }
        Ok(())
    }
}
