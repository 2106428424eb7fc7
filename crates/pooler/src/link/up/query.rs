//! Simple queries, and what SQL does to the protocol's prepared statements.

use dormouse_pgwire::backend::TxStatus;
use dormouse_pgwire::tag::frontend as tag;

use super::read::invalid;
use super::{Fate, Up, Violation};
use crate::link::expect::{Answer, Asked, Expect};
use crate::link::stateful::Stateful;
use crate::sql::{Effect, classify};

impl Up<'_> {
    pub(super) fn query(&mut self, body: &[u8]) -> Result<Fate, Violation> {
        let text = body.strip_suffix(&[0]).ok_or_else(|| invalid(tag::QUERY, "its text does not end"))?;
        let stateful = Stateful::of(text);
        let names = stateful.any(Stateful::DEALLOCATE.with(Stateful::DISCARD_ALL));
        if names && !self.server.expect.is_empty() {
            return Ok(Fate::Stall);
        }
        // As in PostgreSQL: a simple query ends the unnamed statement.
        let unnamed = self.client.names.put(b"", None);
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
        self.server.unsynced = false;
        self.deallocates(stateful);
        let text = stateful.outlives().then(|| text.into());
        self.server.push(Expect::Query(Asked { text, unnamed }));
        Ok(Fate::Pass)
    }

    /// The backend may drop statements when it comes to this: whatever is used from now on is parsed again.
    pub(super) fn deallocates(&mut self, stateful: Stateful) {
        // In a failed transaction it is refused, and in any transaction the second one is.
        let status = self.server.status;
        let all = stateful.any(Stateful::DEALLOCATE_ALL) && status != TxStatus::Failed
            || stateful.any(Stateful::DISCARD_ALL) && status == TxStatus::Idle;
        if all {
            self.server.prepared.outdate_all();
            self.client.names.clear();
        }
    }

    /// `DEALLOCATE` and `DISCARD ALL` concern names that only we know, unless the client has something of its
    /// own on the backend. Tells what to answer, if the backend need not see it.
    fn only_names(&mut self, text: &[u8]) -> Option<&'static str> {
        let own = self.server.pinned.any(Stateful::PREPARE) || self.server.touched.any(Stateful::PREPARE);
        let calm = self.server.pinned.is_empty() && self.server.is_idle() && !self.client.keeps;
        let mut answer = None;
        let client = &mut *self.client;
        let shape = classify(text, &mut |effect| match effect {
            Effect::Deallocate(name) if client.names.get(name.as_bytes()).is_some() => {
                client.names.put(name.as_bytes(), None);
                answer = Some("DEALLOCATE");
            }
            Effect::DeallocateAll if !own => {
                client.names.clear();
                answer = Some("DEALLOCATE ALL");
            }
            Effect::DiscardAll if calm => {
                client.names.clear();
                client.wanted = client.startup.clone();
                answer = Some("DISCARD ALL");
            }
            _ => {}
        });
        answer.filter(|_| shape.statements == 1)
    }
}
