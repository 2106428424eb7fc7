//! Parse, Describe and Close: what a name means, and whether the backend has it.

use std::sync::Arc;

use dormouse_pgwire::backend::TxStatus;
use dormouse_pgwire::tag::frontend as tag;

use super::read::{invalid, kind_and_name};
use super::{Fate, MAX_NAME, Up, Violation};
use crate::link::expect::{Answer, Compared, Described, Expect, Undo};
use crate::link::parts;
use crate::link::stateful::Stateful;
use crate::link::write::Write;
use crate::statement::{Fit, NOBODYS, Need, Place, Statement, is_others};

impl Up<'_> {
    pub(super) fn parse(&mut self, body: &[u8], at: usize, write: &mut Write<'_>) -> Result<Fate, Violation> {
        let (name, rest) = parts::cut(body).ok_or_else(|| invalid(tag::PARSE, "its name does not end"))?;
        if self.server.holds_much() {
            self.hurry(at, write);
            return Ok(Fate::Stall);
        }
        if self.client.names.is_full() && !name.is_empty() {
            return Err(Violation::TooManyNames(self.client.names.len()));
        }
        if !self.common.registry.has_room(rest.len()) {
            return Err(Violation::TooMuchText);
        }
        if self.client.verbatim {
            return Ok(self.parse_verbatim(name, rest));
        }
        let statement = self.meant(rest);
        if self.server.is_unsure((!name.is_empty()).then_some(name), Some(statement.id())) {
            return Ok(Fate::Stall);
        }
        if self.server.under_way.series.repeats() {
            // The first time it was given this name already.
            self.client.names.put(name, None);
        }
        let again = !name.is_empty() && self.client.names.get(name).is_some();
        // In a failed transaction PostgreSQL refuses it before it looks at the name, and goes on.
        if again && self.common.strict && self.server.status != TxStatus::Failed {
            if !self.server.expect.is_empty() {
                // Whether it is in one tells what was sent before.
                self.hurry(at, write);
                return Ok(Fate::Stall);
            }
            return Err(Violation::Taken(String::from_utf8_lossy(name).chars().take(MAX_NAME).collect()));
        }
        self.common.counters.client_parse_count +=
            u64::from(!name.is_empty() && self.common.counts_statements());
        let old = self.client.names.put(name, Some(Arc::clone(&statement)));
        self.server.prepared.say(Some(statement.id()));
        if name.is_empty() {
            self.retire(old.as_deref(), at, write);
        }
        let undo = |added| Undo { name: (!name.is_empty()).then(|| name.into()), old, added };
        if name.is_empty() && !statement.is_used_again() {
            // Seen for the first time: not worth a place among those that are kept.
            self.server.prepared.set_unnamed(Some(&statement));
            self.server.push(Expect::Parse(undo(None)));
            self.server.unsynced = true;
            return Ok(Fate::Pass);
        }
        if self.server.status == TxStatus::Failed {
            // PostgreSQL decides whether it may be parsed now, which it can only when it does not have it.
            self.server.prepared.outdate(&statement);
        }
        if self.server.prepared.has(&statement) && !again {
            self.server.push(Expect::Answer(Answer::Parsed(undo(None))));
            return Ok(Fate::Drop);
        }
        // A name that is taken: PostgreSQL refuses, in its own words, if it is there already.
        let out = write.put_at(at);
        let _as_said = self.ensure(&statement, out, !again);
        parts::parse(out, statement.name(), rest);
        self.server.push(Expect::Parse(undo((!again).then(|| Arc::clone(&statement)))));
        self.server.unsynced = true;
        if !again {
            self.compare(name, statement, out);
        }
        Ok(Fate::Drop)
    }

    /// The statement that a Parse means. Behind something that may change tables and has not happened yet, what others
    /// have prepared is older than that, here and elsewhere: so it is one of its own.
    fn meant(&mut self, body: &[u8]) -> Arc<Statement> {
        let reading = self.reading();
        let known = self.common.registry.intern_as(body, reading, Stateful::of);
        if self.server.is_defining() { self.common.registry.apart(&known) } else { known }
    }

    /// The backend parses a statement as its client said it: is that what others were told?
    fn compare(&mut self, name: &[u8], statement: Arc<Statement>, out: &mut Vec<u8>) {
        // Who describes portals only is told nothing of parameters.
        let untold = statement.types().is_none() && statement.shape().is_none();
        if untold || self.server.status == TxStatus::Failed {
            return;
        }
        parts::of_statement(out, tag::DESCRIBE, statement.name());
        let described = Described { name: name.into(), statement };
        self.server.push(Expect::Compare(Compared { described, types: Box::default() }));
    }

    /// Makes sure that the backend has a statement when it reads what is written next; with `parsed_next` the
    /// caller writes the Parse itself. True when it has to be parsed.
    pub(super) fn ensure(
        &mut self,
        statement: &Arc<Statement>,
        out: &mut Vec<u8>,
        parsed_next: bool,
    ) -> bool {
        let need = if statement.is_verbatim() {
            self.server.prepared.want_verbatim(statement)
        } else {
            let reading = self.reading();
            self.server.prepared.want(statement, reading)
        };
        if need == Need::Nothing {
            return false;
        }
        self.server.unsynced = true;
        self.common.counters.server_parse_count += u64::from(self.common.counts_statements());
        if need == Need::Renew {
            parts::of_statement(out, tag::CLOSE, statement.name());
            self.server.push(Expect::Evict(Place::of(statement)));
        }
        if !parsed_next {
            parts::parse(out, statement.name(), &statement.as_told());
            self.server.push(Expect::Inject(Arc::clone(statement)));
            if statement.types().is_some() {
                self.server.prepared.is_as_told(statement.id());
            }
        }
        // Of its own names a client may have as many as without a pool.
        while !statement.is_verbatim()
            && let Some(old) = self.server.prepared.surplus(self.common.max_prepared.max(1))
        {
            parts::of_statement(out, tag::CLOSE, old.name().as_bytes());
            self.server.push(Expect::Evict(old));
        }
        true
    }

    /// Makes sure that the backend has a statement that is about to be used, and tells whether it will return what its
    /// clients were told. A backend that has to parse it is asked, and the message waits: see [`crate::link::down`].
    pub(super) fn fit(&mut self, statement: &Arc<Statement>, at: usize, write: &mut Write<'_>) -> Fit {
        let out = write.put_at(at);
        let parsed = self.ensure(statement, out, false);
        if statement.shape().is_none() || self.server.status == TxStatus::Failed {
            return Fit::Good;
        }
        if parsed {
            parts::of_statement(out, tag::DESCRIBE, statement.name());
            parts::empty(out, tag::FLUSH);
            self.server.push(Expect::Learn(Arc::clone(statement)));
            self.server.prepared.set_fit(statement.id(), Fit::Asked);
        }
        self.server.prepared.fit(statement.id())
    }

    /// A client has no use for a statement any more. One that nobody else can get is closed on the backend, too.
    fn retire(&mut self, statement: Option<&Statement>, at: usize, write: &mut Write<'_>) {
        let Some(alone) = statement.filter(|statement| !statement.is_shared()) else { return };
        if let Some(place) = self.server.prepared.take(alone.id()) {
            parts::of_statement(write.put_at(at), tag::CLOSE, alone.name());
            self.server.push(Expect::Evict(place));
            self.server.unsynced = true;
        }
    }

    /// With strict names: whether there may be such a statement, prepared by a message or by SQL.
    pub(super) fn must_exist(&self, name: &[u8], statement: Option<&Statement>) -> Result<(), Violation> {
        let by_sql = self.server.pinned.with(self.server.touched).any(Stateful::PREPARE);
        let strict = self.common.strict && !self.client.verbatim;
        if strict && statement.is_none() && !name.is_empty() && !by_sql {
            return Err(Violation::Unknown);
        }
        Ok(())
    }

    /// Whether it is open what a name means when the backend reads what is sent now.
    pub(super) fn is_open(&self, name: Option<&[u8]>, statement: Option<&Statement>) -> bool {
        // One of the client's own is what its name is.
        let number = statement.filter(|statement| !statement.is_verbatim()).map(Statement::id);
        self.server.is_unsure(name, number)
    }

    /// Whether a name that means nothing to this client could mean something on the backend that is not the client's.
    pub(super) fn is_others(&self, name: &[u8]) -> bool {
        !self.client.verbatim && is_others(name)
    }

    /// Whether a client's statement cannot be used without a look at what the backend has: under its number, or, in session
    /// mode, because it is not there.
    pub(super) fn needs_more(&self, name: &[u8], statement: &Statement) -> bool {
        match self.client.verbatim {
            true => !self.server.prepared.is_ready(statement),
            false => !(name.is_empty() && self.is_unnamed_there(statement)),
        }
    }

    /// Whether a client's unnamed statement is the backend's unnamed one. One that has a number there is used under
    /// that: what its unnamed one is may depend on a series whose outcome is not known.
    pub(super) fn is_unnamed_there(&self, statement: &Statement) -> bool {
        self.server.prepared.unnamed_is(statement) && !self.server.prepared.has(statement)
    }

    pub(super) fn describe(
        &mut self,
        body: &[u8],
        at: usize,
        write: &mut Write<'_>,
    ) -> Result<Fate, Violation> {
        let (kind, name) = kind_and_name(tag::DESCRIBE, body)?;
        if self.server.holds_much() {
            self.hurry(at, write);
            return Ok(Fate::Stall);
        }
        let statement = (kind == b'S').then(|| self.client.names.get(name).cloned()).flatten();
        let named = (kind == b'S').then_some(name);
        if self.is_open(named, statement.as_deref()) {
            return Ok(Fate::Stall);
        }
        if kind == b'S' {
            self.must_exist(name, statement.as_deref())?;
        }
        let is_known = statement.is_some();
        let by_number = statement.as_ref().filter(|statement| self.needs_more(name, statement));
        // It is told what is there, so that may be anything.
        let said = self.server.prepared.say(by_number.map(|statement| statement.id()));
        let fit = by_number.map_or(Fit::Good, |statement| self.fit(statement, at, write));
        self.server.prepared.say(said);
        if fit == Fit::Asked {
            return Ok(Fate::Stall);
        }
        let named_there = match by_number {
            Some(_) if fit == Fit::Bad => Some(NOBODYS),
            Some(statement) if statement.is_verbatim() => None,
            Some(statement) => Some(statement.name()),
            None if kind == b'S' && !is_known && self.is_others(name) => Some(NOBODYS),
            None => None,
        };
        let fate = match named_there {
            Some(named_there) => {
                parts::of_statement(write.put_at(at), tag::DESCRIBE, named_there);
                Fate::Drop
            }
            None => Fate::Pass,
        };
        let described =
            match statement {
                Some(statement) => Some(Described { name: name.into(), statement }),
                None if kind == b'P' => self.server.under_way.bound.of(name).map(|(statement, name)| {
                    Described { name: name.into(), statement: Arc::clone(statement) }
                }),
                None => None,
            };
        self.server.push(if fit == Fit::Bad { Expect::Stale } else { Expect::Describe(described) });
        self.server.unsynced = true;
        Ok(fate)
    }

    pub(super) fn close(&mut self, body: &[u8], at: usize, write: &mut Write<'_>) -> Result<Fate, Violation> {
        let (kind, name) = kind_and_name(tag::CLOSE, body)?;
        if kind == b'S' && self.client.verbatim {
            return Ok(self.close_verbatim(name));
        }
        if kind == b'S' && self.server.is_unsure(Some(name), None) {
            return Ok(Fate::Stall);
        }
        let old = if kind == b'S' { self.client.names.put(name, None) } else { None };
        // Closing what is not there is no error, so a name that is another's on the backend is not closed there.
        if old.is_some() || kind == b'S' && is_others(name) {
            self.retire(old.as_deref(), at, write);
            let name = (!name.is_empty()).then(|| name.into());
            let undo = Undo { name, old, added: None };
            self.server.push(Expect::Answer(Answer::Closed(undo)));
            return Ok(Fate::Drop);
        }
        self.server.push(Expect::Close);
        self.server.unsynced = true;
        Ok(Fate::Pass)
    }
}
