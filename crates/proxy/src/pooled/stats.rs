//! What a pool has done: PgBouncer's counters, and a few of ours.

use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_pooler::stats::{Counters, Histogram, Period};

/// Of one pool, in its lock.
#[derive(Debug, Clone)]
pub(crate) struct Stats {
    /// In all; counted where the links are, and filled in for who asks.
    pub(crate) counters: Counters,
    /// In the last period.
    pub(crate) period: Period,
    /// How long clients waited for a backend.
    pub(crate) waits: Histogram,
    /// Backends whose opening woke the endpoint.
    pub(crate) wakes: u64,
}

impl Stats {
    pub(super) fn new(now: Mono) -> Self {
        Self {
            counters: Counters::default(),
            period: Period::new(now),
            waits: Histogram::default(),
            wakes: 0,
        }
    }

    /// Ends the period if it is over.
    pub(super) fn roll(&mut self, now: Mono, length: Duration, counters: &Counters) {
        self.period.roll(now, length, counters);
    }
}
