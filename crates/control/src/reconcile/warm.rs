//! `warm`: wakes endpoints at the begin of their keep-warm windows, and those that never sleep when the server
//! starts; and says until when they are kept awake.
//!
//! Each window wakes once. Whoever suspends an endpoint in the middle of it means that; the next client wakes it, and
//! then it stays awake until the window's end. One that did not wake, or that a quota sent to sleep, is tried again,
//! less and less often.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::clock::Mono;
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
/// After a wake that failed; doubles up to the second with each that follows.
pub const AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

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
    /// How long is waited after a wake that failed; see [`AGAIN`].
    pub again: (Duration, Duration),
    /// Those that are kept awake.
    kept: HashMap<EndpointId, Kept>,
}

/// One that is kept awake.
#[derive(Debug)]
struct Kept {
    /// Until when it was woken for it already.
    until: Timestamp,
    /// Wakes in a row that failed.
    failures: u32,
    /// When the next one is due.
    again: Option<Mono>,
}

impl Kept {
    fn failed(&mut self, again: (Duration, Duration)) {
        let wait = again.0.saturating_mul(1 << self.failures.min(8)).min(again.1);
        self.failures = self.failures.saturating_add(1);
        self.again = Some(Mono::now().plus(wait));
    }
}

impl Warm {
    /// One that has woken nobody.
    #[must_use]
    pub fn new(db: Db, keeper: Keeper, computes: Arc<dyn Computes>, scope: Scope) -> Self {
        Self { db, keeper, computes, scope, again: AGAIN, kept: HashMap::new() }
    }

    /// Looks after one; tells whether it had to be woken.
    fn keep(&mut self, row: &Endpoint, until: Timestamp, now: Timestamp) -> bool {
        self.computes.keep_awake(&row.id, Some(until));
        let new = || Kept { until, failures: 0, again: None };
        let mut is_due = false;
        let kept = self.kept.entry(row.id.clone()).or_insert_with(|| {
            is_due = true;
            new()
        });
        // A window that goes on is not a new one.
        is_due |= kept.until < now || kept.again.is_some_and(|again| Mono::now() >= again);
        kept.until = until;
        match self.computes.state(&row.id) {
            State::Stopped | State::Paused if is_due => kept.again = None,
            State::Stopped | State::Paused => return false,
            State::Starting | State::Stopping => {
                // Looked at again as soon as it is one or the other.
                kept.again = is_due.then(Mono::now).or(kept.again);
                return false;
            }
            State::Active => {
                *kept = new();
                return false;
            }
        }
        let is_first = kept.failures == 0;
        let (computes, keeper, endpoint) = (Arc::clone(&self.computes), self.keeper.clone(), row.id.clone());
        self.scope.spawn("warm-wake", async move {
            let Err(error) = computes.wake(&endpoint, Cause::KeepWarm).await else { return };
            if is_first {
                tracing::warn!(%endpoint, %error, "an endpoint that should be kept warm did not wake: tried again");
            } else {
                tracing::debug!(%endpoint, %error, "it did not wake again");
            }
            keeper.signals().warm_failed(&endpoint);
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
            if let Some(kept) = self.kept.get_mut(&failed) {
                kept.failed(self.again);
            }
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
                let again = self.kept.get(&row.id).and_then(|kept| kept.again);
                next = again.map_or(next, |again| next.min(again.since(Mono::now())));
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
