//! Client → backend.
//!
//! Every message is looked at by its tag. Most go on as they are; those that name a prepared statement are
//! renamed; those that the backend need not see are answered in their place in the stream.

use std::sync::Arc;

use dormouse_pgwire::backend::TxStatus;
use dormouse_pgwire::frame::{self, HEADER_LEN, Header};
use dormouse_pgwire::tag::frontend as tag;

use super::client::Client;
use super::expect::{Answer, Asked, Expect, Undo};
use super::server::Server;
use super::stateful::Stateful;
use super::write::Write;
use super::{Common, parts};
use crate::sql::{Effect, classify};
use crate::statement::{NOBODYS, Need, Statement, is_others};

/// A query or statement that must be read as a whole may have so many bytes. PostgreSQL takes more, but not
/// through a pool: ten thousand clients could fill the memory.
const MAX_TEXT: usize = 64 << 20;

/// The longest name of a setting that is looked for.
const MAX_NAME: usize = 63;

/// Names, and whatever else is small.
const MAX_SMALL: usize = 64 << 10;

/// How to send what came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The input, as it is.
    AsItIs,
    /// What was written to `out`.
    Changed,
}

/// The client broke the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A message cannot be read.
    #[error("invalid message {:?} from the client: {what}", char::from(*tag))]
    Message {
        /// Its tag.
        tag: u8,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A message is too large.
    #[error("a message of {len} bytes is too large for a pooled connection, which takes at most {max}")]
    TooLong {
        /// Bytes of its body.
        len: usize,
        /// How many are allowed.
        max: usize,
    },
    /// A statement is used that the client did not prepare.
    #[error("prepared statement did not exist")]
    Unknown,
    /// A name is given to another statement without being closed first.
    #[error("prepared statement '{0}' was already prepared")]
    Taken(String),
    /// A client has too many prepared statements.
    #[error("too many prepared statements: a pooled connection may have {0}")]
    TooManyNames(usize),
}

/// Takes bytes of the client for its backend. All of `input` is taken; what cannot be sent yet is kept.
///
/// # Errors
/// When the client broke the protocol: both connections must end.
pub fn up(
    client: &mut Client,
    server: &mut Server,
    common: &mut Common,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Result<Sent, Violation> {
    if client.partial.is_empty() {
        return Up { client, server, common }.run(input, out);
    }
    // The beginning of a message waited for its rest: together they are a new input.
    let mut whole = std::mem::take(&mut client.partial);
    whole.extend_from_slice(input);
    client.stalled = false;
    let sent = Up { client, server, common }.run(&whole, out)?;
    if sent == Sent::AsItIs {
        out.extend_from_slice(&whole);
    }
    Ok(Sent::Changed)
}

struct Up<'a> {
    client: &'a mut Client,
    server: &'a mut Server,
    common: &'a mut Common,
}

/// What becomes of a message.
enum Fate {
    /// It goes on.
    Pass,
    /// It does not.
    Drop,
    /// It cannot be decided yet, nor anything that follows.
    Stall,
    /// Its first bytes were replaced; from this offset (in the message) on it goes on.
    Rest(usize),
}

impl Up<'_> {
    fn run(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Sent, Violation> {
        let mut write = Write::new(input, out);
        let mut at = self.client.passing.min(input.len());
        self.client.passing -= at;
        let dropped = self.client.dropping.min(input.len());
        self.client.dropping -= dropped;
        if dropped > 0 {
            write.leave_out(0, dropped);
            at = dropped;
        }
        while at < input.len() {
            let rest = &input[at..];
            let Some(header) = frame::header(rest) else { break };
            let header = header.map_err(|_| invalid(rest[0], "impossible length"))?;
            let whole = HEADER_LEN + header.body_len;
            let Some(there) = wanted(header, rest)? else { break };
            let fate = self.message(header, &rest[..there.min(rest.len())], at, &mut write)?;
            let end = at + whole.min(rest.len());
            let to_come = (at + whole).saturating_sub(input.len());
            match fate {
                Fate::Stall => {
                    self.client.stalled = true;
                    break;
                }
                Fate::Pass => self.client.passing = to_come,
                Fate::Drop => {
                    write.leave_out(at, end);
                    self.client.dropping = to_come;
                }
                Fate::Rest(offset) => {
                    write.leave_out(at, at + offset);
                    self.client.passing = to_come;
                }
            }
            at = end;
        }
        if at < input.len() {
            self.client.partial.extend_from_slice(&input[at..]);
            write.leave_out(at, input.len());
        }
        Ok(if write.finish() { Sent::AsItIs } else { Sent::Changed })
    }

    /// Looks at one message; `seen` is all of it, or for those that are passed on unread, what is there.
    fn message(
        &mut self,
        header: Header,
        seen: &[u8],
        at: usize,
        write: &mut Write<'_>,
    ) -> Result<Fate, Violation> {
        let body = seen.get(HEADER_LEN..).unwrap_or_default();
        if self.server.skipping && header.tag != tag::SYNC && header.tag != tag::TERMINATE {
            // The backend would not read it either.
            return Ok(Fate::Drop);
        }
        match header.tag {
            tag::QUERY => self.query(body),
            tag::PARSE => self.parse(body, at, write),
            tag::BIND => self.bind(header, body, at, write),
            tag::DESCRIBE => self.describe(body, at, write),
            tag::CLOSE => self.close(body),
            tag::EXECUTE => self.execute(body),
            tag::SYNC => Ok(self.sync()),
            tag::FLUSH => Ok(Fate::Pass),
            tag::FUNCTION_CALL => {
                self.server.push(Expect::Function);
                Ok(Fate::Pass)
            }
            // Nobody waits for these any more: the COPY has failed, and the backend would ignore them.
            tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL if self.server.expect.is_empty() => {
                Ok(Fate::Drop)
            }
            tag::COPY_DATA => Ok(Fate::Pass),
            tag::COPY_DONE | tag::COPY_FAIL => {
                if !std::mem::take(&mut self.server.copy_in) {
                    self.server.push(Expect::CopyEnd);
                }
                Ok(Fate::Pass)
            }
            tag::TERMINATE => {
                self.client.left = true;
                Ok(Fate::Drop)
            }
            tag => Err(invalid(tag, "unknown tag")),
        }
    }

    fn query(&mut self, body: &[u8]) -> Result<Fate, Violation> {
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
    fn deallocates(&mut self, stateful: Stateful) {
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

    fn parse(&mut self, body: &[u8], at: usize, write: &mut Write<'_>) -> Result<Fate, Violation> {
        let (name, rest) = parts::cut(body).ok_or_else(|| invalid(tag::PARSE, "its name does not end"))?;
        if self.client.names.is_full() && !name.is_empty() {
            return Err(Violation::TooManyNames(self.client.names.len()));
        }
        let statement = self.common.registry.intern(rest, Stateful::of);
        if self.server.is_unsure((!name.is_empty()).then_some(name), Some(statement.id())) {
            return Ok(Fate::Stall);
        }
        let again = !name.is_empty() && self.client.names.get(name).is_some();
        if again && self.common.strict {
            return Err(Violation::Taken(String::from_utf8_lossy(name).chars().take(MAX_NAME).collect()));
        }
        self.common.counters.client_parse_count +=
            u64::from(!name.is_empty() && self.common.counts_statements());
        let old = self.client.names.put(name, Some(Arc::clone(&statement)));
        let undo = |added| Undo { name: (!name.is_empty()).then(|| name.into()), old, added };
        if name.is_empty() && !statement.is_used_again() {
            // Seen for the first time: not worth a place among those that are kept.
            self.server.prepared.set_unnamed(Some(statement));
            self.server.push(Expect::Parse(undo(None)));
            self.server.unsynced = true;
            return Ok(Fate::Pass);
        }
        if self.server.status == TxStatus::Failed {
            // PostgreSQL decides whether it may be parsed now, which it can only when it does not have it.
            self.server.prepared.outdate(&statement);
        }
        if self.server.prepared.has(&statement, self.common.generation) && !again {
            self.server.push(Expect::Answer(Answer::Parsed(undo(None))));
            return Ok(Fate::Drop);
        }
        // A name that is taken: PostgreSQL refuses, in its own words, if it is there already.
        let out = write.put_at(at);
        self.ensure(&statement, out, !again);
        parts::parse(out, statement.name(), rest);
        self.server.push(Expect::Parse(undo((!again).then_some(statement))));
        self.server.unsynced = true;
        Ok(Fate::Drop)
    }

    /// Makes sure that the backend has a statement when it reads what is written next; with `parsed_next` the
    /// caller writes the Parse itself.
    fn ensure(&mut self, statement: &Arc<Statement>, out: &mut Vec<u8>, parsed_next: bool) {
        let need = self.server.prepared.want(statement, self.common.generation);
        if need == Need::Nothing {
            return;
        }
        self.server.unsynced = true;
        self.common.counters.server_parse_count += u64::from(self.common.counts_statements());
        if need == Need::Renew {
            parts::of_statement(out, tag::CLOSE, statement.name());
            self.server.push(Expect::Evict(Arc::clone(statement)));
        }
        if !parsed_next {
            parts::parse(out, statement.name(), statement.body());
            self.server.push(Expect::Inject(Arc::clone(statement)));
        }
        while let Some(old) = self.server.prepared.surplus(self.common.max_prepared.max(1)) {
            parts::of_statement(out, tag::CLOSE, old.name());
            self.server.push(Expect::Evict(old));
        }
    }

    fn bind(
        &mut self,
        header: Header,
        body: &[u8],
        at: usize,
        write: &mut Write<'_>,
    ) -> Result<Fate, Violation> {
        let unreadable = || invalid(tag::BIND, "its names do not end");
        let (portal, rest) = parts::cut(body).ok_or_else(unreadable)?;
        let (name, _) = parts::cut(rest).ok_or_else(unreadable)?;
        let statement = self.client.names.get(name).cloned();
        if self.server.is_unsure(Some(name), statement.as_ref().map(|statement| statement.id())) {
            return Ok(Fate::Stall);
        }
        self.must_exist(name, statement.as_deref())?;
        self.common.counters.bind_count += u64::from(self.common.counts_statements());
        self.note_portal(portal, statement.as_ref());
        if statement.as_ref().is_some_and(|statement| statement.stateful().any(Stateful::HIDDEN_SETTING)) {
            self.note_hidden(rest);
        }
        let fate = match statement {
            None if is_others(name) => {
                let names = portal.len() + 1 + name.len() + 1;
                parts::bind(write.put_at(at), portal, NOBODYS, header.body_len - names);
                Fate::Rest(HEADER_LEN + names)
            }
            // Not ours: prepared by SQL, or a mistake that PostgreSQL will tell.
            None => Fate::Pass,
            Some(statement) if name.is_empty() && self.is_unnamed_there(&statement) => Fate::Pass,
            Some(statement) => {
                let names = portal.len() + 1 + name.len() + 1;
                let out = write.put_at(at);
                self.ensure(&statement, out, false);
                parts::bind(out, portal, statement.name(), header.body_len - names);
                Fate::Rest(HEADER_LEN + names)
            }
        };
        self.server.push(Expect::Bind);
        self.server.unsynced = true;
        Ok(fate)
    }

    /// With strict names: whether there may be such a statement, prepared by a message or by SQL.
    fn must_exist(&self, name: &[u8], statement: Option<&Statement>) -> Result<(), Violation> {
        let by_sql = self.server.pinned.with(self.server.touched).any(Stateful::PREPARE);
        if self.common.strict && statement.is_none() && !name.is_empty() && !by_sql {
            return Err(Violation::Unknown);
        }
        Ok(())
    }

    /// Whether a client's unnamed statement is the backend's unnamed one. One that has a number there is used under
    /// that: what its unnamed one is may depend on a series whose outcome is not known.
    fn is_unnamed_there(&self, statement: &Statement) -> bool {
        self.server.prepared.unnamed_is(statement)
            && !self.server.prepared.has(statement, self.common.generation)
    }

    /// A parameter may be the name of a setting that PostgreSQL does not list: it is asked for later. Without such
    /// a name the setting is one of those that are listed.
    fn note_hidden(&mut self, rest: &[u8]) {
        for value in parts::parameters(rest).filter_map(|value| std::str::from_utf8(value).ok()) {
            let is_name = value.len() <= MAX_NAME
                && value.split('.').count() > 1
                && value
                    .split('.')
                    .all(|part| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_'));
            if is_name && self.client.wanted.get(value).is_none() {
                let _full = self.client.wanted.set(value, "");
            }
        }
    }

    /// Remembers a portal whose statement may leave something behind.
    fn note_portal(&mut self, portal: &[u8], statement: Option<&Arc<Statement>>) {
        match statement.filter(|statement| statement.stateful().outlives()) {
            Some(statement) => drop(self.server.portals.insert(portal.into(), Arc::clone(statement))),
            None if self.server.portals.is_empty() => {}
            None => drop(self.server.portals.remove(portal)),
        }
    }

    fn describe(&mut self, body: &[u8], at: usize, write: &mut Write<'_>) -> Result<Fate, Violation> {
        let (kind, name) = kind_and_name(tag::DESCRIBE, body)?;
        let statement = (kind == b'S').then(|| self.client.names.get(name).cloned()).flatten();
        let named = (kind == b'S').then_some(name);
        if self.server.is_unsure(named, statement.as_ref().map(|statement| statement.id())) {
            return Ok(Fate::Stall);
        }
        if kind == b'S' {
            self.must_exist(name, statement.as_deref())?;
        }
        let fate = match statement {
            Some(statement) if !(name.is_empty() && self.is_unnamed_there(&statement)) => {
                let out = write.put_at(at);
                self.ensure(&statement, out, false);
                parts::of_statement(out, tag::DESCRIBE, statement.name());
                Fate::Drop
            }
            None if kind == b'S' && is_others(name) => {
                parts::of_statement(write.put_at(at), tag::DESCRIBE, NOBODYS);
                Fate::Drop
            }
            _ => Fate::Pass,
        };
        self.server.push(Expect::Describe);
        self.server.unsynced = true;
        Ok(fate)
    }

    fn close(&mut self, body: &[u8]) -> Result<Fate, Violation> {
        let (kind, name) = kind_and_name(tag::CLOSE, body)?;
        if kind == b'S' && self.server.is_unsure(Some(name), None) {
            return Ok(Fate::Stall);
        }
        if kind == b'S'
            && let Some(old) = self.client.names.put(name, None)
        {
            let name = (!name.is_empty()).then(|| name.into());
            let undo = Undo { name, old: Some(old), added: None };
            self.server.push(Expect::Answer(Answer::Closed(undo)));
            return Ok(Fate::Drop);
        }
        self.server.push(Expect::Close);
        self.server.unsynced = true;
        Ok(Fate::Pass)
    }

    fn execute(&mut self, body: &[u8]) -> Result<Fate, Violation> {
        let (portal, _) = parts::cut(body).ok_or_else(|| invalid(tag::EXECUTE, "its portal does not end"))?;
        let statement =
            if self.server.portals.is_empty() { None } else { self.server.portals.get(portal).cloned() };
        if let Some(statement) = &statement {
            self.deallocates(statement.stateful());
        }
        self.server.push(Expect::Execute(statement));
        self.server.unsynced = true;
        Ok(Fate::Pass)
    }

    fn sync(&mut self) -> Fate {
        // While it waits for COPY data the backend ignores a Sync.
        if !self.server.copy_in {
            self.server.push(Expect::Sync);
            self.server.unsynced = false;
            self.server.skipping = false;
        }
        Fate::Pass
    }
}

/// How many bytes of a message must be there before it can be looked at; `None` = wait for more.
fn wanted(header: Header, rest: &[u8]) -> Result<Option<usize>, Violation> {
    let whole = HEADER_LEN + header.body_len;
    let (needed, max) = match header.tag {
        tag::QUERY | tag::PARSE => (whole, MAX_TEXT),
        tag::DESCRIBE | tag::CLOSE | tag::EXECUTE => (whole, MAX_SMALL),
        tag::BIND => (whole.min(names_end(rest)), MAX_TEXT.max(header.body_len)),
        _ => (HEADER_LEN, usize::MAX),
    };
    if header.body_len > max {
        return Err(Violation::TooLong { len: header.body_len, max });
    }
    if header.tag == tag::BIND && needed > MAX_SMALL && rest.len() > MAX_SMALL && needed > rest.len() {
        return Err(invalid(tag::BIND, "its names are too long"));
    }
    // All that is there is shown, up to the end of the message.
    Ok((rest.len() >= needed).then_some(whole))
}

/// Where the two names of a Bind end; more than there is when they do not end yet.
fn names_end(rest: &[u8]) -> usize {
    let mut zeros = memchr::memchr_iter(0, rest.get(HEADER_LEN..).unwrap_or_default());
    zeros.nth(1).map_or(usize::MAX, |at| HEADER_LEN + at + 1)
}

fn kind_and_name(tag: u8, body: &[u8]) -> Result<(u8, &[u8]), Violation> {
    let (&kind, rest) = body.split_first().ok_or_else(|| invalid(tag, "it is empty"))?;
    let (name, _) = parts::cut(rest).ok_or_else(|| invalid(tag, "its name does not end"))?;
    Ok((kind, name))
}

fn invalid(tag: u8, what: &'static str) -> Violation {
    Violation::Message { tag, what }
}
