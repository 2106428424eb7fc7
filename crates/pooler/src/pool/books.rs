//! The books themselves: checkout, checkin, opening and closing.

use std::collections::VecDeque;

use dormouse_base::clock::Mono;

use super::gate::Gate;
use super::lease::{CloseReason, Lease, Opening, Receipt};
use super::state::{Event, State};
use super::waiters::{WaiterId, Waiters};
use crate::config::Limits;

/// A backend that nobody uses.
#[derive(Debug)]
pub(super) struct Idle<B> {
    pub(super) backend: B,
    pub(super) receipt: Receipt,
    pub(super) since: Mono,
}

/// One pool's books. `B` is the caller's handle of a backend, `W` that of a client that waits: a slot that the
/// lease is put into, say.
#[derive(Debug)]
pub struct Books<B, W> {
    pub(super) state: State,
    /// RECONNECT raises it; older backends are closed when they are free.
    pub(super) generation: u64,
    /// The back was used last.
    pub(super) idle: VecDeque<Idle<B>>,
    pub(super) active: usize,
    pub(super) opening: usize,
    /// Active or opening ones of an older generation.
    pub(super) stale: usize,
    pub(super) waiters: Waiters<W>,
    pub(super) clients: usize,
    /// Set by a failure, until a success: not to open another before then.
    pub(super) retry_at: Option<Mono>,
    /// That failure was no refusal: whoever comes meanwhile waits, too.
    pub(super) away: bool,
    /// When the last backend was closed for its age, so that not all are on the same day.
    pub(super) expired_at: Option<Mono>,
}

/// What a client that needs a backend gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Checkout<B> {
    /// This backend.
    Ready(Lease<B>),
    /// Open a backend, and [`Books::wait`]: whichever is free first will be handed over.
    Open(Opening),
    /// [`Books::wait`].
    Wait,
    /// There is no backend, and there will be none soon.
    Refuse(Refusal),
}

/// Why a client is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No backend could be opened just now, and `server_login_retry` is not over. The caller has the error.
    OpenFailed,
}

/// What becomes of a backend that is free.
#[derive(Debug, PartialEq, Eq)]
pub enum Checkin<B, W> {
    /// The client that has waited longest gets it.
    Handed {
        /// Who.
        waiter: W,
        /// When the wait began.
        since: Mono,
        /// What.
        lease: Lease<B>,
    },
    /// It is idle now.
    Kept,
    /// Close it. It is no longer counted.
    Close {
        /// Which.
        backend: B,
        /// Why.
        reason: CloseReason,
        /// Open another in its place, for those who wait.
        open: Option<Opening>,
    },
}

impl<B, W> Default for Books<B, W> {
    fn default() -> Self {
        Self {
            state: State::Running,
            generation: 0,
            idle: VecDeque::new(),
            active: 0,
            opening: 0,
            stale: 0,
            waiters: Waiters::default(),
            clients: 0,
            retry_at: None,
            away: false,
            expired_at: None,
        }
    }
}

impl<B, W> Books<B, W> {
    /// A client needs a backend. After `Open` and `Wait` the caller calls [`Books::wait`] under the same lock.
    pub fn checkout(&mut self, now: Mono, limits: &Limits, gate: &mut impl Gate) -> Checkout<B> {
        if self.state != State::Running {
            return Checkout::Wait;
        }
        if self.waiters.is_empty()
            && let Some(lease) = self.take_idle(now, limits)
        {
            return Checkout::Ready(lease);
        }
        if self.total() == 0 && !self.away && self.retry_at.is_some_and(|at| now < at) {
            return Checkout::Refuse(Refusal::OpenFailed);
        }
        match self.try_open(self.waiters.len() + 1, now, limits, gate) {
            Some(opening) => Checkout::Open(opening),
            None => Checkout::Wait,
        }
    }

    /// Puts a client in line.
    pub fn wait(&mut self, waiter: W, now: Mono) -> WaiterId {
        self.waiters.push(waiter, now)
    }

    /// A client leaves the line. `None` when it has already been served or refused: then what it was given
    /// must come back.
    pub fn cancel_wait(&mut self, id: WaiterId, gate: &mut impl Gate) -> Option<W> {
        let waiter = self.waiters.remove(id)?;
        gate.waiting(self.waiters.oldest());
        Some(waiter)
    }

    /// The caller's handle of a client that waits.
    pub fn waiter_mut(&mut self, id: WaiterId) -> Option<&mut W> {
        self.waiters.get_mut(id)
    }

    /// A client is done with its backend, which is clean and can serve another.
    pub fn checkin(
        &mut self,
        backend: B,
        receipt: Receipt,
        now: Mono,
        limits: &Limits,
        gate: &mut impl Gate,
    ) -> Checkin<B, W> {
        self.active -= 1;
        self.stale -= usize::from(receipt.is_stale(self.generation));
        let reason = self.unfit(&receipt, limits).or_else(|| self.too_old(&receipt, now, limits));
        self.place(backend, receipt, reason, now, limits, gate)
    }

    /// A backend has been opened. [`Books::tick`] is due then: after a failure it was the only one, and others may
    /// wait for more.
    pub fn opened(
        &mut self,
        opening: Opening,
        backend: B,
        now: Mono,
        limits: &Limits,
        gate: &mut impl Gate,
    ) -> Checkin<B, W> {
        self.opening -= 1;
        self.retry_at = None;
        let receipt = Receipt { opened_at: now, generation: opening.used() };
        self.stale -= usize::from(receipt.is_stale(self.generation));
        let reason = self.unfit(&receipt, limits);
        self.place(backend, receipt, reason, now, limits, gate)
    }

    /// A backend that a client had is closed or lost. Perhaps another is to be opened for those who wait.
    pub fn closed(
        &mut self,
        receipt: &Receipt,
        now: Mono,
        limits: &Limits,
        gate: &mut impl Gate,
    ) -> Option<Opening> {
        self.active -= 1;
        self.stale -= usize::from(receipt.is_stale(self.generation));
        self.gone(gate);
        self.open_for_waiters(now, limits, gate)
    }

    /// Takes idle backends out that were lost, or that are to be closed for a reason of the caller's.
    pub fn remove_idle(&mut self, mut which: impl FnMut(&B) -> bool, gate: &mut impl Gate) -> Vec<B> {
        let (out, keep): (Vec<_>, Vec<_>) = self.idle.drain(..).partition(|idle| which(&idle.backend));
        self.idle.extend(keep);
        out.into_iter()
            .map(|idle| {
                self.gone(gate);
                idle.backend
            })
            .collect()
    }

    /// Since when each idle backend is that, longest first.
    pub fn idle_since(&self) -> impl Iterator<Item = Mono> {
        self.idle.iter().map(|idle| idle.since)
    }

    /// Gives up the backend that was idle longest, for another pool under the same cap.
    pub fn evict(&mut self, gate: &mut impl Gate) -> Option<B> {
        let idle = self.idle.pop_front()?;
        self.gone(gate);
        Some(idle.backend)
    }

    /// A client of this pool has logged in.
    pub fn join(&mut self) {
        self.clients += 1;
    }

    /// A client of this pool has gone.
    pub fn leave(&mut self) {
        self.clients -= 1;
    }

    /// Backends that are open or being opened.
    #[must_use]
    pub fn total(&self) -> usize {
        self.idle.len() + self.active + self.opening
    }

    /// Leave to open a backend when so many clients want one and the limits, a failure before and the shared caps
    /// allow it.
    pub(super) fn try_open(
        &mut self,
        wanted: usize,
        now: Mono,
        limits: &Limits,
        gate: &mut impl Gate,
    ) -> Option<Opening> {
        // After a failure one attempt at a time, until one succeeds.
        let retrying = self.retry_at.is_some_and(|at| now < at || self.opening > 0);
        let first = limits.as_pgbouncer && self.opening > 0 && self.opening == self.total();
        if self.opening >= wanted || retrying || first || !self.room(now, limits) {
            // Not in line either: a slot that is kept back for this pool would serve nobody.
            gate.waiting(None);
            return None;
        }
        if !gate.acquire(Some(self.waiters.oldest().unwrap_or(now))) {
            return None;
        }
        let reserve = self.total() >= limits.size() as usize;
        Some(Opening { reserve, ..self.start_opening() })
    }

    pub(super) fn start_opening(&mut self) -> Opening {
        self.opening += 1;
        Opening { generation: self.generation, reserve: false }
    }

    pub(super) fn open_for_waiters(
        &mut self,
        now: Mono,
        limits: &Limits,
        gate: &mut impl Gate,
    ) -> Option<Opening> {
        if self.state != State::Running || self.waiters.is_empty() {
            gate.waiting(None);
            return None;
        }
        self.try_open(self.waiters.len(), now, limits, gate)
    }

    /// Whether the pool's own limits allow one more backend.
    fn room(&self, now: Mono, limits: &Limits) -> bool {
        let reserve = !limits.reserve_pool_timeout.is_zero()
            && self.waiters.oldest().is_some_and(|since| now.since(since) >= limits.reserve_pool_timeout);
        let size = if reserve { limits.size_with_reserve() } else { limits.size() };
        self.total() < size as usize
    }

    /// A backend is no longer counted.
    pub(super) fn gone(&mut self, gate: &mut impl Gate) {
        gate.release();
        if self.total() == 0 {
            self.happen(Event::Empty);
        }
    }

    /// Moves to another state, if the event has a meaning in this one.
    pub(super) fn happen(&mut self, event: Event) -> bool {
        let next = self.state.after(event);
        self.state = next.unwrap_or(self.state);
        next.is_some()
    }

    fn take_idle(&mut self, now: Mono, limits: &Limits) -> Option<Lease<B>> {
        let idle = if limits.server_round_robin { self.idle.pop_front() } else { self.idle.pop_back() }?;
        self.active += 1;
        let check = now.since(idle.since) > limits.server_check_delay;
        Some(Lease { backend: idle.backend, receipt: idle.receipt, check })
    }

    /// Why a free backend, which is not counted at this moment, must not stay.
    fn unfit(&self, receipt: &Receipt, limits: &Limits) -> Option<CloseReason> {
        match self.state {
            State::Running => {}
            State::Pausing | State::Paused => return Some(CloseReason::Paused),
            State::Killed => return Some(CloseReason::Killed),
        }
        if receipt.is_stale(self.generation) {
            return Some(CloseReason::Reconnect);
        }
        (self.total() >= limits.size_with_reserve() as usize).then_some(CloseReason::Shrunk)
    }

    /// Whether a backend is past its lifetime and it is its turn to go: a pool that was filled in one moment
    /// is renewed one by one, over the lifetime, not in one moment again.
    pub(super) fn too_old(&mut self, receipt: &Receipt, now: Mono, limits: &Limits) -> Option<CloseReason> {
        let lifetime = limits.server_lifetime;
        if now.since(receipt.opened_at) < lifetime {
            return None;
        }
        let pace = limits.renewal_pace();
        if self.expired_at.is_some_and(|last| now.since(last) < pace) {
            return None;
        }
        self.expired_at = Some(now);
        Some(CloseReason::Lifetime)
    }

    /// Finds the place of a free backend, which is not counted at this moment.
    fn place(
        &mut self,
        backend: B,
        receipt: Receipt,
        reason: Option<CloseReason>,
        now: Mono,
        limits: &Limits,
        gate: &mut impl Gate,
    ) -> Checkin<B, W> {
        let oldest = self.waiters.oldest();
        let reason = reason.or_else(|| gate.must_yield(oldest, now).then_some(CloseReason::OtherPool));
        if let Some(reason) = reason {
            self.gone(gate);
            return Checkin::Close { backend, reason, open: self.open_for_waiters(now, limits, gate) };
        }
        match self.waiters.pop() {
            Some((waiter, since)) => {
                self.active += 1;
                gate.waiting(self.waiters.oldest());
                Checkin::Handed { waiter, since, lease: Lease { backend, receipt, check: false } }
            }
            None => {
                self.idle.push_back(Idle { backend, receipt, since: now });
                Checkin::Kept
            }
        }
    }
}
