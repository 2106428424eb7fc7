//! Where a client waits for a backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use dormouse_pgwire::ClientError;
use dormouse_pooler::pool::Lease;
use parking_lot::Mutex;

use super::held::Held;

/// What a waiting client gets.
pub(super) type Given = Result<Lease<Box<Held>>, ClientError>;

#[derive(Debug)]
enum State {
    Waiting(Option<Waker>),
    Given(Given),
    /// Taken, or given up.
    Over,
}

/// One client's place in the line.
#[derive(Debug)]
pub(super) struct Slot {
    state: Mutex<State>,
    reminded: AtomicBool,
}

impl Slot {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State::Waiting(None)), reminded: AtomicBool::new(false) })
    }

    /// Has the client told that it waits.
    pub(super) fn remind(&self) {
        self.reminded.store(true, Ordering::Relaxed);
        if let State::Waiting(Some(waker)) = &*self.state.lock() {
            waker.wake_by_ref();
        }
    }

    /// Whether the client is to be told that it waits; true once.
    pub(super) fn take_reminder(&self) -> bool {
        self.reminded.load(Ordering::Relaxed) && self.reminded.swap(false, Ordering::Relaxed)
    }

    /// Gives the client what it waits for; back comes what nobody waits for any more.
    pub(super) fn give(&self, given: Given) -> Option<Given> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Over) {
            State::Waiting(waker) => {
                *state = State::Given(given);
                drop(state);
                if let Some(waker) = waker {
                    waker.wake();
                }
                None
            }
            _ => Some(given),
        }
    }

    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Given> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Over) {
            State::Given(given) => Poll::Ready(given),
            State::Waiting(_) => {
                *state = State::Waiting(Some(cx.waker().clone()));
                Poll::Pending
            }
            State::Over => Poll::Pending,
        }
    }

    /// Gives up; what was given already comes back.
    pub(super) fn leave(&self) -> Option<Given> {
        match std::mem::replace(&mut *self.state.lock(), State::Over) {
            State::Given(given) => Some(given),
            _ => None,
        }
    }
}
