//! How a session ends when it is not its client that ends it: what is said, and when.
//!
//! ```text
//!  the compute drains   at rest: 57P01 at once          working: when it comes to rest
//!  the drain is over    between two messages: 57P01     inside of one: PostgreSQL's own words, or none
//!  the backend hung up  57P01 or 57P02, unless it said something final itself
//! ```
//!
//! A client that does not read gets none of these. It is not waited for: what has ended is no work any more after
//! [`GOODBYE_WITHIN`], nor does a session last longer than that when all that is left of it is its last word.

use std::future::Future;
use std::task::{Context, Poll, ready};

use dormouse_pgwire::ClientError;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_runtime::gate::Closing;
use tokio::sync::watch;

use super::{Relay, Watching};
use crate::session::{GOODBYE_WITHIN, help};

impl Relay {
    /// Ends the session with a word of why, if there is room for one. False: it does that already.
    pub(in crate::session) fn dismiss(&mut self, error: &ClientError) -> bool {
        if self.farewell || self.backend_gone {
            return false;
        }
        if self.scan.at_boundary() {
            self.say_goodbye(error);
        } else {
            self.farewell = true;
        }
        true
    }

    /// The backend hung up: if it said nothing final itself, the client is told what happened.
    pub(super) fn backend_ended(&mut self) {
        self.backend_gone = true;
        self.scan_ends();
        if self.terminated || self.scan.fatal_seen() || !self.scan.at_boundary() {
            return;
        }
        let error = match self.closing {
            Some(Closing::Draining | Closing::Now) => stopping(),
            Some(Closing::Crashed | Closing::Replaced) | None => crashed(),
        };
        self.to_client.add(&error.encode());
    }

    /// The compute begins to end, or goes further in ending.
    pub(super) fn poll_closing(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready((closing, receiver)) = self.watching.as_mut().poll(cx) {
            self.watching = watch_closing(receiver);
            self.closing = closing;
        }
    }

    /// Whether this run of the compute is over: nothing enters the gate for its sake any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.closing, Some(Closing::Now | Closing::Crashed))
    }

    /// Ready when the end has taken long enough. The gate is left by then: others may need it for the next run.
    pub(super) fn poll_limit(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !(self.farewell || self.inside && self.is_over()) {
            return Poll::Pending;
        }
        let limit = self.limit.get_or_insert_with(|| Box::pin(tokio::time::sleep(GOODBYE_WITHIN)));
        ready!(limit.as_mut().poll(cx));
        if self.inside {
            self.gate.leave();
            self.inside = false;
        }
        Poll::Ready(())
    }

    /// Whether it is time to go, given how the compute is ending.
    pub(super) fn leave_if_closing(&mut self) {
        if self.farewell || self.backend_gone {
            return;
        }
        let resting = self.at_rest() && !self.inside && self.waking.is_none();
        match self.closing {
            Some(Closing::Draining) if resting => self.say_goodbye(&stopping()),
            Some(Closing::Now) if self.scan.at_boundary() => self.say_goodbye(&stopping()),
            // PostgreSQL's own last words are on the way, or its end of the socket is closed.
            Some(_) | None => {}
        }
    }

    pub(super) fn say_goodbye(&mut self, error: &ClientError) {
        self.farewell = true;
        self.to_client.add(&error.encode());
    }
}

pub(super) fn watch_closing(mut receiver: watch::Receiver<Option<Closing>>) -> Watching {
    Box::pin(async move {
        // The sender is gone when the run is over; then nothing more will change.
        if receiver.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        let now = *receiver.borrow_and_update();
        (now, receiver)
    })
}

pub(crate) fn stopping() -> ClientError {
    let text = "terminating connection because the endpoint is stopping";
    ClientError::fatal(SqlState::ADMIN_SHUTDOWN, text)
        .with_detail("The database goes to sleep, or was asked to stop. Nothing that was committed is lost.")
        .with_hint(format!(
            "Connect again: the database wakes up by itself. {}",
            help("endpoint-is-stopping")
        ))
}

pub(crate) fn crashed() -> ClientError {
    let text = "terminating connection because PostgreSQL ended unexpectedly";
    ClientError::fatal(SqlState::CRASH_SHUTDOWN, text)
        .with_detail("What was committed is safe; the open transaction, if any, is rolled back.")
        .with_hint(format!("Connect again: the database recovers by itself. {}", help("compute-crashed")))
}
