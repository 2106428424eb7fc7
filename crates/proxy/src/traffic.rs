//! What clients send, get and ask, by endpoint, for whoever bills it.
//!
//! Counting costs a session next to nothing: each has a tally of its own, in which only it writes, so there is no
//! atomic addition and no line of cache that two cores want. Pools count anyway, in their books. Whoever wants to
//! know ([`Ledger::take`]) adds all of that up; what a session had counted when it ended is kept until then.
//!
//! Who has a tally is there, so this is also the place that knows how many sessions have a backend of their own.
//!
//! Bytes are those of PostgreSQL's protocol, after the login and without TLS around them. A statement is counted when
//! PostgreSQL says that it is ready for the next, as PgBouncer does it.

use std::collections::HashMap;
use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dormouse_base::EndpointId;
use parking_lot::Mutex;

/// What clients did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that clients got.
    pub egress: u64,
    /// Bytes that they sent.
    pub ingress: u64,
    /// Statements.
    pub queries: u64,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, more: Self) {
        self.egress = self.egress.wrapping_add(more.egress);
        self.ingress = self.ingress.wrapping_add(more.ingress);
        self.queries = self.queries.wrapping_add(more.queries);
    }
}

impl Traffic {
    /// What was added since `earlier`.
    fn since(&self, earlier: &Self) -> Self {
        Self {
            egress: self.egress.saturating_sub(earlier.egress),
            ingress: self.ingress.saturating_sub(earlier.ingress),
            queries: self.queries.saturating_sub(earlier.queries),
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What one session, or one pool, has counted since it began.
#[derive(Debug, Default)]
struct Counts {
    egress: AtomicU64,
    ingress: AtomicU64,
    queries: AtomicU64,
}

impl Counts {
    fn read(&self) -> Traffic {
        Traffic {
            egress: self.egress.load(Ordering::Relaxed),
            ingress: self.ingress.load(Ordering::Relaxed),
            queries: self.queries.load(Ordering::Relaxed),
        }
    }
}

/// Of one endpoint.
#[derive(Debug, Default)]
struct Line {
    /// Who counts.
    open: HashMap<u64, Arc<Counts>>,
    /// How many of those are sessions with a backend of their own; the others are pools.
    sessions: usize,
    /// What those had counted who do not any more.
    closed: Traffic,
    /// What was taken.
    taken: Traffic,
}

impl Line {
    fn sum(&self) -> Traffic {
        let mut sum = self.closed;
        self.open.values().for_each(|counts| sum += counts.read());
        sum
    }
}

/// All endpoints.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    lines: Mutex<HashMap<EndpointId, Line>>,
    next: AtomicU64,
}

impl Ledger {
    /// A pool of an endpoint begins.
    pub(crate) fn open(self: &Arc<Self>, endpoint: &EndpointId) -> Tally {
        self.begin(endpoint, false)
    }

    /// A session with a backend of its own begins.
    pub(crate) fn session(self: &Arc<Self>, endpoint: &EndpointId) -> Tally {
        self.begin(endpoint, true)
    }

    fn begin(self: &Arc<Self>, endpoint: &EndpointId, is_session: bool) -> Tally {
        let (id, counts) = (self.next.fetch_add(1, Ordering::Relaxed), Arc::<Counts>::default());
        let mut lines = self.lines.lock();
        let line = lines.entry(endpoint.clone()).or_default();
        line.open.insert(id, Arc::clone(&counts));
        line.sessions += usize::from(is_session);
        drop(lines);
        Tally { id, is_session, counts, endpoint: endpoint.clone(), ledger: Arc::clone(self) }
    }

    /// How many sessions of an endpoint have a backend of their own.
    pub(crate) fn sessions_of(&self, endpoint: &EndpointId) -> usize {
        self.lines.lock().get(endpoint).map_or(0, |line| line.sessions)
    }

    /// The same of every endpoint that has any.
    pub(crate) fn sessions(&self) -> Vec<(EndpointId, usize)> {
        let lines = self.lines.lock();
        let some = lines.iter().filter(|(_, line)| line.sessions > 0);
        some.map(|(endpoint, line)| (endpoint.clone(), line.sessions)).collect()
    }

    /// What was counted elsewhere.
    pub(crate) fn add(&self, endpoint: &EndpointId, traffic: Traffic) {
        self.lines.lock().entry(endpoint.clone()).or_default().closed += traffic;
    }

    /// What was added since the last time, by endpoint.
    pub(crate) fn take(&self) -> Vec<(EndpointId, Traffic)> {
        let mut taken = Vec::new();
        self.lines.lock().retain(|endpoint, line| {
            let sum = line.sum();
            let more = sum.since(&line.taken);
            line.taken = sum;
            if !more.is_empty() {
                taken.push((endpoint.clone(), more));
            }
            !line.open.is_empty()
        });
        taken
    }
}

/// Counts for one session or pool. What it has counted stays when it is dropped.
#[derive(Debug)]
pub(crate) struct Tally {
    id: u64,
    is_session: bool,
    counts: Arc<Counts>,
    endpoint: EndpointId,
    ledger: Arc<Ledger>,
}

/// Adds, where nobody else writes.
fn grow(counter: &AtomicU64, by: usize) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by as u64), Ordering::Relaxed);
}

impl Tally {
    /// A client got so many bytes; PostgreSQL has been ready so often.
    pub(crate) fn down(&self, bytes: usize, ready: u64) {
        grow(&self.counts.egress, bytes);
        self.counts.queries.store(ready, Ordering::Relaxed);
    }

    /// A client sent so many bytes.
    pub(crate) fn up(&self, bytes: usize) {
        grow(&self.counts.ingress, bytes);
    }

    /// All that was counted, by somebody else.
    pub(crate) fn set(&self, all: Traffic) {
        self.counts.egress.store(all.egress, Ordering::Relaxed);
        self.counts.ingress.store(all.ingress, Ordering::Relaxed);
        self.counts.queries.store(all.queries, Ordering::Relaxed);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let mut lines = self.ledger.lines.lock();
        let Some(line) = lines.get_mut(&self.endpoint) else { return };
        if let Some(counts) = line.open.remove(&self.id) {
            line.closed += counts.read();
            line.sessions -= usize::from(self.is_session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(egress: u64, ingress: u64, queries: u64) -> Traffic {
        Traffic { egress, ingress, queries }
    }

    #[test]
    fn everything_is_taken_once() {
        let (ledger, id) = (Arc::new(Ledger::default()), EndpointId::generate());
        let (one, pool) = (ledger.session(&id), ledger.open(&id));
        one.up(10);
        one.down(100, 1);
        pool.set(traffic(5, 6, 7));
        assert_eq!(ledger.take(), [(id.clone(), traffic(105, 16, 8))]);
        assert_eq!(ledger.take(), []);
        one.down(1, 2);
        drop(one);
        pool.set(traffic(6, 6, 7));
        assert_eq!(ledger.take(), [(id.clone(), traffic(2, 0, 1))]);
        pool.set(traffic(6, 9, 7));
        drop(pool);
        assert_eq!(ledger.take(), [(id.clone(), traffic(0, 3, 0))]);
        assert!(ledger.take().is_empty() && ledger.lines.lock().is_empty(), "nothing of it is kept");
        // The next one begins at zero.
        let again = ledger.session(&id);
        again.up(4);
        assert_eq!(ledger.take(), [(id, traffic(0, 4, 0))]);
    }

    #[test]
    fn sessions_are_counted_as_long_as_they_last_and_pools_are_none() {
        let (ledger, id) = (Arc::new(Ledger::default()), EndpointId::generate());
        let (one, two, pool) = (ledger.session(&id), ledger.session(&id), ledger.open(&id));
        assert_eq!((ledger.sessions_of(&id), ledger.sessions()), (2, vec![(id.clone(), 2)]));
        drop((one, pool));
        let _what_one_counted = ledger.take();
        assert_eq!(ledger.sessions_of(&id), 1);
        drop(two);
        assert_eq!((ledger.sessions_of(&id), ledger.sessions()), (0, vec![]));
    }
}
