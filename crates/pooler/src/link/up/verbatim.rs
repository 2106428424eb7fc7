//! Session mode: a client has its backend to itself, and what it says of statements goes there as it says it. Names,
//! errors and plans are PostgreSQL's, and SQL's `EXECUTE` finds what the protocol prepared.
//!
//! What the client has is followed all the same, because it outlives the backend: another one is given the statements
//! again ([`crate::link::naming`]). Names mean here what they will mean when all that was sent has happened; what fails is
//! undone as in transaction mode, and as there, what uses a name waits while an earlier series may change what that is:
//! what it executes would not be known.

use std::sync::Arc;

use super::query::deallocated_in;
use super::{Fate, Up};
use crate::link::expect::{Answer, Expect, Undo};
use crate::link::stateful::Stateful;
use crate::link::write::Write;
use crate::statement::{Forgotten, Statement};

/// What ends all statements that have names.
const ALL: Stateful = Stateful::DEALLOCATE_ALL.with(Stateful::DISCARD_ALL);

/// What ends some.
const ENDS: Stateful = ALL.with(Stateful::DEALLOCATE);

impl Up<'_> {
    pub(super) fn parse_verbatim(&mut self, name: &[u8], body: &[u8]) -> Fate {
        let named = !name.is_empty();
        if named && self.is_open(Some(name), None) {
            return Fate::Stall;
        }
        let statement = self.common.registry.verbatim(name, body, Stateful::of);
        let count = u64::from(named && self.common.counts_statements());
        self.common.counters.client_parse_count += count;
        self.common.counters.server_parse_count += count;
        let old = self.client.names.put(name, Some(Arc::clone(&statement)));
        let undo = if named {
            self.server.process.latent |= statement.stateful().outlives();
            self.server.prepared.put(&statement);
            Undo { name: Some(name.into()), old, added: Some(statement) }
        } else {
            self.server.prepared.set_unnamed(Some(&statement));
            Undo { name: None, old, added: None }
        };
        self.server.push(Expect::Parse(undo));
        self.server.unsynced = true;
        Fate::Pass
    }

    pub(super) fn close_verbatim(&mut self, name: &[u8]) -> Fate {
        if self.is_open(Some(name), None) {
            return Fate::Stall;
        }
        self.server.push(Expect::Close);
        self.gone(name);
        if self.server.pinned.any(Stateful::PREPARE) {
            // It may be one of SQL's.
            self.server.touched = self.server.touched.with(Stateful::RELEASE);
        }
        self.server.unsynced = true;
        Fate::Pass
    }

    pub(super) fn execute_verbatim(
        &mut self,
        statement: Option<Arc<Statement>>,
        at: usize,
        write: &mut Write<'_>,
    ) -> Fate {
        let Some(statement) = statement else {
            self.server.push(Expect::Execute(None, None));
            self.server.unsynced = true;
            return Fate::Pass;
        };
        let stateful = statement.stateful();
        let ends = stateful.and(ENDS);
        let one = (!ends.is_empty()).then(|| deallocated_in(statement.text()).pop_front()).flatten();
        if !ends.is_empty() && self.is_open(Some(one.as_deref().unwrap_or_default()), None) {
            self.hurry(at, write);
            return Fate::Stall;
        }
        self.begins(stateful);
        self.rereads(stateful, statement.text(), || None);
        if stateful.any(Stateful::FETCHES) {
            self.fetches();
        }
        let forgotten = self.forgets(ends.and(ALL));
        self.server.push(Expect::Execute(Some(statement), forgotten));
        if let Some(name) = one {
            self.gone(&name);
        }
        self.server.unsynced = true;
        Fate::Pass
    }

    /// A simple query, which has ended the `unnamed` statement.
    pub(super) fn query_verbatim(
        &mut self,
        stateful: Stateful,
        text: &[u8],
        unnamed: Option<Arc<Statement>>,
    ) -> Fate {
        self.server.prepared.set_unnamed(None);
        self.server.breaks_off();
        self.begins(stateful);
        self.rereads(stateful, text, || None);
        // Which of those that it names it comes to is told by its answer.
        let forgotten = self.forgets(stateful.and(ENDS));
        self.asks(stateful, text, unnamed, forgotten);
        Fate::Pass
    }

    /// What is sent now may end the meaning of names: they are kept until it is known whether it does.
    fn forgets(&mut self, ends: Stateful) -> Option<Forgotten> {
        (!ends.is_empty()).then(|| self.client.names.forget())
    }

    /// What was pushed last takes a name away.
    fn gone(&mut self, name: &[u8]) {
        if let Some(old) = self.client.names.put(name, None) {
            let name = (!name.is_empty()).then(|| name.into());
            self.server.push(Expect::Answer(Answer::Gone(Undo { name, old: Some(old), added: None })));
        }
    }
}
