//! Backend → client.
//!
//! Rows and whatever else is only data passes by its length, unread and never held back. A message that changes
//! what is known is read as a whole: a few bytes of ReadyForQuery, a command's tag, a parameter, an error.
//!
//! ```text
//!  mod.rs      each message, held against what is expected      answers.rs  answers of our own
//!  effects.rs  what a statement left behind                     role.rs     the role that a client began with
//!  stale.rs    statements older than their tables               copy.rs     Syncs in front of COPY data
//!  errors.rs   who is told of an error                      reported.rs settings that PostgreSQL reports
//! ```

use dormouse_pgwire::backend::TxStatus;
use dormouse_pgwire::frame::{self, HEADER_LEN, Header};
use dormouse_pgwire::tag::backend as tag;

use super::client::Client;
use super::expect::Expect;
use super::server::Server;
use super::write::Write;
use super::{Common, inspect};

mod answers;
mod copy;
mod effects;
mod errors;
mod reported;
mod role;
mod stale;

pub use answers::answers;
use answers::give_answers;
pub(super) use {effects::may_have_run, reported::Explained, role::meant as role_meant};

/// ParseComplete, CloseComplete, ParameterDescription, NoData, BindComplete, PortalSuspended, CopyIn, FunctionCall.
const PARSE_COMPLETE: u8 = b'1';
const BIND_COMPLETE: u8 = b'2';
const CLOSE_COMPLETE: u8 = b'3';
const PARAMETER_DESCRIPTION: u8 = b't';
const NO_DATA: u8 = b'n';
const PORTAL_SUSPENDED: u8 = b's';
const COPY_IN_RESPONSE: u8 = b'G';

/// The largest message that is read as a whole: an error with everything in it.
const MAX_READ: usize = 64 << 20;

/// The process number at the beginning of a notification.
const PID_LEN: usize = 4;

/// What came of some bytes of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Got {
    /// The client gets the input as it is; else what was written to `out`.
    pub as_it_is: bool,
    /// So many replies to the client's statements ended (ReadyForQuery).
    pub ready: u32,
    /// A query of our own ended.
    pub own_ended: bool,
    /// Roles may have changed.
    pub roles_changed: bool,
}

/// The backend broke the protocol: both connections must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the backend sent message {:?}, which {what}", char::from(*tag))]
pub struct Broken {
    /// The message's tag.
    pub tag: u8,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Takes bytes of a backend for its client, all of them; what cannot be sent yet is kept.
///
/// # Errors
/// When the backend sent something that was not expected.
pub fn down(
    client: &mut Client,
    server: &mut Server,
    common: &mut Common,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Result<Got, Broken> {
    let mut down =
        Down { client, server, common, ready: 0, own_ended: false, roles_changed: false, stale: false };
    let as_it_is = if down.server.partial.is_empty() {
        down.run(input, out)?
    } else if down.server.partial.len() + input.len() < down.server.under_way.needs {
        // A long error: nothing can be said yet.
        down.server.partial.extend_from_slice(input);
        false
    } else {
        down.server.under_way.needs = 0;
        let mut whole = std::mem::take(&mut down.server.partial);
        whole.extend_from_slice(input);
        if down.run(&whole, out)? {
            out.extend_from_slice(&whole);
        }
        false
    };
    let Down { ready, own_ended, roles_changed, .. } = down;
    Ok(Got { as_it_is, ready, own_ended, roles_changed })
}

struct Down<'a> {
    client: &'a mut Client,
    server: &'a mut Server,
    common: &'a mut Common,
    ready: u32,
    own_ended: bool,
    roles_changed: bool,
    /// The client is told that a statement is older than its tables, instead of what the backend says.
    stale: bool,
}

impl Down<'_> {
    fn run(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<bool, Broken> {
        let mut write = Write::new(input, out);
        let mut at = self.server.passing.min(input.len());
        self.server.passing -= at;
        let dropped = self.server.dropping.min(input.len());
        self.server.dropping -= dropped;
        if dropped > 0 {
            write.leave_out(0, dropped);
            at = dropped;
        }
        while at < input.len() {
            let rest = &input[at..];
            let Some(header) = frame::header(rest) else { break };
            let header = header.map_err(|_| broken(rest[0], "has an impossible length"))?;
            let whole = HEADER_LEN + header.body_len;
            if matches!(header.tag, tag::DATA_ROW | tag::ROW_DESCRIPTION) && self.has_only_rows() {
                at += whole.min(rest.len());
                self.server.passing = whole.saturating_sub(rest.len());
                continue;
            }
            if self.must_be_whole(header.tag) && rest.len() < whole {
                if header.body_len > MAX_READ {
                    return Err(broken(header.tag, "is too large"));
                }
                self.server.under_way.needs = whole;
                break;
            }
            if self.has_answers() {
                self.give_way(header.tag);
                let out = write.put_at(at);
                give_answers(self.client, self.server, out);
            }
            let end = at + whole.min(rest.len());
            let to_come = whole.saturating_sub(rest.len());
            if header.tag == tag::NOTIFICATION_RESPONSE
                && self.is_own_notification(&rest[HEADER_LEN..end - at])
            {
                let out = write.put_at(at);
                out.extend_from_slice(&rest[..HEADER_LEN]);
                out.extend_from_slice(&self.client.pid.to_be_bytes());
                write.leave_out(at, at + HEADER_LEN + PID_LEN);
            }
            if self.message(header, &rest[HEADER_LEN..end - at])? {
                self.server.passing = to_come;
            } else {
                if std::mem::take(&mut self.stale) {
                    stale::tell(write.put_at(at));
                }
                write.leave_out(at, end);
                self.server.dropping = to_come;
            }
            at = end;
            if header.tag == tag::COMMAND_COMPLETE {
                self.end_between(at, &mut write);
            }
        }
        if at < input.len() {
            self.server.partial.extend_from_slice(&input[at..]);
            write.leave_out(at, input.len());
        }
        if self.has_answers() && self.server.partial.is_empty() && self.server.passing == 0 {
            let out = write.put_at(input.len());
            give_answers(self.client, self.server, out);
        }
        Ok(write.finish())
    }

    /// Whether rows, and what describes them, belong to something of the client, with nothing else to think of.
    fn has_only_rows(&self) -> bool {
        let front = self.server.expect.front();
        matches!(front, Some(Expect::Query(_) | Expect::Execute(..)))
            && self.server.under_way.series.is_forgotten()
    }

    /// Whether it comes from the client itself: drivers compare with the number that they were told.
    fn is_own_notification(&self, body: &[u8]) -> bool {
        self.server.process.pid != 0
            && self.client.pid != 0
            && body.starts_with(&self.server.process.pid.to_be_bytes())
    }

    /// Whether something comes first that the backend does not say, or may not say.
    fn has_answers(&self) -> bool {
        self.server.expect.front().is_some_and(Expect::is_ours_to_say)
    }

    /// Messages that are read, not only passed on.
    fn must_be_whole(&self, tag: u8) -> bool {
        match tag {
            tag::READY_FOR_QUERY
            | tag::ERROR_RESPONSE
            | tag::PARAMETER_STATUS
            | tag::COMMAND_COMPLETE
            | tag::NOTIFICATION_RESPONSE => true,
            tag::DATA_ROW => self.own(),
            tag::ROW_DESCRIPTION | PARAMETER_DESCRIPTION => {
                let mut expected = self.server.expect.iter();
                // Behind what it may leave out, and what we say.
                let next = expected.find(|expect| !expect.is_ours_to_say());
                matches!(
                    next,
                    Some(
                        Expect::Describe(Some(_))
                            | Expect::Learn(_)
                            | Expect::Compare(_)
                            | Expect::Restore(_)
                    )
                )
            }
            _ => false,
        }
    }

    fn own(&self) -> bool {
        matches!(self.server.expect.front(), Some(Expect::Own | Expect::Restore(_)))
    }

    fn restores(&self) -> bool {
        matches!(self.server.expect.front(), Some(Expect::Restore(_)))
    }

    /// Reads one message; true when the client gets it.
    fn message(&mut self, header: Header, body: &[u8]) -> Result<bool, Broken> {
        match header.tag {
            tag::READY_FOR_QUERY => return self.ready(body),
            tag::ERROR_RESPONSE => return Ok(self.error(body)),
            tag::PARAMETER_STATUS => return Ok(self.parameter(body)),
            tag::NOTICE_RESPONSE => return Ok(!self.own()),
            tag::NOTIFICATION_RESPONSE => return Ok(true),
            _ => {}
        }
        if self.own() {
            if self.restores() && !self.server.restored(header.tag, body) {
                return Err(broken(header.tag, "was not expected"));
            }
            if header.tag == tag::DATA_ROW
                && let Some(findings) = &mut self.server.own
            {
                findings.row(body);
            }
            return Ok(false);
        }
        self.reply(header.tag, body)
    }

    /// A reply to a statement of the client, or to what we sent in front of it.
    fn reply(&mut self, tag: u8, body: &[u8]) -> Result<bool, Broken> {
        let unexpected = || broken(tag, "was not expected");
        let front = self.server.expect.front().ok_or_else(unexpected)?;
        let (matches, pops, passes) = match (tag, front) {
            (PARSE_COMPLETE, Expect::Parse(_)) => (true, true, true),
            (PARSE_COMPLETE, Expect::Inject(_)) | (CLOSE_COMPLETE, Expect::Evict(_)) => (true, true, false),
            (BIND_COMPLETE, Expect::Bind) | (CLOSE_COMPLETE, Expect::Close) => (true, true, true),
            (PARSE_COMPLETE | BIND_COMPLETE | CLOSE_COMPLETE, _) => (false, false, false),
            (tag::ROW_DESCRIPTION | NO_DATA, Expect::Describe(_)) => (true, true, true),
            (tag::ROW_DESCRIPTION | NO_DATA, Expect::Learn(_) | Expect::Compare(_)) => (true, true, false),
            (PARAMETER_DESCRIPTION, Expect::Learn(_) | Expect::Compare(_)) => (true, false, false),
            (tag::COMMAND_COMPLETE | tag::EMPTY_QUERY_RESPONSE | PORTAL_SUSPENDED, Expect::Execute(..)) => {
                (true, true, true)
            }
            (tag::AUTHENTICATION | tag::BACKEND_KEY_DATA | tag::NEGOTIATE_PROTOCOL_VERSION, _) => {
                (false, false, false)
            }
            (tag::EMPTY_QUERY_RESPONSE, Expect::Mark) => (true, false, false),
            // Inside a query or an execution: rows and the like.
            (_, Expect::Query(_) | Expect::Function(_) | Expect::Execute(..) | Expect::Describe(_)) => {
                (true, false, true)
            }
            _ => (false, false, false),
        };
        if !matches {
            return Err(unexpected());
        }
        if tag == COPY_IN_RESPONSE {
            self.copy_in();
        }
        if tag == tag::COMMAND_COMPLETE {
            self.note_command(body);
        }
        if tag == PARAMETER_DESCRIPTION {
            self.parameters(body);
        }
        match if pops { self.server.pop() } else { None } {
            Some(Expect::Execute(Some(statement), _)) => match tag {
                tag::COMMAND_COMPLETE => self.executed(statement.stateful(), statement.text()),
                PORTAL_SUSPENDED => self.suspended(statement.stateful(), statement.text()),
                _ => {}
            },
            Some(Expect::Describe(Some(described))) => self.described(&described, body),
            Some(Expect::Learn(statement)) => self.learnt(&statement, body),
            Some(Expect::Compare(compared)) => self.compared(&compared, body),
            _ => {}
        }
        // The types of parameters come even when what follows fails.
        let is_completion =
            matches!(tag, PARSE_COMPLETE | BIND_COMPLETE | CLOSE_COMPLETE | PARAMETER_DESCRIPTION);
        Ok(passes && self.server.under_way.series.tells(is_completion))
    }

    fn ready(&mut self, body: &[u8]) -> Result<bool, Broken> {
        let status = body.first().copied().and_then(TxStatus::from_byte);
        let status = status.ok_or_else(|| broken(tag::READY_FOR_QUERY, "has no status"))?;
        let before = std::mem::replace(&mut self.server.status, status);
        self.roles_changed |= self.server.under_way.roles.ready(status);
        let mut ended = self.server.pop();
        // COPY data that ended after its COPY had failed.
        while let Some(Expect::CopyEnd) = ended {
            ended = self.server.pop();
        }
        self.server.copy_in = false;
        self.server.under_way.block = false;
        self.server.under_way.reset &= !self.server.expect.is_empty() || status != TxStatus::Idle;
        match ended {
            Some(Expect::Own) => {
                self.own_ended = true;
                let findings = self.server.own.take().unwrap_or_default();
                if findings.answer() {
                    inspect::take(self.client, self.server, &findings);
                }
                self.server.own = Some(findings);
                self.rolled_back(status);
                self.note_left(status);
                self.server.erred = false;
                self.server.settle();
                return Ok(false);
            }
            Some(Expect::Restore(_)) => {
                self.own_ended = self.server.expect.is_empty();
                return Ok(false);
            }
            Some(Expect::Query(asked)) => {
                if let Some(forgotten) = asked.forgotten {
                    // It did not come to that.
                    self.client.names.remember(forgotten);
                }
                if let Some(text) = asked.text {
                    self.queried(&text, asked.done, before, status);
                }
            }
            Some(Expect::Function(effect)) => self.server.touched = self.server.touched.with(effect),
            Some(Expect::Sync) => {}
            Some(Expect::Perhaps) => self.was_answered(),
            Some(Expect::Mark) => {
                // Nothing of the client is under way any more.
                self.ready += 1;
                return Ok(false);
            }
            Some(Expect::Probe) => return Ok(false),
            Some(Expect::Again) => {
                self.server.say_again(self.client);
                return Ok(false);
            }
            _ => return Err(broken(tag::READY_FOR_QUERY, "was not expected")),
        }
        self.server.under_way.series.ends();
        self.ready += 1;
        if status == TxStatus::Idle {
            self.undefine();
            self.transaction_ended();
            self.server.settle();
        }
        self.role_stays(status);
        Ok(true)
    }
}

fn broken(tag: u8, what: &'static str) -> Broken {
    Broken { tag, what }
}
