//! What statistics ask of the proxy, by endpoint: how many clients there are, how long their logins took, and how long
//! they waited for a backend.
//!
//! ```text
//!   a login                   ─► Census   one lock a login, far from the path of a query
//!   a session without a pool  ─► Ledger   which counts what it does ([`crate::traffic`])
//!   a wait for a backend      ─► Samples   in the pool's own lock, which is held anyway; no wait is one addition
//!                                   │
//!                        taken once a second by who wants to know
//! ```
//!
//! Durations are kept one by one up to [`MAX_SAMPLES`], so that quantiles are those of real waits; more than that between two takings
//! count with their mean. When nobody takes them they stay as they are, a few kilobytes.

use std::collections::HashMap;
use std::time::Duration;

use dormouse_base::EndpointId;
use parking_lot::Mutex;

/// Durations that are kept one by one between two takings.
pub const MAX_SAMPLES: usize = 1024;
/// Endpoints whose logins are kept between two takings; those of others are not known then.
const MAX_ENDPOINTS: usize = 4096;

/// Durations since the last taking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Samples {
    /// Those that were not zero, in microseconds.
    pub each_us: Vec<u32>,
    /// How many were zero.
    pub zeros: u64,
    /// How many more there were.
    pub others: u64,
    /// Those added up, microseconds.
    pub others_us: u64,
}

impl Samples {
    /// Adds one.
    pub(crate) fn note(&mut self, took: Duration) {
        if took.is_zero() {
            self.zeros += 1;
            return;
        }
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        if self.each_us.len() < MAX_SAMPLES {
            self.each_us.push(micros);
        } else {
            self.others += 1;
            self.others_us += u64::from(micros);
        }
    }

    /// Adds one, if it took any time.
    pub(crate) fn note_unless_zero(&mut self, took: Duration) {
        if !took.is_zero() {
            self.note(took);
        }
    }

    fn add(&mut self, more: Self) {
        self.each_us.extend(more.each_us);
        self.zeros += more.zeros;
        self.others += more.others;
        self.others_us += more.others_us;
    }

    /// Each duration in milliseconds, with how often it was.
    pub fn milliseconds(&self) -> impl Iterator<Item = (f64, u64)> {
        let each = self.each_us.iter().map(|us| (f64::from(*us) / 1000.0, 1));
        let mean =
            (self.others > 0).then(|| (self.others_us as f64 / self.others as f64 / 1000.0, self.others));
        let zeros = (self.zeros > 0).then_some((0.0, self.zeros));
        each.chain(mean).chain(zeros)
    }
}

/// What there is of one endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointCensus {
    /// Clients past login.
    pub clients: usize,
    /// Backends of PostgreSQL that they have or share.
    pub backends: usize,
    /// Clients that wait for one.
    pub waiting: usize,
    /// From arrival to the end of the login.
    pub logins: Samples,
    /// Waits for a backend of a pool.
    pub waits: Samples,
}

/// Of one pool.
pub(crate) struct PoolCensus {
    pub(crate) clients: usize,
    pub(crate) backends: usize,
    pub(crate) waiting: usize,
    pub(crate) waits: Samples,
}

/// Logins by endpoint. What others know is asked of them.
#[derive(Debug, Default)]
pub(crate) struct Census {
    logins: Mutex<HashMap<EndpointId, Samples>>,
}

impl Census {
    /// A client has logged in.
    pub(crate) fn logged_in(&self, endpoint: &EndpointId, took: Duration) {
        let mut all = self.logins.lock();
        if let Some(logins) = all.get_mut(endpoint) {
            logins.note(took);
        } else if all.len() < MAX_ENDPOINTS {
            all.entry(endpoint.clone()).or_default().note(took);
        }
    }

    /// What there is now, and what was since the last taking.
    pub(crate) fn take(
        &self,
        sessions: impl IntoIterator<Item = (EndpointId, usize)>,
        pools: impl IntoIterator<Item = (EndpointId, PoolCensus)>,
    ) -> HashMap<EndpointId, EndpointCensus> {
        let logins = std::mem::take(&mut *self.logins.lock());
        let with = |(endpoint, logins)| (endpoint, EndpointCensus { logins, ..EndpointCensus::default() });
        let mut found: HashMap<EndpointId, EndpointCensus> = logins.into_iter().map(with).collect();
        for (endpoint, count) in sessions {
            let of = found.entry(endpoint).or_default();
            of.clients += count;
            of.backends += count;
        }
        for (endpoint, pool) in pools {
            let of = found.entry(endpoint).or_default();
            of.clients += pool.clients;
            of.backends += pool.backends;
            of.waiting += pool.waiting;
            of.waits.add(pool.waits);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(name: &str) -> EndpointId {
        format!("ep-{name}").parse().unwrap()
    }

    #[test]
    fn everything_of_an_endpoint_comes_together_and_logins_once() {
        let census = Census::default();
        let (one, two) = (endpoint("one"), endpoint("two"));
        census.logged_in(&one, Duration::from_millis(3));
        let waits = Samples { zeros: 5, ..Samples::default() };
        let pool = PoolCensus { clients: 7, backends: 2, waiting: 1, waits: waits.clone() };
        let taken = census.take([(one.clone(), 1)], [(two.clone(), pool)]);
        assert_eq!((taken[&one].clients, taken[&one].backends), (1, 1));
        assert_eq!(taken[&one].logins.milliseconds().collect::<Vec<_>>(), [(3.0, 1)]);
        assert_eq!((taken[&two].clients, taken[&two].backends, taken[&two].waiting), (7, 2, 1));
        assert_eq!(taken[&two].waits, waits);
        let taken = census.take([(one.clone(), 1)], []);
        assert_eq!((taken.len(), &taken[&one].logins), (1, &Samples::default()));
        assert!(census.take([], []).is_empty());
    }

    #[test]
    fn beyond_the_limit_only_how_many_and_their_mean_are_kept() {
        let mut samples = Samples::default();
        for _ in 0..MAX_SAMPLES {
            samples.note(Duration::from_millis(1));
        }
        samples.note(Duration::from_millis(10));
        samples.note(Duration::from_millis(30));
        samples.note(Duration::ZERO);
        let all: Vec<_> = samples.milliseconds().collect();
        assert_eq!(all.len(), MAX_SAMPLES + 2);
        assert_eq!(all[MAX_SAMPLES..], [(20.0, 2), (0.0, 1)]);
    }
}
