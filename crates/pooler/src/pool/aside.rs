//! Backends that are opened for one client: connections of their own for those that cannot share, and backends of
//! those who had one when the compute ended and are served before anybody else.
//!
//! Such a connection is in use from its first moment: it is never one that is being opened, because those who wait for
//! a backend would take it for theirs. It counts until [`Books::closed`].

use dormouse_base::clock::Mono;

use super::books::Books;
use super::gate::Gate;
use super::lease::{Lease, Receipt};
use super::state::State;
use crate::config::Limits;

impl<B, W> Books<B, W> {
    /// Leave to have one more connection, if the limits allow it. When the pool is full, an idle backend is given up
    /// for it, to be closed by the caller.
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

    /// Leave to open a backend for a client that had one, beyond all limits if need be.
    pub fn reopen(&mut self, now: Mono, gate: &mut impl Gate) -> Receipt {
        gate.hold();
        self.active += 1;
        Receipt { opened_at: now, generation: self.generation }
    }

    /// It has been opened, and is that client's. Others may wait for more: [`Books::tick`] is due.
    pub fn reopened(&mut self, receipt: Receipt, backend: B) -> Lease<B> {
        self.retry_at = None;
        Lease { backend, receipt, check: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{Caps, Checkin, Checkout, NoCap};

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
    fn whoever_waits_while_a_listener_comes_back_has_a_backend_opened_as_well() {
        let limits = Limits::default();
        let mut books: Books<u32, ()> = Books::default();
        let now = Mono::now();
        let receipt = books.reopen(now, &mut NoCap);
        assert!(matches!(books.checkout(now, &limits, &mut NoCap), Checkout::Open(_)));
        let lease = books.reopened(receipt, 7);
        assert_eq!((lease.backend, books.total()), (7, 2));
        assert!(matches!(books.checkin(7, lease.receipt, now, &limits, &mut NoCap), Checkin::Kept));
    }

    #[test]
    fn who_comes_back_counts_among_all() {
        let limits = Limits::default();
        let mut caps = Caps::default();
        caps.set_limit(&"db", 2);
        let id = caps.join(&["db"]);
        let mut books: Books<u32, ()> = Books::default();
        let now = Mono::now();
        for _ in 0..3 {
            let receipt = books.reopen(now, &mut caps.gate(id));
            let lease = books.reopened(receipt, 7);
            assert_eq!(caps.held(&"db"), 1);
            assert!(books.closed(&lease.receipt, now, &limits, &mut caps.gate(id)).is_none());
            assert_eq!(caps.held(&"db"), 0, "and no more is taken off than was put on");
        }
        let _beyond = [(); 3].map(|()| books.reopen(now, &mut caps.gate(id)));
        assert_eq!(caps.held(&"db"), 3, "it is not refused");
        assert!(matches!(books.checkout(now, &limits, &mut caps.gate(id)), Checkout::Wait));
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
