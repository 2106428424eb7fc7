//! What the console orders: PAUSE, RESUME, KILL, RECONNECT.

use dormouse_base::clock::Mono;

use super::books::Books;
use super::gate::Gate;
use super::lease::Opening;
use super::state::{Event, State};
use crate::config::Limits;

/// What is left to do after KILL.
#[derive(Debug, PartialEq, Eq)]
pub struct Killed<B, W> {
    /// Backends to close. They are no longer counted. Those that clients have, the caller cuts with the clients.
    pub close: Vec<B>,
    /// Clients that waited, to be refused.
    pub refuse: Vec<W>,
}

impl<B, W> Books<B, W> {
    /// Whether the pool serves.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// How often RECONNECT came. Receipts of an older generation are stale.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Lets transactions end and starts none. Returns idle backends to close; `None` when it is not running.
    /// Paused is reached when [`Books::state`] says so.
    pub fn pause(&mut self, gate: &mut impl Gate) -> Option<Vec<B>> {
        if !self.happen(Event::Pause) {
            return None;
        }
        gate.waiting(None);
        let close = self.remove_idle(|_| true, gate);
        if self.total() == 0 {
            self.happen(Event::Empty);
        }
        Some(close)
    }

    /// Serves again, whatever failed before. Returns what to open for those who wait; `None` when it was running.
    pub fn resume(&mut self, now: Mono, limits: &Limits, gate: &mut impl Gate) -> Option<Vec<Opening>> {
        if !self.happen(Event::Resume) {
            return None;
        }
        self.retry_at = None;
        Some(std::iter::from_fn(|| self.open_for_waiters(now, limits, gate)).collect())
    }

    /// Cuts everything. Clients that come later wait for [`Books::resume`]. `None` when it was killed before.
    pub fn kill(&mut self, gate: &mut impl Gate) -> Option<Killed<B, W>> {
        if !self.happen(Event::Kill) {
            return None;
        }
        let refuse = self.refuse_waiters(gate);
        Some(Killed { close: self.remove_idle(|_| true, gate), refuse })
    }

    /// Sends everybody away who waits: the pooler is shutting down. Returns them, to be refused.
    pub fn refuse_waiters(&mut self, gate: &mut impl Gate) -> Vec<W> {
        gate.waiting(None);
        std::iter::from_fn(|| self.waiters.pop()).map(|(waiter, _)| waiter).collect()
    }

    /// Has every backend replaced: idle ones are returned to be closed, the others are closed when they are free.
    /// Also right when the endpoint went to sleep or was restarted.
    pub fn reconnect(&mut self, gate: &mut impl Gate) -> Vec<B> {
        self.generation += 1;
        self.stale = self.active + self.opening;
        self.remove_idle(|_| true, gate)
    }
}
