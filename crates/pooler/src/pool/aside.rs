//! Backends that count and are not lent: connections of their own for clients that cannot share.

use dormouse_base::clock::Mono;

use super::books::Books;
use super::gate::Gate;
use super::lease::Opening;
use super::state::State;
use crate::config::Limits;

impl<B, W> Books<B, W> {
    /// Leave to have one more connection, if the limits allow it; it counts as one that is being opened until
    /// [`Books::put_back`]. When the pool is full, an idle backend is given up for it, to be closed by the caller.
    pub fn set_aside(&mut self, limits: &Limits, gate: &mut impl Gate) -> (Option<Opening>, Option<B>) {
        if self.state != State::Running {
            return (None, None);
        }
        let full = self.total() >= limits.size() as usize;
        let evicted = if full { self.evict(gate) } else { None };
        if (full && evicted.is_none()) || !gate.acquire(None) {
            return (None, evicted);
        }
        (Some(self.start_opening()), evicted)
    }

    /// It is closed. Perhaps a backend is to be opened for those who wait.
    pub fn put_back(
        &mut self,
        opening: Opening,
        now: Mono,
        limits: &Limits,
        gate: &mut impl Gate,
    ) -> Option<Opening> {
        self.opening -= 1;
        self.stale -= usize::from(opening.used() < self.generation);
        self.gone(gate);
        self.open_for_waiters(now, limits, gate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{Checkin, Checkout, NoCap};

    #[test]
    fn what_is_set_aside_counts_and_takes_an_idle_ones_place() {
        let limits = Limits { pool_size: 1, ..Limits::default() };
        let mut books: Books<u32, ()> = Books::default();
        let now = Mono::now();
        let Checkout::Open(opening) = books.checkout(now, &limits, &mut NoCap) else { panic!() };
        assert!(matches!(books.set_aside(&limits, &mut NoCap), (None, None)), "the pool is full");
        assert!(matches!(books.opened(opening, 7, now, &limits, &mut NoCap), Checkin::Kept));
        let (Some(aside), Some(7)) = books.set_aside(&limits, &mut NoCap) else { panic!() };
        assert!(matches!(books.checkout(now, &limits, &mut NoCap), Checkout::Wait));
        books.wait((), now);
        assert!(books.put_back(aside, now, &limits, &mut NoCap).is_some(), "a client waits for the place");
        assert_eq!(books.total(), 1);
    }
}
