//! Half-open connections: bounded, and the oldest gives way.
//!
//! A connection that has not logged in yet costs a descriptor and nothing else, but thousands of
//! them would lock everybody else out if new ones were refused. A real client finishes within
//! milliseconds; so when the table is full, the one that has been at it for longest is closed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// The connections that have not logged in, oldest first.
#[derive(Debug, Clone)]
pub struct Handshakes {
    limit: usize,
    next: Arc<AtomicU64>,
    open: Arc<Mutex<VecDeque<(u64, CancellationToken)>>>,
}

/// One connection's place in the table.
#[derive(Debug)]
pub struct Place {
    table: Handshakes,
    number: u64,
    /// Cancelled when this connection must give way.
    pub evicted: CancellationToken,
}

impl Handshakes {
    /// A table for at most `limit` connections.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), next: Arc::default(), open: Arc::default() }
    }

    /// Takes a place, closing the oldest connection if there is none left.
    #[must_use]
    pub fn enter(&self) -> Place {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let evicted = CancellationToken::new();
        let mut open = self.open.lock();
        if open.len() >= self.limit
            && let Some((_, oldest)) = open.pop_front()
        {
            oldest.cancel();
        }
        open.push_back((number, evicted.clone()));
        Place { table: self.clone(), number, evicted }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.lock().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.table.open.lock();
        // Numbers grow, so the table is sorted.
        if let Ok(index) = open.binary_search_by_key(&self.number, |(number, _)| *number) {
            open.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_gives_way() {
        let table = Handshakes::new(2);
        let (a, b) = (table.enter(), table.enter());
        let c = table.enter();
        assert!(a.evicted.is_cancelled() && !b.evicted.is_cancelled() && !c.evicted.is_cancelled());
        drop(b);
        let d = table.enter();
        assert!(!c.evicted.is_cancelled() && !d.evicted.is_cancelled());
        drop((a, c, d));
        assert!(table.is_empty());
    }
}
