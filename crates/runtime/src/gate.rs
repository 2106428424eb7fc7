//! Who is working with an endpoint right now, in one atomic word.
//!
//! Every session *enters* when it has work for the database and *leaves* when the database answered
//! and no transaction is open. The endpoint may only be put to sleep when nobody is inside, and from
//! that instant on nobody may enter without waking it first. One 64-bit word makes that exact:
//!
//! ```text
//!  63                      25 24                 1   0
//! ┌──────────────────────────┬────────────────────┬───┐
//! │ generation (entries ever)│ inside (sessions)  │ C │   C = closed
//! └──────────────────────────┴────────────────────┴───┘
//! ```
//!
//! The generation answers "did anybody enter since I looked?". The idle check reads it, asks
//! PostgreSQL whether anything runs that no session stands for (autovacuum, a held advisory lock),
//! and then closes the gate *only if the generation is still the same*: work that came and went in
//! between is never missed. Entering costs two atomic additions a query and no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

const CLOSED: u64 = 1;
const ONE_INSIDE: u64 = 1 << 1;
const INSIDE_MASK: u64 = ((1 << 24) - 1) << 1;
const ONE_GENERATION: u64 = 1 << 25;

/// The gate of one endpoint. It starts closed, like the endpoint starts stopped.
#[derive(Debug)]
pub struct Gate {
    word: AtomicU64,
    emptied: Notify,
}

impl Default for Gate {
    fn default() -> Self {
        Self { word: AtomicU64::new(CLOSED), emptied: Notify::new() }
    }
}

/// How what is behind a gate is about to end, as those who use it see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Stopping in order: finish what runs, then go.
    Draining,
    /// The drain is over (or there was none): go now.
    Now,
    /// It died.
    Crashed,
    /// It goes on for those who use it; who comes now gets another.
    Replaced,
}

/// What [`Gate::look`] saw; proof for [`Gate::close_if_unchanged`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look(u64);

impl Look {
    /// How many were inside.
    #[must_use]
    pub fn inside(self) -> u64 {
        (self.0 & INSIDE_MASK) >> 1
    }

    /// Counts entries; equal generations mean that nobody entered in between.
    #[must_use]
    pub fn generation(self) -> u64 {
        self.0 >> 25
    }
}

impl Gate {
    /// Enters if the gate is open. Pair it with [`Gate::leave`], or use [`Gate::pass`].
    #[must_use]
    pub fn try_enter(&self) -> bool {
        let before = self.word.fetch_add(ONE_GENERATION + ONE_INSIDE, Ordering::AcqRel);
        if before & CLOSED == 0 {
            return true;
        }
        self.leave();
        false
    }

    /// Leaves after a successful [`Gate::try_enter`].
    pub fn leave(&self) {
        let before = self.word.fetch_sub(ONE_INSIDE, Ordering::AcqRel);
        debug_assert_ne!(before & INSIDE_MASK, 0, "left a gate without having entered");
        if before & CLOSED != 0 && (before & INSIDE_MASK) == ONE_INSIDE {
            self.emptied.notify_waiters();
        }
    }

    /// Enters if open, and leaves when the returned pass is dropped.
    #[must_use]
    pub fn pass(self: &Arc<Self>) -> Option<Pass> {
        self.try_enter().then(|| Pass(Arc::clone(self)))
    }

    /// Enters if open, without counting as an entry: for questions of our own, which must not keep an
    /// endpoint awake.
    #[must_use]
    pub fn pass_quietly(self: &Arc<Self>) -> Option<Pass> {
        let before = self.word.fetch_add(ONE_INSIDE, Ordering::AcqRel);
        let pass = Pass(Arc::clone(self));
        (before & CLOSED == 0).then_some(pass)
    }

    /// Looks without touching anything.
    #[must_use]
    pub fn look(&self) -> Look {
        Look(self.word.load(Ordering::Acquire))
    }

    /// Whether the gate is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.look().0 & CLOSED != 0
    }

    /// Closes the gate if nobody is inside and nobody entered since `look`. Tells whether it did.
    #[must_use]
    pub fn close_if_unchanged(&self, look: Look) -> bool {
        look.inside() == 0
            && self
                .word
                .compare_exchange(look.0, look.0 | CLOSED, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
    }

    /// Closes the gate; those inside may finish. Wait for them with [`Gate::emptied`].
    pub fn close(&self) {
        self.word.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Opens the gate.
    pub fn open(&self) {
        self.word.fetch_and(!CLOSED, Ordering::AcqRel);
    }

    /// Waits until nobody is inside. Only meaningful on a closed gate.
    pub async fn emptied(&self) {
        loop {
            let notified = self.emptied.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.look().inside() == 0 {
                return;
            }
            notified.await;
        }
    }
}

/// The right to be inside; dropping it leaves.
#[derive(Debug)]
pub struct Pass(Arc<Gate>);

impl Pass {
    /// Gives up automatic leaving: the holder calls [`Gate::leave`] itself.
    #[must_use]
    pub fn into_gate(self) -> Arc<Gate> {
        let gate = Arc::clone(&self.0);
        std::mem::forget(self);
        gate
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_came_and_went_is_noticed() {
        let gate = Arc::new(Gate::default());
        assert!(gate.pass().is_none(), "starts closed");
        gate.open();
        let look = gate.look();
        drop(gate.pass().unwrap());
        assert!(!gate.close_if_unchanged(look), "somebody was in since the look");
        let inside = gate.pass();
        assert!(!gate.close_if_unchanged(gate.look()), "somebody is in");
        drop(inside);
        assert!(gate.close_if_unchanged(gate.look()));
        assert!(gate.is_closed() && gate.pass().is_none());
        assert_eq!(gate.look().inside(), 0, "a refused entry leaves nothing behind");
    }

    #[test]
    fn a_quiet_pass_holds_but_does_not_count() {
        let gate = Arc::new(Gate::default());
        assert!(gate.pass_quietly().is_none());
        assert_eq!(gate.look().inside(), 0);
        gate.open();
        let look = gate.look();
        let quiet = gate.pass_quietly().unwrap();
        assert!(!gate.close_if_unchanged(gate.look()), "held while it is there");
        drop(quiet);
        assert!(gate.close_if_unchanged(look), "forgotten when it is gone");
    }

    #[tokio::test]
    async fn emptied_waits_for_those_inside() {
        let gate = Arc::new(Gate::default());
        gate.open();
        let pass = gate.pass().unwrap();
        gate.close();
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), gate.emptied()).await.is_err());
        drop(pass);
        gate.emptied().await;
    }
}
