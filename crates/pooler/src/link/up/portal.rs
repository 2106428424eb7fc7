//! Bind, Execute and Sync: a statement runs.

use std::sync::Arc;

use dormouse_pgwire::frame::{HEADER_LEN, Header};
use dormouse_pgwire::tag::frontend as tag;

use super::read::invalid;
use super::reading::{Values, told};
use super::{Fate, MAX_OUTSTANDING, Up, Violation};
use crate::link::down::may_have_run;
use crate::link::expect::Expect;
use crate::link::parts;
use crate::link::portal::Portal;
use crate::link::stateful::Stateful;
use crate::link::write::Write;
use crate::sql::may_be_custom;
use crate::statement::{Fit, NOBODYS, Statement};

/// Portals that are remembered at the same time. Who pipelines more has each of them asked about.
const MAX_PORTALS: usize = 1024;

/// Stands for a statement under a name that SQL's `PREPARE` may have made.
const PREPARED_BY_SQL: &[u8] = b"execute one\0\0\0";

impl Up<'_> {
    pub(super) fn bind(
        &mut self,
        header: Header,
        body: &[u8],
        at: usize,
        write: &mut Write<'_>,
    ) -> Result<Fate, Violation> {
        let unreadable = || invalid(tag::BIND, "its names do not end");
        let (portal, rest) = parts::cut(body).ok_or_else(unreadable)?;
        let (name, values) = parts::cut(rest).ok_or_else(unreadable)?;
        if self.server.holds_much() {
            self.hurry(at, write);
            return Ok(Fate::Stall);
        }
        let statement = self.client.names.get(name).cloned();
        if self.is_open(Some(name), statement.as_deref()) {
            return Ok(Fate::Stall);
        }
        self.must_exist(name, statement.as_deref())?;
        let by_number = statement.as_ref().filter(|statement| self.needs_more(name, statement));
        let fit = by_number.map_or(Fit::Good, |statement| self.fit(statement, at, write));
        if fit == Fit::Asked {
            return Ok(Fate::Stall);
        }
        self.common.counters.bind_count += u64::from(self.common.counts_statements());
        match &statement {
            None if !self.is_others(name) => {
                let by_sql = self.common.registry.intern(PREPARED_BY_SQL, Stateful::of);
                self.note_portal(portal, Some(&by_sql), values);
            }
            statement => self.note_portal(portal, statement.as_ref(), values),
        }
        if statement.as_ref().is_some_and(|statement| statement.stateful().any(Stateful::HIDDEN_SETTING)) {
            self.note_hidden(values);
        }
        let named_there = match by_number {
            Some(_) if fit == Fit::Bad => Some(NOBODYS),
            Some(statement) if statement.is_verbatim() => None,
            Some(statement) => Some(statement.name()),
            None if statement.is_none() && self.is_others(name) => Some(NOBODYS),
            // The unnamed one; or not ours: prepared by SQL, or a mistake that PostgreSQL will tell.
            None => None,
        };
        let names = portal.len() + 1 + name.len() + 1;
        // Its own ones are there under their names, and may be told in the same way.
        let told_by_portal = match self.client.verbatim {
            true => statement.as_ref().filter(|_| !name.is_empty()),
            false => by_number,
        };
        let untold = told_by_portal.filter(|statement| statement.shape().is_none());
        self.server.under_way.bound.is(untold, &body[..names]);
        let fate = match named_there {
            Some(named_there) => {
                parts::bind(write.put_at(at), portal, named_there, header.body_len - names);
                Fate::Rest(HEADER_LEN + names)
            }
            None => Fate::Pass,
        };
        self.server.push(if fit == Fit::Bad { Expect::Stale } else { Expect::Bind });
        self.server.unsynced = true;
        Ok(fate)
    }

    /// A parameter may be the name of a setting that PostgreSQL does not list: it is asked for later. Without such
    /// a name the setting is one of those that are listed.
    fn note_hidden(&mut self, values: &[u8]) {
        let texts = parts::parameters(values).flatten().filter_map(|value| std::str::from_utf8(value).ok());
        for value in texts {
            if may_be_custom(value) {
                self.client.ask_by_name(self.server, value);
            }
        }
    }

    /// Whether more must be known of what is executed than its end. That a transaction ends is told by that, unless
    /// it takes back what it has defined.
    fn is_noted(&self, stateful: Stateful) -> bool {
        let transaction = stateful.any(Stateful::TRANSACTION) && self.server.under_way.defining;
        let here = transaction || stateful.any(Stateful::FETCHES) || self.may_unplay(stateful);
        stateful.outlives() || here || self.server.may_define(stateful)
    }

    /// Whether it may take back what became of the role with which its client began.
    pub(super) fn may_unplay(&self, stateful: Stateful) -> bool {
        stateful.any(Stateful::TRANSACTION) && self.client.plays
    }

    /// SQL reads from a cursor. If that is a portal of the protocol's, its statement is executed, of which no reply tells:
    /// each that may leave something behind counts as executed, perhaps.
    pub(super) fn fetches(&mut self) {
        let portals: Vec<_> = self.server.under_way.portals.values().cloned().collect();
        for Portal { statement, told } in portals {
            self.begins(statement.stateful());
            self.rereads(statement.stateful(), statement.text(), || told);
            // Its text is read once in a transaction: it may be long, and there may be many portals and FETCHes of it.
            if self.server.under_way.fetched.insert(statement.id()) {
                may_have_run(self.client, self.server, statement.stateful(), statement.text());
            }
        }
    }

    /// Remembers a portal whose statement may leave something behind.
    fn note_portal(&mut self, portal: &[u8], statement: Option<&Arc<Statement>>, values: &[u8]) {
        match statement.filter(|statement| self.is_noted(statement.stateful())) {
            Some(statement) if self.server.under_way.portals.len() >= MAX_PORTALS => {
                // It is asked about, whatever it does.
                self.server.touched = self.server.touched.with(Stateful::ANYTHING);
                self.server.spoiled |= statement.stateful().any(Stateful::SPOILS);
            }
            Some(statement) => {
                let rereads = statement.stateful().any(Stateful::READS);
                let told = rereads.then(|| told(statement.text(), Values::new(statement, values))).flatten();
                let noted = Portal { statement: Arc::clone(statement), told };
                drop(self.server.under_way.portals.insert(portal.into(), noted));
            }
            None if self.server.under_way.portals.is_empty() => {}
            None => drop(self.server.under_way.portals.remove(portal)),
        }
    }

    pub(super) fn execute(
        &mut self,
        body: &[u8],
        at: usize,
        write: &mut Write<'_>,
    ) -> Result<Fate, Violation> {
        let (portal, _) = parts::cut(body).ok_or_else(|| invalid(tag::EXECUTE, "its portal does not end"))?;
        let portal = match self.server.under_way.portals.is_empty() {
            true => None,
            false => self.server.under_way.portals.get(portal).cloned(),
        };
        let (statement, told) = portal.map(|Portal { statement, told }| (statement, told)).unzip();
        if self.client.verbatim {
            return Ok(self.execute_verbatim(statement, at, write));
        }
        if let Some(name) = statement.as_ref().and_then(|statement| self.deallocated(statement)) {
            return Ok(self.deallocate(&name, at, write));
        }
        if let Some(statement) = &statement {
            self.begins(statement.stateful());
            self.rereads(statement.stateful(), statement.text(), || told.flatten());
            if statement.stateful().any(Stateful::FETCHES) {
                self.fetches();
            }
        }
        let forgotten =
            statement.as_ref().and_then(|statement| self.deallocates(statement.stateful(), statement.text()));
        self.server.push(Expect::Execute(statement, forgotten));
        self.server.unsynced = true;
        Ok(Fate::Pass)
    }

    pub(super) fn sync(&mut self) -> Fate {
        if self.server.copy_in {
            // While it waits for COPY data the backend ignores it. If the COPY has failed meanwhile, which is not known
            // here yet, it does not.
            if self.server.expect.len() >= MAX_OUTSTANDING {
                return Fate::Drop;
            }
            self.server.push(Expect::Perhaps);
            self.server.under_way.data = true;
            return Fate::Pass;
        }
        self.server.unsynced = false;
        self.server.skipping = false;
        self.server.under_way.bound.statement = None;
        self.server.prepared.say(None);
        self.server.push(Expect::Sync);
        Fate::Pass
    }
}
