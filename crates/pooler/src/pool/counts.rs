//! What SHOW POOLS and the autoscaler see of a pool.

use std::time::Duration;

use dormouse_base::clock::Mono;

use super::books::Books;
use super::state::State;
use crate::config::Limits;

/// A pool in numbers, with PgBouncer's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Clients that do not wait: with a backend, or idle.
    pub cl_active: usize,
    /// Clients that wait for a backend.
    pub cl_waiting: usize,
    /// Backends that clients have.
    pub sv_active: usize,
    /// Backends that are idle and can be used at once.
    pub sv_idle: usize,
    /// Backends that were idle for longer than `server_check_delay`, to be checked before they are used.
    pub sv_used: usize,
    /// Backends that are being opened.
    pub sv_login: usize,
    /// Backends that RECONNECT will close when they are free. WAIT_CLOSE waits until it is zero.
    pub close_needed: usize,
    /// How long the client at the front of the line has waited.
    pub maxwait: Duration,
    /// Whether the pool serves.
    pub state: State,
}

impl<B, W> Books<B, W> {
    /// The pool in numbers.
    #[must_use]
    pub fn counts(&self, now: Mono, limits: &Limits) -> Counts {
        let sv_used = self.resting(now, limits).filter(|(_, _, used)| *used).count();
        Counts {
            cl_active: self.clients.saturating_sub(self.waiters.len()),
            cl_waiting: self.waiters.len(),
            sv_active: self.active,
            sv_idle: self.idle.len() - sv_used,
            sv_used,
            sv_login: self.opening,
            close_needed: self.stale,
            maxwait: self.waiters.oldest().map_or(Duration::ZERO, |since| now.since(since)),
            state: self.state,
        }
    }

    /// The backends that are idle, since when, and whether that is for longer than `server_check_delay`.
    pub fn resting(&self, now: Mono, limits: &Limits) -> impl Iterator<Item = (&B, Duration, bool)> {
        let delay = limits.server_check_delay;
        self.idle.iter().map(move |idle| {
            let rested = now.since(idle.since);
            (&idle.backend, rested, rested > delay)
        })
    }

    /// How many clients wait for a backend.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// Since when the client at the front of the line waits.
    #[must_use]
    pub fn oldest_wait(&self) -> Option<Mono> {
        self.waiters.oldest()
    }

    /// Whether nobody needs this pool: no client, no backend. After a while it can be forgotten.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.clients == 0 && self.total() == 0 && self.waiters.is_empty()
    }
}
