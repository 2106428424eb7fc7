//! Half-open connections: bounded, and the oldest gives way.
//!
//! A connection that has not logged in yet costs a descriptor and nothing else, but thousands of
//! them would lock everybody else out if new ones were refused. A real client finishes within
//! milliseconds; so when the table is full, the one that has been at it for longest is closed.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// The connections that have not logged in, oldest first.
#[derive(Debug, Clone)]
pub struct Handshakes {
    limit: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    /// The next one's number.
    next: u64,
    /// Sorted by number.
    places: VecDeque<(u64, CancellationToken)>,
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
        Self { limit: limit.max(1), open: Arc::default() }
    }

    /// Takes a place, closing the oldest connection if there is none left.
    #[must_use]
    pub fn enter(&self) -> Place {
        let evicted = CancellationToken::new();
        let mut open = self.open.lock();
        // Drawn under the lock: who has the lower number is in front.
        let number = open.next;
        open.next += 1;
        if open.places.len() >= self.limit
            && let Some((_, oldest)) = open.places.pop_front()
        {
            oldest.cancel();
        }
        open.places.push_back((number, evicted.clone()));
        drop(open);
        Place { table: self.clone(), number, evicted }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.lock().places.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let places = &mut self.table.open.lock().places;
        if let Ok(index) = places.binary_search_by_key(&self.number, |(number, _)| *number) {
            places.remove(index);
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

    #[test]
    fn who_comes_at_the_same_time_leaves_nothing_behind() {
        let table = Handshakes::new(1_000);
        let some = || (0..8).map(|_| table.enter()).collect::<Vec<_>>();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..5_000).for_each(|_| drop(some())));
            }
        });
        assert!(table.is_empty(), "{} are left", table.len());
    }
}
