//! What others see of a pool: operators, statistics, whoever bills what it does.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_base::{Timestamp, clock};
use dormouse_pooler::pool::Counts;

use super::Pool;
use crate::census::{PoolCensus, Samples};
use crate::pooled::client_info::ClientInfo;
use crate::pooled::held::Key;
use crate::pooled::stats::Stats;
use crate::traffic::Traffic;

/// A backend that nobody uses.
pub(crate) struct Resting {
    /// For how long.
    pub(crate) rested: Duration,
    /// That is so long that it is checked before it is used.
    pub(crate) used: bool,
    /// What it calls itself.
    pub(crate) application: String,
}

/// A backend that is being opened.
pub(in crate::pooled) struct Announced<'a> {
    pool: &'a Pool,
    number: u32,
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        self.pool.inner.lock().opening.retain(|(number, _)| *number != self.number);
    }
}

impl Pool {
    /// Whether clients' settings end with their transactions: `server_reset_query_always`.
    pub(in crate::pooled) fn resets(&self) -> bool {
        self.resets.load(Ordering::Relaxed)
    }

    /// Its clients.
    pub(crate) fn clients(&self) -> Vec<Arc<ClientInfo>> {
        self.inner.lock().clients.values().cloned().collect()
    }

    /// Its backends.
    pub(crate) fn backends(&self) -> Vec<Arc<Key>> {
        self.inner.lock().backends.iter().filter_map(Weak::upgrade).collect()
    }

    /// Those of them that nobody uses, by their numbers.
    pub(crate) fn resting(&self) -> HashMap<u32, Resting> {
        let inner = self.inner.lock();
        let rests = inner.books.resting(Mono::now(), &inner.limits);
        rests
            .map(|(held, rested, used)| {
                (held.key.number, Resting { rested, used, application: held.application() })
            })
            .collect()
    }

    /// The backends that are being opened: their numbers, and since when.
    pub(crate) fn opening(&self) -> Vec<(u32, Timestamp)> {
        self.inner.lock().opening.clone()
    }

    /// A backend of this number is being opened, until what comes back is dropped.
    pub(in crate::pooled) fn announce(&self, number: u32) -> Announced<'_> {
        self.inner.lock().opening.push((number, clock::now()));
        Announced { pool: self, number }
    }

    /// What it has done.
    pub(crate) fn stats(&self) -> Stats {
        let inner = self.inner.lock();
        Stats { counters: inner.common.counters, ..inner.stats.clone() }
    }

    /// Ends the period of its averages, if it is over.
    pub(in crate::pooled) fn roll(&self, now: Mono, period: Duration) {
        let mut inner = self.inner.lock();
        let counters = inner.common.counters;
        inner.stats.roll(now, period, &counters);
    }

    /// What statistics ask; waits are those since the last time.
    pub(crate) fn census(&self) -> PoolCensus {
        let mut inner = self.inner.lock();
        let counts = inner.books.counts(Mono::now(), &inner.limits);
        let mut waits = std::mem::take(&mut inner.waits);
        if waits == Samples::default() {
            // Nobody got a backend. Who waits must show all the same, or a pool that is stuck would look idle.
            waits.note_unless_zero(counts.maxwait);
        }
        let (clients, backends) = (inner.clients.len(), inner.books.total());
        PoolCensus { clients, backends, waiting: counts.cl_waiting, waits }
    }

    /// How many clients wait for a backend.
    pub(in crate::pooled) fn waiting(&self) -> u32 {
        u32::try_from(self.inner.lock().books.waiting()).unwrap_or(u32::MAX)
    }

    /// Its numbers.
    pub(crate) fn counts(&self) -> Counts {
        let inner = self.inner.lock();
        inner.books.counts(Mono::now(), &inner.limits)
    }

    /// Says what its clients have done, to whoever adds that up.
    pub(in crate::pooled) fn tell_traffic(&self) {
        let counters = self.inner.lock().common.counters;
        self.tally.set(Traffic {
            egress: counters.sent,
            ingress: counters.received,
            queries: counters.query_count,
        });
    }
}
