//! The line of clients: first come, first served, and anybody may leave from the middle.
//!
//! Who leaves becomes a gap, so that leaving costs a search and no move; gaps go when they reach the front, or
//! all at once when they are more than half.

use std::collections::VecDeque;
use std::time::Duration;

use dormouse_base::clock::Mono;

/// Names one wait of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(u64);

#[derive(Debug)]
struct Place<W> {
    id: WaiterId,
    since: Mono,
    /// `None` is a gap.
    waiter: Option<W>,
}

/// The line. Its first place is never a gap.
#[derive(Debug)]
pub(super) struct Waiters<W> {
    places: VecDeque<Place<W>>,
    live: usize,
    next: u64,
    /// All before this one have been told that they wait.
    notified: WaiterId,
}

impl<W> Default for Waiters<W> {
    fn default() -> Self {
        Self { places: VecDeque::new(), live: 0, next: 1, notified: WaiterId(0) }
    }
}

impl<W> Waiters<W> {
    pub(super) fn len(&self) -> usize {
        self.live
    }

    pub(super) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Since when the first one waits.
    pub(super) fn oldest(&self) -> Option<Mono> {
        self.places.front().map(|place| place.since)
    }

    pub(super) fn push(&mut self, waiter: W, now: Mono) -> WaiterId {
        let id = WaiterId(self.next);
        self.next += 1;
        self.live += 1;
        self.places.push_back(Place { id, since: now, waiter: Some(waiter) });
        id
    }

    pub(super) fn pop(&mut self) -> Option<(W, Mono)> {
        let place = self.places.pop_front()?;
        let waiter = place.waiter.expect("the first place is never a gap");
        self.live -= 1;
        self.tidy();
        Some((waiter, place.since))
    }

    pub(super) fn remove(&mut self, id: WaiterId) -> Option<W> {
        let index = self.places.binary_search_by_key(&id, |place| place.id).ok()?;
        let waiter = self.places[index].waiter.take()?;
        self.live -= 1;
        self.tidy();
        Some(waiter)
    }

    pub(super) fn get_mut(&mut self, id: WaiterId) -> Option<&mut W> {
        let index = self.places.binary_search_by_key(&id, |place| place.id).ok()?;
        self.places[index].waiter.as_mut()
    }

    /// Everybody who has waited for so long, in order, each reported once.
    pub(super) fn notify_after(&mut self, span: Duration, now: Mono) -> Vec<WaiterId> {
        let from = self.places.partition_point(|place| place.id < self.notified);
        let due: Vec<_> =
            self.places.range(from..).take_while(|place| now.since(place.since) >= span).collect();
        let Some(last) = due.last().map(|place| place.id) else {
            return Vec::new();
        };
        let ids = due.into_iter().filter(|place| place.waiter.is_some()).map(|place| place.id).collect();
        self.notified = WaiterId(last.0 + 1);
        ids
    }

    /// Since when the first one waits that has not been told.
    pub(super) fn oldest_unnotified(&self) -> Option<Mono> {
        let from = self.places.partition_point(|place| place.id < self.notified);
        self.places.range(from..).find(|place| place.waiter.is_some()).map(|place| place.since)
    }

    fn tidy(&mut self) {
        if self.places.len() > 2 * self.live {
            self.places.retain(|place| place.waiter.is_some());
        }
        while self.places.front().is_some_and(|place| place.waiter.is_none()) {
            self.places.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_holds_when_some_leave() {
        let start = Mono::now();
        let at = |seconds| start.plus(Duration::from_secs(seconds));
        let mut line = Waiters::default();
        let ids: Vec<_> = (0..6).map(|n| line.push(n, at(n))).collect();
        assert_eq!(line.remove(ids[0]), Some(0));
        assert_eq!(line.remove(ids[0]), None);
        assert_eq!(line.remove(ids[3]), Some(3));
        assert_eq!((line.len(), line.oldest()), (4, Some(at(1))));
        assert_eq!(line.notify_after(Duration::from_secs(3), at(5)), [ids[1], ids[2]]);
        assert_eq!(line.notify_after(Duration::from_secs(3), at(5)), []);
        assert_eq!(line.oldest_unnotified(), Some(at(4)));
        assert_eq!(line.get_mut(ids[4]), Some(&mut 4));
        let rest: Vec<_> = std::iter::from_fn(|| line.pop()).map(|(waiter, _)| waiter).collect();
        assert_eq!(rest, [1, 2, 4, 5]);
        assert!(line.is_empty() && line.places.is_empty());
    }

    #[test]
    fn gaps_do_not_pile_up() {
        let now = Mono::now();
        let mut line = Waiters::default();
        let first = line.push(0, now);
        for n in 0..1000 {
            let id = line.push(n, now);
            line.remove(id);
        }
        assert!(line.places.len() <= 3, "{}", line.places.len());
        assert_eq!(line.remove(first), Some(0));
    }
}
