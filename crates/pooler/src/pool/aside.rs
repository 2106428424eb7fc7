//! Backends that count and are not lent: connections of their own for clients that cannot share.
//!
//! Such a connection is in use from its first moment: it is never one that is being opened, because those who wait for
//! a backend would take it for theirs.

use dormouse_base::clock::Mono;

use super::books::Books;
use super::gate::Gate;
use super::lease::Receipt;
use super::state::State;
use crate::config::Limits;

impl<B, W> Books<B, W> {
    /// Leave to have one more connection, if the limits allow it; it counts as one that a client has until
    /// [`Books::closed`]. When the pool is full, an idle backend is given up for it, to be closed by the caller.
    pub fn set_aside(
        &mut self,
        now: Mono,
        limits: &Limits,
        gate: &mut impl Gate,
    ) -> (Option<Receipt>, Option<B>) {
        if self.state != State::Running {
            return (None, None);
        }
        let full = self.total() >= limits.size() as usize;
        let evicted = if full { self.evict(gate) } else { None };
        if (full && evicted.is_none()) || !gate.acquire(None) {
            return (None, evicted);
        }
        self.active += 1;
        (Some(Receipt { opened_at: now, generation: self.generation }), evicted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{Checkin, Checkout, NoCap};

    fn standing_in(pool_size: u32) -> Limits {
        Limits { pool_size, as_pgbouncer: true, ..Limits::default() }
    }

    #[test]
    fn what_is_set_aside_counts_and_takes_an_idle_ones_place() {
        let limits = Limits { pool_size: 1, ..Limits::default() };
        let mut books: Books<u32, ()> = Books::default();
        let now = Mono::now();
        let Checkout::Open(opening) = books.checkout(now, &limits, &mut NoCap) else { panic!() };
        assert!(matches!(books.set_aside(now, &limits, &mut NoCap), (None, None)), "the pool is full");
        assert!(matches!(books.opened(opening, 7, now, &limits, &mut NoCap), Checkin::Kept));
        let (Some(aside), Some(7)) = books.set_aside(now, &limits, &mut NoCap) else { panic!() };
        assert!(matches!(books.checkout(now, &limits, &mut NoCap), Checkout::Wait));
        books.wait((), now);
        assert!(books.closed(&aside, now, &limits, &mut NoCap).is_some(), "a client waits for the place");
        assert_eq!(books.total(), 1);
    }

    #[test]
    fn whoever_waits_has_a_backend_opened_beside_it() {
        let limits = standing_in(2);
        let mut books: Books<u32, ()> = Books::default();
        let now = Mono::now();
        let (Some(_aside), None) = books.set_aside(now, &limits, &mut NoCap) else { panic!() };
        let counts = books.counts(now, &limits);
        assert_eq!((counts.sv_active, counts.sv_login), (1, 0));
        assert!(matches!(books.checkout(now, &limits, &mut NoCap), Checkout::Open(_)));
    }

    #[test]
    fn a_failure_beside_it_is_over_when_its_time_is() {
        let limits = standing_in(3);
        let mut books: Books<u32, ()> = Books::default();
        let now = Mono::now();
        let (Some(_aside), None) = books.set_aside(now, &limits, &mut NoCap) else { panic!() };
        let Checkout::Open(opening) = books.checkout(now, &limits, &mut NoCap) else { panic!() };
        let _refused = books.open_failed(&opening, now, &limits, &mut NoCap);
        assert!(matches!(books.checkout(now, &limits, &mut NoCap), Checkout::Wait));
        books.wait((), now);
        assert_eq!(books.next_deadline(now, &limits), Some(now.plus(limits.server_login_retry)));
        let later = now.plus(limits.server_login_retry);
        assert_eq!(books.tick(later, &limits, &mut NoCap).open.len(), 1);
    }
}
