//! `schedule`: wakes an endpoint shortly before pg_cron wants to run something in it.

use std::sync::Arc;
use std::time::Duration;

use dormouse_base::clock;
use dormouse_compute::State;
use dormouse_compute::event::Cause;
use dormouse_runtime::task::Scope;

use super::{Reconciler, Report, Trouble};
use crate::computes::Computes;
use crate::db::{Db, endpoints};
use crate::keeper::Keeper;

/// How long before the due time an endpoint is woken: a cold start, and pg_cron's own start.
pub const LEAD: Duration = Duration::from_secs(2);

/// The longest sleep of the reconciler itself, in case a clock jumps.
const PERIOD: Duration = Duration::from_secs(30);
/// The shortest, so that a wake that fails is not tried in a tight loop.
const SHORTEST: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug)]
pub struct Schedule {
    /// The metadata.
    pub db: Db,
    /// Signals that an endpoint went to sleep.
    pub keeper: Keeper,
    /// The computes.
    pub computes: Arc<dyn Computes>,
    /// Where the wakes run.
    pub scope: Scope,
}

#[async_trait::async_trait]
impl Reconciler for Schedule {
    fn name(&self) -> &'static str {
        "schedule"
    }

    async fn signalled(&self) {
        self.keeper.signals().schedule.notified().await;
    }

    async fn run(&mut self) -> Result<Report, Trouble> {
        let scheduled = self
            .db
            .read("list scheduled wakes", endpoints::scheduled)
            .map_err(Trouble::in_doing("list scheduled wakes"))?;
        let now = clock::now();
        let (mut woken, mut next) = (0, PERIOD);
        for (endpoint, due) in &scheduled {
            let asleep = matches!(self.computes.state(endpoint), State::Stopped | State::Paused);
            if !asleep {
                continue;
            }
            // Negative when it is due already.
            let left = Duration::try_from(due.duration_since(now)).unwrap_or_default().saturating_sub(LEAD);
            if !left.is_zero() {
                next = next.min(left);
                continue;
            }
            woken += 1;
            next = next.min(SHORTEST * 10);
            let (computes, endpoint) = (Arc::clone(&self.computes), endpoint.clone());
            self.scope.spawn("scheduled-wake", async move {
                if let Err(error) = computes.wake(&endpoint, Cause::Schedule).await {
                    tracing::warn!(%endpoint, %error, "scheduled wake failed");
                }
            });
        }
        Ok(Report { text: format!("{} scheduled, {woken} woken", scheduled.len()), next: next.max(SHORTEST) })
    }
}
