//! `pending`: changes that could not be finished while an endpoint started (dropping a role that
//! owns things in other databases) are finished while it is Active.

use std::sync::Arc;
use std::time::Duration;

use dormouse_compute::State;

use super::{Reconciler, Report, Trouble};
use crate::computes::Computes;
use crate::keeper::Keeper;

const PERIOD: Duration = Duration::from_secs(60);

/// When the next look is due after an endpoint was found on its way to Active. The start itself
/// applies changes before it lets clients in; this is for what that leaves.
const SOON: Duration = Duration::from_secs(1);

/// The code of a [`crate::computes::ComputeError`] for an endpoint that is not (yet, or any more) open.
const NOT_OPEN: &str = "endpoint-state";

/// See the module.
#[derive(Debug)]
pub struct PendingChanges {
    /// Knows what is pending, and applies it.
    pub keeper: Keeper,
    /// The computes.
    pub computes: Arc<dyn Computes>,
}

#[async_trait::async_trait]
impl Reconciler for PendingChanges {
    fn name(&self) -> &'static str {
        "pending"
    }

    async fn signalled(&self) {
        self.keeper.signals().pending.notified().await;
    }

    async fn run(&mut self) -> Result<Report, Trouble> {
        let (mut done, mut next) = (0, PERIOD);
        for endpoint in self.keeper.pending() {
            if self.computes.state(&endpoint) != State::Active {
                continue;
            }
            match self.keeper.apply_awake(self.computes.as_ref(), &endpoint).await {
                Ok(refused) if refused.is_empty() => done += 1,
                Ok(refused) => {
                    tracing::warn!(%endpoint, refused = refused.len(), "PostgreSQL refuses pending changes");
                }
                Err(error) if error.code == NOT_OPEN => next = SOON,
                Err(error) if self.computes.state(&endpoint) == State::Active => {
                    return Err(Trouble::in_doing("apply pending changes")(error));
                }
                // It went to sleep: its next start applies them.
                Err(_) => {}
            }
        }
        Ok(Report { text: format!("{done} endpoints brought up to date"), next })
    }
}
