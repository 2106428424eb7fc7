//! Backends that were not opened.
//!
//! ```text
//!   the server refuses one   who waits, and has no other to wait for, is told its words;  so is who comes next
//!   it is away, or PAUSE     all wait on                                                  so does who comes next
//! ```
//!
//! In both cases the next attempt is [`Books::tick`]'s, and one at a time until one succeeds.

use dormouse_base::clock::Mono;

use super::books::Books;
use super::gate::Gate;
use super::lease::Opening;
use super::state::State;
use crate::config::Limits;

/// What follows from a backend that could not be opened.
#[derive(Debug, PartialEq, Eq)]
pub struct OpenFailed<W> {
    /// These clients are to get the error: there is no backend that they could wait for.
    pub refuse: Vec<W>,
}

impl<B, W> Books<B, W> {
    /// A backend could not be opened. The next attempt is [`Books::tick`]'s, after `server_login_retry`. Whoever waits
    /// while the pool has another one waits for that: the server may refuse one more and serve those that it has. Those that
    /// RECONNECT has made old are no hope: they are closed when they are free.
    pub fn open_failed(
        &mut self,
        opening: &Opening,
        now: Mono,
        limits: &Limits,
        gate: &mut impl Gate,
    ) -> OpenFailed<W> {
        self.opening -= 1;
        self.stale -= usize::from(opening.generation < self.generation);
        self.retry_at = Some(now.plus(limits.server_login_retry));
        self.away = false;
        self.gone(gate);
        gate.waiting(None);
        let hopeless = self.total() == self.stale && self.state == State::Running;
        OpenFailed { refuse: if hopeless { self.refuse_waiters(gate) } else { Vec::new() } }
    }

    /// A backend is not opened for now, which is no reason to refuse anybody: its server is away, say. Others may have
    /// its slot until [`Books::tick`] tries again, which is then, or at once.
    pub fn put_off(&mut self, opening: &Opening, until: Option<Mono>, gate: &mut impl Gate) {
        self.opening -= 1;
        self.stale -= usize::from(opening.generation < self.generation);
        if until.is_some() {
            (self.retry_at, self.away) = (until, true);
        }
        self.gone(gate);
        gate.waiting(None);
    }

    /// A failure of before says nothing any more.
    pub fn try_again(&mut self) {
        self.retry_at = None;
    }
}
