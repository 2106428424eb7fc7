//! `heal`: an endpoint whose last run ended badly is started once, so that PostgreSQL recovers and
//! the metadata learns its roles again. Usually done before anybody asks for them; whoever asks
//! first ([`crate::password`]) does the same.
//!
//! Only what has a directory here: after `dormouse recover` the roles of all endpoints are uncertain, and
//! waking every database of a store because its server is new would be worse than to ask when somebody comes.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::EndpointId;
use dormouse_compute::State;
use dormouse_compute::event::Cause;
use dormouse_runtime::task::Scope;
use parking_lot::Mutex;

use super::{Reconciler, Report, Trouble};
use crate::computes::Computes;
use crate::db::{Db, endpoints};
use crate::keeper::Keeper;

/// Endpoints that are healed at the same time; clients that wait go first.
pub const AT_ONCE: usize = 2;

const PERIOD: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub struct Heal {
    /// The metadata.
    pub db: Db,
    /// Knows what is exact, and signals crashes.
    pub keeper: Keeper,
    /// The computes.
    pub computes: Arc<dyn Computes>,
    /// Where the wakes run.
    pub scope: Scope,
}

impl Heal {
    fn ill(&self) -> Result<Vec<EndpointId>, Trouble> {
        let all =
            self.db.read("list endpoints", endpoints::all).map_err(Trouble::in_doing("list endpoints"))?;
        let ill = all
            .into_iter()
            .filter(|e| !self.keeper.is_exact(e) && self.computes.state(&e.id) == State::Stopped)
            .filter(|e| self.keeper.is_here(&e.id));
        Ok(ill.map(|e| e.id).collect())
    }
}

#[async_trait::async_trait]
impl Reconciler for Heal {
    fn name(&self) -> &'static str {
        "heal"
    }

    async fn signalled(&self) {
        self.keeper.signals().heal.notified().await;
    }

    async fn run(&mut self) -> Result<Report, Trouble> {
        let ill = self.ill()?;
        let count = ill.len();
        let queue = Arc::new(Mutex::new(ill));
        let failed = Arc::new(Mutex::new(HashSet::new()));
        let mut workers = Vec::new();
        for _ in 0..AT_ONCE.min(count) {
            let (queue, failed, computes) =
                (Arc::clone(&queue), Arc::clone(&failed), Arc::clone(&self.computes));
            workers.push(self.scope.spawn("heal-one", async move {
                loop {
                    let Some(endpoint) = queue.lock().pop() else { return };
                    if let Err(error) = computes.wake(&endpoint, Cause::Heal).await {
                        tracing::warn!(%endpoint, %error, "cannot heal");
                        failed.lock().insert(endpoint);
                    }
                }
            }));
        }
        for worker in workers {
            worker.await.map_err(Trouble::in_doing("heal"))?;
        }
        let failed = failed.lock().len();
        if failed > 0 {
            return Err(Trouble {
                what: format!("{failed} of {count} endpoints do not start"),
                source: None,
            });
        }
        Ok(Report { text: format!("{count} healed"), next: PERIOD })
    }
}
