//! `set_aside_compute`: stop an endpoint and move its local files aside, for a directory that is damaged. The next wake
//! makes it from the store. What only the old one holds is nowhere else, so it is kept until somebody removes it.

use std::sync::Arc;

use dormouse_compute::event::SleepReason;

use super::{StepFailure, Work};
use crate::computes::Computes;
use crate::model::record::Operation;
use crate::vault::Vault;

/// The kind's name.
pub const KIND: &str = "set_aside_compute";

/// See the module.
#[derive(Debug, Clone)]
pub struct SetAsideCompute {
    /// The computes.
    pub computes: Arc<dyn Computes>,
    /// The store.
    pub vault: Arc<dyn Vault>,
}

#[async_trait::async_trait]
impl Work for SetAsideCompute {
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
            _ => {
                self.vault.set_aside(endpoint).await?;
                self.computes.renew(endpoint);
            }
        }
        Ok(())
    }
}
