//! `restart_compute`: stop an endpoint, then wake it; new settings take effect.

use std::sync::Arc;

use dormouse_compute::event::{Cause, SleepReason};

use super::{StepFailure, Work};
use crate::computes::Computes;
use crate::model::record::Operation;

/// The kind's name.
pub const KIND: &str = "restart_compute";

/// See the module.
#[derive(Debug, Clone)]
pub struct RestartCompute {
    /// The computes.
    pub computes: Arc<dyn Computes>,
}

#[async_trait::async_trait]
impl Work for RestartCompute {
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
            _ => self.computes.wake(endpoint, Cause::Request).await?,
        }
        Ok(())
    }
}
