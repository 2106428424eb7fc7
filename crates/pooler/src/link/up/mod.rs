//! Client → backend.
//!
//! Every message is looked at by its tag. Most go on as they are; those that name a prepared statement are
//! renamed; those that the backend need not see are answered in their place in the stream.
//!
//! ```text
//!  mod.rs        a chunk, message by message      statement.rs  Parse, Describe, Close
//!  read.rs       how much of one is needed        portal.rs     Bind, Execute, Sync
//!  query.rs      simple queries                   reading.rs    under which settings texts are read
//!                                                 verbatim.rs   session mode: names go on as they are
//! ```

use dormouse_pgwire::frame::{self, HEADER_LEN, Header};
use dormouse_pgwire::tag::frontend as tag;

use super::client::Client;
use super::expect::Expect;
use super::server::Server;
use super::stateful::Stateful;
use super::write::Write;
use super::{Common, parts};

mod between;
mod portal;
mod query;
mod read;
mod reading;
mod statement;
mod verbatim;

pub(super) use between::Between;
pub(super) use query::deallocated_in;
use read::{There, invalid, wanted};

/// Replies that a backend may owe to one client. Who sends more without taking any waits.
const MAX_OUTSTANDING: usize = 1 << 16;

/// The same as long as one of them defines a statement or takes one away: whatever means a statement then is held
/// against all of them.
const MAX_UNSURE: usize = 1 << 10;

/// The longest name of a setting that is looked for, and of a statement that is told.
const MAX_NAME: usize = 63;

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
    /// A simple query, of which its pool wants none.
    #[error("PQexec disallowed")]
    Simple,
    /// A statement is used that the client did not prepare.
    #[error("prepared statement did not exist")]
    Unknown,
    /// A name is given to another statement without being closed first.
    #[error("prepared statement '{0}' was already prepared")]
    Taken(String),
    /// The clients of its pool have too long statements together.
    #[error(
        "too long prepared statements: those over 64 KiB of all clients of a pool may have 512 MiB together"
    )]
    TooMuchText,
    /// Too much has come of messages that are not complete.
    #[error(
        "too long messages under way: those over 64 KiB that are not complete may have 512 MiB together, of all clients; try again"
    )]
    TooMuchBegun,
    /// A client has too many prepared statements.
    #[error(
        "too many prepared statements: a pooled connection may have 10000, of 64 MiB together; it has {0}"
    )]
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
    if server.under_way.series.holds() {
        client.partial.extend_from_slice(input);
        client.stalled = true;
        return Ok(Sent::Changed);
    }
    if client.partial.is_empty() {
        client.stalled = false;
        return Up { client, server, common }.run(input, out);
    }
    if !client.stalled && client.partial.len() + input.len() < client.needs {
        // Nothing can be said yet: looking at every piece of a long text would take for ever.
        if !client.unfinished.takes(&common.unfinished, client.partial.len() + input.len()) {
            return Err(Violation::TooMuchBegun);
        }
        client.partial.extend_from_slice(input);
        return Ok(Sent::Changed);
    }
    // The beginning of a message waited for its rest: together they are a new input.
    client.needs = 0;
    client.unfinished.is_whole();
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
        if self.server.under_way.mark && self.client.passing == 0 {
            self.server.under_way.mark = false;
            if self.server.expect.iter().any(|expect| matches!(expect, Expect::Perhaps)) {
                let out = write.put_at(at);
                if self.server.skipping {
                    // Answered for certain: it counts as the first.
                    parts::empty(out, tag::SYNC);
                    self.server.expect.push_front(Expect::Probe);
                }
                self.mark(out);
            }
        }
        while at < input.len() {
            let rest = &input[at..];
            let Some(header) = frame::header(rest) else { break };
            let header = header.map_err(|_| invalid(rest[0], "impossible length"))?;
            let whole = HEADER_LEN + header.body_len;
            let there = match wanted(header, rest, self.common.strict && !self.client.verbatim)? {
                There::Enough(there) => there,
                There::Needs(needs) => {
                    if !self.client.unfinished.takes(&self.common.unfinished, rest.len()) {
                        return Err(Violation::TooMuchBegun);
                    }
                    self.client.needs = needs;
                    break;
                }
            };
            let rested = self.server.expect.is_empty() && !self.server.unsynced;
            let fate = self.message(header, &rest[..there.min(rest.len())], at, &mut write)?;
            let holds = !matches!(fate, Fate::Stall)
                && !self.client.verbatim
                && self.server.remember(header.tag, rest.get(..whole), rested);
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
            if holds {
                self.client.stalled = at < input.len();
                break;
            }
        }
        if at < input.len() {
            self.client.partial.extend_from_slice(&input[at..]);
            write.leave_out(at, input.len());
        }
        self.server.under_way.inside = self.client.passing > 0;
        Ok(if write.finish() { Sent::AsItIs } else { Sent::Changed })
    }

    /// This will be executed: what must be known of it before its outcome is.
    fn begins(&mut self, stateful: Stateful) {
        self.server.under_way.defining |= self.server.may_define(stateful);
        self.server.under_way.reset |= stateful.any(Stateful::RESET) && !self.client.startup.is_empty();
    }

    /// Makes the backend answer what it was sent without a Sync: something waits for that.
    fn hurry(&self, at: usize, write: &mut Write<'_>) {
        if self.server.unsynced {
            parts::empty(write.put_at(at), tag::FLUSH);
        }
    }

    /// Puts an empty query behind a Sync of which it is not known whether it will be answered.
    fn mark(&mut self, out: &mut Vec<u8>) {
        parts::query(out, "");
        // As any simple query it ends the unnamed statement.
        self.server.prepared.set_unnamed(None);
        self.server.push(Expect::Mark);
    }

    /// Whether nothing more may go to the backend before it has answered.
    fn must_wait(&self) -> bool {
        let max = if self.server.definitions > 0 { MAX_UNSURE } else { MAX_OUTSTANDING };
        self.server.expect.len() >= max
            || (self.server.under_way.reset && !self.server.unsynced && !self.server.expect.is_empty())
    }

    /// Looks at one message; `seen` is all of it, or for those that are passed on unread, what is there.
    fn message(
        &mut self,
        header: Header,
        seen: &[u8],
        at: usize,
        write: &mut Write<'_>,
    ) -> Result<Fate, Violation> {
        if self.client.left {
            // Behind a goodbye PostgreSQL reads nothing.
            return Ok(Fate::Drop);
        }
        if self.server.copy_in {
            // It waits for the client, so the client must not wait for it.
            if !is_for_copy(header.tag) {
                // PostgreSQL loses its place in the stream, and ends the connection.
                return Err(invalid(header.tag, "the backend waits for COPY data"));
            }
        } else if self.must_wait() {
            self.hurry(at, write);
            return Ok(Fate::Stall);
        }
        let body = seen.get(HEADER_LEN..).unwrap_or_default();
        if !is_for_copy(header.tag) && self.server.is_among_data() {
            self.hurry(at, write);
            return Ok(Fate::Stall);
        }
        if self.server.skipping && header.tag != tag::SYNC && header.tag != tag::TERMINATE {
            // The backend would not read it either.
            return Ok(Fate::Drop);
        }
        match header.tag {
            tag::QUERY if self.common.no_simple => Err(Violation::Simple),
            tag::QUERY => self.query(header, body, at, write),
            tag::PARSE => self.parse(body, at, write),
            tag::BIND => self.bind(header, body, at, write),
            tag::DESCRIBE => self.describe(body, at, write),
            tag::CLOSE => self.close(body, at, write),
            tag::EXECUTE => self.execute(body, at, write),
            tag::SYNC => Ok(self.sync()),
            tag::FLUSH => Ok(Fate::Pass),
            tag::FUNCTION_CALL => {
                self.server.push(Expect::Function(read::effect_of_call(body)));
                self.server.prepared.say(None);
                self.server.breaks_off();
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
                    self.server.under_way.data = true;
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
}

/// Whether a backend that waits for COPY data takes it.
fn is_for_copy(tag: u8) -> bool {
    matches!(tag, tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL | tag::FLUSH | tag::SYNC | tag::TERMINATE)
}
