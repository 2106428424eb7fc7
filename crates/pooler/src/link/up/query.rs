//! Simple queries, and what SQL does to the protocol's prepared statements.

use std::collections::VecDeque;
use std::sync::Arc;

use dormouse_pgwire::backend::TxStatus;
use dormouse_pgwire::frame::Header;
use dormouse_pgwire::tag::frontend as tag;

use super::between::Blanked;
use super::read::{MAX_TEXT, invalid};
use super::reading::{Values, told};
use super::{Fate, Up, Violation};
use crate::link::expect::{Answer, Asked, Expect, UNREAD, Undo};
use crate::link::parts;
use crate::link::stateful::Stateful;
use crate::link::write::Write;
use crate::sql::{Effect, classify};
use crate::statement::{Forgotten, Statement, is_others};

impl Up<'_> {
    pub(super) fn query(
        &mut self,
        header: Header,
        body: &[u8],
        at: usize,
        write: &mut Write<'_>,
    ) -> Result<Fate, Violation> {
        let text = match header.body_len > MAX_TEXT {
            true => UNREAD,
            false => body.strip_suffix(&[0]).ok_or_else(|| invalid(tag::QUERY, "its text does not end"))?,
        };
        if self.server.holds_much() {
            self.hurry(at, write);
            return Ok(Fate::Stall);
        }
        let stateful = Stateful::of(text);
        let names = stateful.any(Stateful::DEALLOCATE.with(Stateful::DISCARD_ALL));
        if names && !self.server.expect.is_empty() {
            self.hurry(at, write);
            return Ok(Fate::Stall);
        }
        // As in PostgreSQL: a simple query ends the unnamed statement.
        let unnamed = self.client.names.put(b"", None);
        if self.client.verbatim {
            return Ok(self.query_verbatim(stateful, text, unnamed));
        }
        // In the middle of a series it does more than that: it ends the series' transaction.
        let refused = self.server.status == TxStatus::Failed;
        if names
            && !refused
            && !self.server.unsynced
            && let Some(command) = self.only_names(text)
        {
            self.server.push(Expect::Answer(Answer::Command(command)));
            return Ok(Fate::Drop);
        }
        self.server.prepared.set_unnamed(None);
        self.server.prepared.say(None);
        self.server.breaks_off();
        self.begins(stateful);
        self.rereads(stateful, text, || told(text, Values::default()));
        let Some(Blanked { text: rest, between }) = self.blank(stateful, text) else {
            let forgotten = self.deallocates(stateful, text);
            self.asks(stateful, text, unnamed, forgotten);
            return Ok(Fate::Pass);
        };
        // They are kept until it is known whether it comes to that.
        let forgotten = self.client.names.forget();
        self.asks(stateful, &rest, unnamed, Some(forgotten));
        if let Some(Expect::Query(asked)) = self.server.expect.back_mut() {
            asked.between = between;
        }
        parts::query(write.put_at(at), &rest);
        Ok(Fate::Drop)
    }

    /// A simple query goes to the backend; of its text is kept what its end will be held against.
    pub(super) fn asks(
        &mut self,
        stateful: Stateful,
        text: &[u8],
        unnamed: Option<Arc<Statement>>,
        forgotten: Option<Forgotten>,
    ) {
        if stateful.any(Stateful::FETCHES) {
            self.fetches();
        }
        let noted = stateful.without(Stateful::READS).outlives() || self.may_unplay(stateful);
        let text = noted.then(|| text.into());
        self.server.push(Expect::Query(Asked {
            stateful,
            text,
            unnamed,
            forgotten,
            done: 0,
            deallocates: None,
            between: VecDeque::new(),
        }));
    }

    /// The backend may drop statements when it comes to this: whatever is used from now on is parsed again. The
    /// names are kept until it is known that they mean nothing any more.
    pub(super) fn deallocates(&mut self, stateful: Stateful, text: &[u8]) -> Option<Forgotten> {
        if stateful.any(Stateful::DEALLOCATE) {
            let mut others = false;
            classify(text, &mut |effect| {
                others |= matches!(effect, Effect::Deallocate(name) if is_others(name.as_bytes()));
            });
            if others {
                self.server.prepared.outdate_all();
            }
        }
        let all = stateful.any(Stateful::DEALLOCATE_ALL.with(Stateful::DISCARD_ALL));
        all.then(|| {
            self.server.prepared.outdate_all();
            self.client.names.forget()
        })
    }

    /// `DEALLOCATE` and `DISCARD ALL` concern names that only we know, unless the client has something of its
    /// own on the backend. Tells what to answer, if the backend need not see it.
    fn only_names(&mut self, text: &[u8]) -> Option<&'static str> {
        let own = self.server.pinned.any(Stateful::PREPARE) || self.server.touched.any(Stateful::PREPARE);
        let calm = self.server.pinned.is_empty() && self.server.is_idle() && !self.client.keeps;
        // Else what follows at once would be read under what the backend has until the next client.
        let as_begun = self.server.has_only(&self.client.startup);
        if classify(text, &mut |_| {}).statements != 1 {
            return None;
        }
        let mut answer = None;
        let client = &mut *self.client;
        classify(text, &mut |effect| match effect {
            Effect::Deallocate(name) if client.names.get(name.as_bytes()).is_some() => {
                client.names.put(name.as_bytes(), None);
                answer = Some("DEALLOCATE");
            }
            Effect::DeallocateAll if !own => {
                client.names.forget();
                answer = Some("DEALLOCATE ALL");
            }
            Effect::DiscardAll if calm && as_begun => {
                client.names.forget();
                client.wanted = client.startup.clone();
                answer = Some("DISCARD ALL");
            }
            _ => {}
        });
        answer
    }

    /// The name of the protocol that executing a statement takes away, if it is `DEALLOCATE` of one: which only we
    /// know.
    pub(super) fn deallocated(&self, statement: &Statement) -> Option<Box<[u8]>> {
        if !statement.stateful().any(Stateful::DEALLOCATE) {
            return None;
        }
        let own = self.server.pinned.any(Stateful::PREPARE) || self.server.touched.any(Stateful::PREPARE);
        let name = deallocated_in(statement.text()).pop_front()?;
        let ours =
            self.client.names.get(&name).is_some() || (!own && self.server.is_unsure(Some(&name), None));
        ours.then_some(name)
    }

    /// Executes that: the backend has read its Bind, and is not told more.
    pub(super) fn deallocate(&mut self, name: &[u8], at: usize, write: &mut Write<'_>) -> Fate {
        if self.server.is_unsure(Some(name), None) {
            self.hurry(at, write);
            return Fate::Stall;
        }
        let old = self.client.names.put(name, None);
        let undo = Undo { name: Some(name.into()), old, added: None };
        self.server.push(Expect::Answer(Answer::Deallocated(undo)));
        Fate::Drop
    }
}

/// The names in the `DEALLOCATE`s of one each in a text, in their order.
pub(in crate::link) fn deallocated_in(text: &[u8]) -> VecDeque<Box<[u8]>> {
    let mut found = VecDeque::new();
    classify(text, &mut |effect| {
        if let Effect::Deallocate(name) = effect {
            found.push_back(Box::from(name.as_bytes()));
        }
    });
    found
}
