//! `pending`: changes that could not be finished while an endpoint started (dropping a role that
//! owns things in other databases) are finished while it is Active.

use std::sync::Arc;
use std::time::Duration;

use dormouse_compute::State;

use super::{Reconciler, Report, Trouble};
use crate::computes::Computes;
use crate::keeper::Keeper;

const PERIOD: Duration = Duration::from_secs(60);

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
        let mut done = 0;
        for endpoint in self.keeper.pending() {
            if self.computes.state(&endpoint) != State::Active {
                continue;
            }
            match self.keeper.apply_awake(self.computes.as_ref(), &endpoint).await {
                Ok(refused) if refused.is_empty() => done += 1,
                Ok(refused) => {
                    tracing::warn!(%endpoint, refused = refused.len(), "PostgreSQL refuses pending changes");
                }
                Err(error) if self.computes.state(&endpoint) == State::Active => {
                    return Err(Trouble::in_doing("apply pending changes")(error));
                }
                // It went to sleep: its next start applies them.
                Err(_) => {}
            }
        }
        Ok(Report { text: format!("{done} endpoints brought up to date"), next: PERIOD })
    }
}
