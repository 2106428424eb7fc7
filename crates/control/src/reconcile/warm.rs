//! `warm`: wakes endpoints at the begin of their keep-warm windows, and those that never sleep when the server
//! starts; and says until when they are kept awake.
//!
//! Each window wakes once. Whoever suspends an endpoint in the middle of it means that; the next client wakes it, and
//! then it stays awake until the window's end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::{EndpointId, Timestamp, clock};
use dormouse_compute::State;
use dormouse_compute::event::Cause;
use dormouse_runtime::task::Scope;
use jiff::SignedDuration;

use super::{Reconciler, Report, Trouble};
use crate::computes::Computes;
use crate::db::{Db, endpoints};
use crate::keeper::Keeper;
use crate::model::record::Endpoint;
use crate::model::warm;

/// How long before a window begins an endpoint is woken: it shall be awake then.
pub const LEAD: SignedDuration = SignedDuration::from_secs(2);

/// The longest sleep of the reconciler itself, in case a clock jumps.
const PERIOD: Duration = Duration::from_secs(30);
/// The shortest.
const SHORTEST: Duration = Duration::from_millis(500);
/// After a wake that failed.
const AGAIN: Duration = Duration::from_secs(5);

/// How long one that never sleeps is kept awake from each look on; the next look comes sooner.
const ALWAYS: SignedDuration = SignedDuration::from_hours(1);

/// See the module.
#[derive(Debug)]
pub struct Warm {
    /// The metadata.
    pub db: Db,
    /// Signals that somebody changed a window.
    pub keeper: Keeper,
    /// The computes.
    pub computes: Arc<dyn Computes>,
    /// Where the wakes run.
    pub scope: Scope,
    /// Which are kept awake, and until when they were woken for it already.
    kept: HashMap<EndpointId, Timestamp>,
}

impl Warm {
    /// One that has woken nobody.
    #[must_use]
    pub fn new(db: Db, keeper: Keeper, computes: Arc<dyn Computes>, scope: Scope) -> Self {
        Self { db, keeper, computes, scope, kept: HashMap::new() }
    }

    /// Looks after one; tells whether it had to be woken.
    fn keep(&mut self, row: &Endpoint, until: Timestamp, now: Timestamp) -> bool {
        self.computes.keep_awake(&row.id, Some(until));
        let asleep = matches!(self.computes.state(&row.id), State::Stopped | State::Paused);
        // A window that goes on is not a new one.
        let is_new = self.kept.insert(row.id.clone(), until).is_none_or(|before| before < now);
        if !(asleep && is_new) {
            return false;
        }
        let (computes, keeper, endpoint) = (Arc::clone(&self.computes), self.keeper.clone(), row.id.clone());
        self.scope.spawn("warm-wake", async move {
            if let Err(error) = computes.wake(&endpoint, Cause::KeepWarm).await {
                tracing::warn!(%endpoint, %error, "an endpoint that should be kept warm did not wake");
                tokio::time::sleep(AGAIN).await;
                keeper.signals().warm_failed(&endpoint);
            }
        });
        true
    }
}

#[async_trait::async_trait]
impl Reconciler for Warm {
    fn name(&self) -> &'static str {
        "warm"
    }

    async fn signalled(&self) {
        self.keeper.signals().warm.notified().await;
    }

    async fn run(&mut self) -> Result<Report, Trouble> {
        let rows = self.db.read("list warm endpoints", endpoints::warm);
        let rows = rows.map_err(Trouble::in_doing("list warm endpoints"))?;
        for failed in self.keeper.signals().take_warm_failed() {
            self.kept.remove(&failed);
        }
        let now = clock::now();
        let soon = now.checked_add(LEAD).unwrap_or(now);
        let (mut kept, mut woken, mut next) = (Vec::new(), 0, PERIOD);
        for row in &rows {
            let always = (row.suspend_timeout_seconds < 0).then(|| now.checked_add(ALWAYS).ok()).flatten();
            if let Some(until) = warm::until(&row.warm.keep, soon).max(always) {
                woken += usize::from(self.keep(row, until, now));
                kept.push(row.id.clone());
                next = next.min(left(until, now));
            }
            if let Some(start) = warm::next_start(&row.warm.keep, soon) {
                next = next.min(left(start, soon));
            }
        }
        let computes = Arc::clone(&self.computes);
        self.kept.retain(|endpoint, _| {
            let stays = kept.contains(endpoint);
            if !stays {
                computes.keep_awake(endpoint, None);
            }
            stays
        });
        let text = format!("{} kept awake, {woken} woken", kept.len());
        Ok(Report { text, next: next.max(SHORTEST) })
    }
}

fn left(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}
