//! The multiplexer: one client and the backend it has for the moment.
//!
//! ```text
//!            up                                          down
//!  client ───────► Parse/Bind/Describe/Close renamed ──────────► backend
//!         ◄─────── our own replies taken out, ◄───────────────── replies matched with
//!                  answered ones put in                          what is expected, in order
//! ```
//!
//! Everything that is sent to a backend and will be answered leaves an [`expect::Expect`] behind, in order. A
//! reply must match the first of them, so at every moment it is known which replies are the client's, which are
//! ours (a statement that we parsed again, a setting that we replayed), and where in the stream an answer belongs
//! that we give ourselves. **A backend is free for others only when nothing is expected, its status is idle, the
//! client stands between two messages, and nothing pins it** ([`Server::is_free`]); a reply that matches nothing
//! ends both connections. So one client's rows can never reach another.
//!
//! Most messages pass as they are: a chunk in which nothing has to change is not copied ([`Sent::AsItIs`]).
//!
//! In reading order: [`expect`], [`client`], [`server`], [`up`], [`down`], [`failure`] (an error in a pipeline),
//! `portal` (what is bound), `naming` (in session mode statements have the client's own names), [`replay`] (settings),
//! [`inspect`] (what did this transaction leave behind?), `resets` (which custom settings were reset in it), `baggage` (a
//! client moves to another process).

mod again;
mod baggage;
mod client;
mod down;
mod expect;
mod failure;
mod inspect;
mod lost;
mod naming;
mod own;
mod parts;
mod portal;
mod resets;
mod roles;
mod server;
mod stateful;
mod unfinished;
mod up;
mod watch;
mod write;

#[cfg(test)]
mod tests;

pub use baggage::{Reader, Unreadable, Writer};
pub use client::Client;
pub use down::{Broken, Got, answers, down};
pub use inspect::Findings;
pub use lost::{Loss, Lost, after_loss};
pub use own::{Greeting, catch_up, check, fail, forget, greet, inspect, replay, reset, roll_back};
pub use server::Server;
pub use stateful::Stateful;
pub use up::{Sent, Violation, up};

use crate::statement::Registry;
use crate::stats::Counters;

/// What all links of a pool share.
#[derive(Debug)]
pub struct Common {
    /// Its statements.
    pub registry: Registry,
    /// Statements that one backend may have (PgBouncer's `max_prepared_statements`), at least one.
    pub max_prepared: usize,
    /// As PgBouncer does it: a name that a client did not prepare, or prepares twice, ends its connection.
    pub strict: bool,
    /// Simple queries end their clients (PgBouncer's `disable_pqexec`).
    pub no_simple: bool,
    /// What they did.
    pub counters: Counters,
    /// What has come of their long messages that are not complete.
    unfinished: unfinished::Share,
}

impl Common {
    /// Whether statements are counted. PgBouncer's zero turns them off, and with them their numbers.
    pub(super) fn counts_statements(&self) -> bool {
        !self.strict || self.max_prepared > 0
    }

    /// A backend is closed in whatever state it is. What its transaction has defined is gone.
    pub fn closed(&mut self, server: &Server) {
        if server.under_way.defined {
            self.registry.outdate();
        }
    }

    /// Of a new pool.
    #[must_use]
    pub fn new(max_prepared: usize) -> Self {
        let (registry, counters, unfinished) = Default::default();
        Self { registry, max_prepared, strict: false, no_simple: false, counters, unfinished }
    }
}
