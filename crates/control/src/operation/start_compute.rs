//! `start_compute`: wake an endpoint because somebody asked.

use std::sync::Arc;

use dormouse_compute::event::Cause;

use super::{StepFailure, Work};
use crate::computes::Computes;
use crate::model::record::Operation;

/// The kind's name.
pub const KIND: &str = "start_compute";

/// See the module.
#[derive(Debug, Clone)]
pub struct StartCompute {
    /// The computes.
    pub computes: Arc<dyn Computes>,
}

#[async_trait::async_trait]
impl Work for StartCompute {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn steps(&self) -> u32 {
        1
    }

    async fn perform(&self, operation: &Operation, _step: u32) -> Result<(), StepFailure> {
        let Some(endpoint) = &operation.target.endpoint_id else { return Ok(()) };
        self.computes.wake(endpoint, Cause::Request).await?;
        Ok(())
    }
}
