//! Who names the statements on a backend: the pool, or the client of session mode that has it to itself.
//!
//! ```text
//!            a client of transaction mode
//!   Nobody ───────────────────────────────► Pool     dormouse_7, dormouse_9
//!     ▲ │                                    │ DEALLOCATE ALL, in front of the session
//!     │ │    a client of session mode        ▼
//!     │ └──────────────────────────────────► Client   s1, s2, and SQL's PREPARE: one namespace, as in PostgreSQL
//!     └─────────────────────────────────────┘
//!        it leaves: DISCARD ALL, or a DEALLOCATE ALL of ours behind whatever the reset query is
//! ```
//!
//! As long as it is a client's nobody else gets it ([`Server::is_free`]). A session that comes from another backend brings
//! its statements along: they are parsed under their names before anything else of it is sent, in their order, each in a series of its own,
//! because one that cannot be parsed any more (its table is gone, or locked) must not keep the others from it. That one is
//! parsed once more where the client uses it, and the error is PostgreSQL's. Around them `lock_timeout` is short.
//!
//! ```text
//!   set lock_timeout          ──►     with whatever else the client has set
//!   P s1 S P s2 D s2 S P s3 S ──►     what s2 returns was told: it is asked again
//!                             ◄── 1 Z, 1 t T Z, E Z: all left out
//!   reset lock_timeout        ──►
//! ```
//!
//! The unnamed statement ends with any simple query of ours, so it is parsed where it is used.

use std::cmp::Reverse;
use std::sync::Arc;

use dormouse_pgwire::tag::backend::ROW_DESCRIPTION;
use dormouse_pgwire::tag::frontend as tag;

use super::client::Client;
use super::expect::Expect;
use super::parts;
use super::server::Server;
use crate::settings::Settings;
use crate::statement::{Fit, Shape, Statement};

/// Bytes after which statements to be restored wait for the next turn.
const MAX_BATCH: usize = 256 << 10;

/// So long one of them waits for a table that somebody has locked: what the client says may not need that table, and
/// whoever has it may wait for the client.
const LOCK_TIMEOUT: &str = "10ms";

/// The settings of a client while its statements are restored.
pub(super) fn hasty(wanted: &Settings) -> Settings {
    let mut hasty = wanted.clone();
    // Who has as many settings as may be waits.
    let _set = hasty.set("lock_timeout", LOCK_TIMEOUT);
    hasty
}

/// Whose the names are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum NamedBy {
    /// There is no statement.
    #[default]
    Nobody,
    /// Whatever is there is the pool's.
    Pool,
    /// It is the client's that has the backend.
    Client,
}

/// The statements of one backend.
#[derive(Debug, Default)]
pub(super) struct Naming {
    pub(super) by: NamedBy,
    /// What its client had elsewhere and has yet to get here.
    missing: Vec<Arc<Statement>>,
}

impl Naming {
    pub(super) fn is_clients(&self) -> bool {
        self.by == NamedBy::Client
    }
}

impl Server {
    /// A client that names its statements itself goes on here. True when there may be some of others.
    pub(super) fn named_by(&mut self, client: &Client) -> bool {
        let before = std::mem::replace(&mut self.process.naming.by, NamedBy::Client);
        if before == NamedBy::Client {
            return false;
        }
        self.prepared.clear();
        self.process.naming.missing =
            client.names.named().map(|(_, statement)| Arc::clone(statement)).collect();
        // The last one is taken first. What one of them executes by its name was there before it.
        self.process.naming.missing.sort_unstable_by_key(|statement| Reverse(statement.id()));
        for statement in &self.process.naming.missing {
            self.process.latent |= statement.stateful().outlives();
        }
        before == NamedBy::Pool
    }

    /// Whether it has yet to get some of its client's statements.
    pub(super) fn restores(&self) -> bool {
        !self.process.naming.missing.is_empty()
    }

    /// What to send so that it has the next of its client's statements; `None` when it has all of them.
    pub(super) fn restore(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        while out.len() < MAX_BATCH
            && let Some(statement) = self.process.naming.missing.pop()
        {
            parts::parse(&mut out, statement.name(), &statement.as_told());
            if statement.shape().is_some() {
                parts::of_statement(&mut out, tag::DESCRIBE, statement.name());
            }
            parts::empty(&mut out, tag::SYNC);
            self.push(Expect::Restore(statement));
        }
        (!out.is_empty()).then_some(out)
    }

    /// Takes a reply about one of them; false when it makes no sense.
    pub(super) fn restored(&mut self, reply: u8, body: &[u8]) -> bool {
        let Some(Expect::Restore(statement)) = self.expect.front() else { return false };
        let (id, fits) = match reply {
            b'1' => {
                self.prepared.put(statement);
                return true;
            }
            b't' => (statement.id(), statement.tell_types(body.get(2..).unwrap_or_default())),
            ROW_DESCRIPTION | b'n' => {
                (statement.id(), statement.shape().is_none_or(|told| told == Shape::of(body)))
            }
            _ => return false,
        };
        if !fits {
            self.prepared.set_fit(id, Fit::Bad);
        }
        true
    }

    /// Nothing is there any more, of the pool's, of SQL or of the protocol.
    pub(super) fn forget(&mut self) {
        self.prepared.clear();
        self.process.naming = Naming::default();
        self.process.latent = false;
    }

    /// Whether a client has left statements under its own names.
    #[must_use]
    pub fn must_forget(&self) -> bool {
        self.process.naming.is_clients()
    }
}
