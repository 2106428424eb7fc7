//! Backend → client.
//!
//! Rows and whatever else is only data passes by its length, unread and never held back. A message that changes
//! what is known is read as a whole: a few bytes of ReadyForQuery, a command's tag, a parameter, an error.

use dormouse_pgwire::ClientError;
use dormouse_pgwire::backend::{ErrorResponse, TxStatus};
use dormouse_pgwire::frame::{self, HEADER_LEN, Header};
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::tag::backend as tag;

use super::client::Client;
use super::expect::{Answer, Expect};
use super::server::Server;
use super::stateful::Stateful;
use super::write::Write;
use super::{Common, failure, inspect, parts};
use crate::settings::{Change, Settings, Tracker, Uncertain};
use crate::sql::{Effect, classify};

/// ParseComplete, CloseComplete, ParameterDescription, NoData, BindComplete, PortalSuspended, CopyIn, FunctionCall.
const PARSE_COMPLETE: u8 = b'1';
const BIND_COMPLETE: u8 = b'2';
const CLOSE_COMPLETE: u8 = b'3';
const NO_DATA: u8 = b'n';
const PORTAL_SUSPENDED: u8 = b's';
const COPY_IN_RESPONSE: u8 = b'G';

/// The largest message that is read as a whole: an error with everything in it.
const MAX_READ: usize = 4 << 20;

/// The process number at the beginning of a notification.
const PID_LEN: usize = 4;

/// SQLSTATE of an error that says that a plan does not fit its tables any more comes with this text.
const STALE_PLAN: &str = "cached plan must not change result type";

/// What came of some bytes of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Got {
    /// The client gets the input as it is; else what was written to `out`.
    pub as_it_is: bool,
    /// So many replies to the client's statements ended (ReadyForQuery).
    pub ready: u32,
    /// A query of our own ended.
    pub own_ended: bool,
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

/// Takes bytes of a backend for its client. All of `input` is taken; what cannot be sent yet is kept.
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
    let mut down = Down { client, server, common, ready: 0, own_ended: false };
    let as_it_is = if down.server.partial.is_empty() {
        down.run(input, out)?
    } else {
        let mut whole = std::mem::take(&mut down.server.partial);
        whole.extend_from_slice(input);
        if down.run(&whole, out)? {
            out.extend_from_slice(&whole);
        }
        false
    };
    Ok(Got { as_it_is, ready: down.ready, own_ended: down.own_ended })
}

/// Gives the answers whose turn it is without the backend. Call it when nothing was sent to the backend, or
/// after it: a client that asks for nothing else waits for them.
pub fn answers(client: &mut Client, server: &mut Server, out: &mut Vec<u8>) {
    // As long as the backend will say something, or stopped in the middle of a message, they go along with that.
    let between = server.passing == 0 && server.partial.is_empty();
    if between && server.expect.iter().all(|expect| matches!(expect, Expect::Answer(_) | Expect::CopyEnd)) {
        give_answers(client, server, out);
    }
}

fn give_answers(_client: &mut Client, server: &mut Server, out: &mut Vec<u8>) {
    while let Some(Expect::Answer(_) | Expect::CopyEnd) = server.expect.front() {
        match server.pop() {
            Some(Expect::Answer(Answer::Parsed(_))) => parts::empty(out, PARSE_COMPLETE),
            Some(Expect::Answer(Answer::Closed(_))) => parts::empty(out, CLOSE_COMPLETE),
            Some(Expect::Answer(Answer::Command(command))) => {
                if server.status == TxStatus::Failed {
                    out.extend_from_slice(&in_failed_transaction().encode());
                } else {
                    parts::command_complete(out, command);
                }
                out.extend_from_slice(&[tag::READY_FOR_QUERY, 0, 0, 0, 5, server.status.as_byte()]);
            }
            _ => {}
        }
    }
}

fn in_failed_transaction() -> ClientError {
    let text = "current transaction is aborted, commands ignored until end of transaction block";
    ClientError::error(SqlState::IN_FAILED_SQL_TRANSACTION, text)
}

struct Down<'a> {
    client: &'a mut Client,
    server: &'a mut Server,
    common: &'a mut Common,
    ready: u32,
    own_ended: bool,
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
            if must_be_whole(header.tag, self.own()) && rest.len() < whole {
                if header.body_len > MAX_READ {
                    return Err(broken(header.tag, "is too large"));
                }
                break;
            }
            if self.has_answers() {
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
                write.leave_out(at, end);
                self.server.dropping = to_come;
            }
            at = end;
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

    /// Whether it comes from the client itself: drivers compare with the number that they were told.
    fn is_own_notification(&self, body: &[u8]) -> bool {
        self.server.process.pid != 0
            && self.client.pid != 0
            && body.starts_with(&self.server.process.pid.to_be_bytes())
    }

    fn has_answers(&self) -> bool {
        matches!(self.server.expect.front(), Some(Expect::Answer(_) | Expect::CopyEnd))
    }

    fn own(&self) -> bool {
        matches!(self.server.expect.front(), Some(Expect::Own))
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
            (tag::ROW_DESCRIPTION | NO_DATA, Expect::Describe) => (true, true, true),
            (tag::COMMAND_COMPLETE | tag::EMPTY_QUERY_RESPONSE | PORTAL_SUSPENDED, Expect::Execute(_)) => {
                (true, true, true)
            }
            (tag::AUTHENTICATION | tag::BACKEND_KEY_DATA | tag::NEGOTIATE_PROTOCOL_VERSION, _) => {
                (false, false, false)
            }
            // Inside a query or an execution: rows and the like.
            (_, Expect::Query(_) | Expect::Function | Expect::Execute(_) | Expect::Describe) => {
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
        if pops
            && let Some(Expect::Execute(Some(statement))) = self.server.pop()
            && tag == tag::COMMAND_COMPLETE
        {
            self.executed(statement.stateful(), statement.text());
        }
        Ok(passes)
    }

    /// The backend waits for COPY data. It has ignored the Syncs that came before their end.
    fn copy_in(&mut self) {
        self.server.copy_in = true;
        let extended = matches!(self.server.expect.front(), Some(Expect::Execute(_)));
        let end = self.server.expect.iter().position(|expect| matches!(expect, Expect::CopyEnd));
        let mut at = 0;
        self.server.expect.retain(|expect| {
            let ignored = matches!(expect, Expect::Sync) && end.is_none_or(|end| at < end);
            at += 1;
            !ignored
        });
        if end.is_some() {
            self.server.copy_in = false;
        } else {
            self.server.unsynced |= extended;
        }
    }

    /// Changed tables make plans old.
    fn note_command(&mut self, body: &[u8]) {
        let dropped = body.starts_with(b"DROP ");
        if dropped || body.starts_with(b"ALTER ") || body.starts_with(b"CREATE VIEW") {
            self.common.generation += 1;
        }
        if dropped && self.server.pinned.any(Stateful::TEMP) {
            self.server.touched = self.server.touched.with(Stateful::RELEASE);
        }
    }

    fn ready(&mut self, body: &[u8]) -> Result<bool, Broken> {
        let status = body.first().copied().and_then(TxStatus::from_byte);
        let status = status.ok_or_else(|| broken(tag::READY_FOR_QUERY, "has no status"))?;
        let before = std::mem::replace(&mut self.server.status, status);
        let mut ended = self.server.pop();
        // COPY data that ended after its COPY had failed.
        while let Some(Expect::CopyEnd) = ended {
            ended = self.server.pop();
        }
        self.server.copy_in = false;
        match ended {
            Some(Expect::Own) => {
                self.own_ended = true;
                let findings = self.server.own.take().unwrap_or_default();
                if findings.error().is_none() && !self.server.ask.is_empty() {
                    inspect::take(self.client, self.server, &findings);
                }
                self.server.own = Some(findings);
                self.server.erred = false;
                return Ok(false);
            }
            Some(Expect::Query(asked)) => {
                if let Some(text) = asked.text {
                    self.queried(&text, before, status);
                }
            }
            Some(Expect::Function | Expect::Sync) => {}
            _ => return Err(broken(tag::READY_FOR_QUERY, "was not expected")),
        }
        self.ready += 1;
        if status == TxStatus::Idle {
            self.transaction_ended();
        }
        Ok(true)
    }

    /// A simple query that may have left something behind is over.
    fn queried(&mut self, text: &[u8], before: TxStatus, after: TxStatus) {
        let stateful = Stateful::of(text);
        let alone =
            before == TxStatus::Idle && after == TxStatus::Idle && !stateful.any(Stateful::TRANSACTION);
        if alone && self.server.erred {
            // All of it was rolled back, except what is never rolled back.
            self.server.touched = self.server.touched.with(stateful.and(Stateful::ADVISORY));
            return;
        }
        self.leaves(stateful, text, alone);
    }

    /// An execution that may have left something behind is over.
    fn executed(&mut self, stateful: Stateful, text: &[u8]) {
        // Whether an error follows before Sync is not known yet, so only the backend can tell in the end, except
        // that most series end well: then the text tells.
        let alone = self.server.status == TxStatus::Idle
            && !self.server.erred
            && matches!(self.server.expect.front(), Some(Expect::Sync))
            && !stateful.any(Stateful::TRANSACTION);
        self.leaves(stateful, text, alone);
    }

    /// Notes what was left behind: at once when the text tells all, else to be asked about.
    fn leaves(&mut self, stateful: Stateful, text: &[u8], alone: bool) {
        if stateful.any(Stateful::SPOILS) {
            self.server.spoiled = true;
        }
        if stateful.any(Stateful::DISCARD_ALL) {
            self.server.applied.clear();
            self.client.wanted = self.client.startup.clone();
        }
        if stateful.any(Stateful::UNKNOWN_SETTING) {
            self.note_names(text);
        }
        if stateful.any(Stateful::SETTING) {
            if alone && !stateful.any(Stateful::UNKNOWN_SETTING) {
                self.set(text);
            } else {
                self.server.touched = self.server.touched.with(Stateful::SETTING);
                self.note_names(text);
            }
        }
        let rest = Stateful::PINS.with(Stateful::UNKNOWN_SETTING).with(Stateful::RELEASE);
        self.server.touched = self.server.touched.with(stateful.and(rest));
    }

    /// Settings that a text certainly changed.
    fn set(&mut self, text: &[u8]) {
        let (client, server) = (&mut *self.client, &mut *self.server);
        let mut overfull = false;
        classify(text, &mut |effect| {
            let Some(change) = Change::of(&effect) else { return };
            overfull |= apply(&change, &client.startup, &mut client.wanted).is_err();
            overfull |= apply(&change, &Settings::default(), &mut server.applied).is_err();
        });
        if overfull {
            client.keeps = true;
            server.spoiled = true;
        }
    }

    /// So that settings which cannot be listed are asked for by name.
    fn note_names(&mut self, text: &[u8]) {
        let client = &mut *self.client;
        classify(text, &mut |effect| {
            if let Effect::Set { name, .. } | Effect::SetConfig { name: Some(name), .. } = effect
                && name.contains('.')
                && client.wanted.get(&name).is_none()
            {
                let _full = client.wanted.set(&name, "");
            }
        });
    }

    /// The backend is idle: what is left of the transaction?
    fn transaction_ended(&mut self) {
        self.server.portals.clear();
        self.server.erred = false;
        let touched = std::mem::take(&mut self.server.touched);
        if touched.is_empty() {
            return;
        }
        let pins = touched.and(Stateful::PINS);
        // Something may be over only for who has something.
        let over = if touched.any(Stateful::RELEASE) { self.server.pinned } else { Stateful::default() };
        let settings = touched.and(Stateful::SETTING.with(Stateful::UNKNOWN_SETTING));
        self.server.ask = self.server.ask.with(pins).with(over).with(settings);
    }

    fn error(&mut self, body: &[u8]) -> bool {
        let error = ErrorResponse::decode(body).ok();
        let fields = error.as_ref().map(|error| &error.fields);
        if fields.is_some_and(|fields| fields.is_fatal()) {
            // The end follows. What the client is told depends on whether its connection can go on.
            self.server.process.last_words = error.map(Box::new);
            return false;
        }
        if self.own() {
            let message = fields.map_or("unreadable", |fields| fields.message()).to_owned();
            if let Some(findings) = &mut self.server.own {
                findings.fail(message);
            }
            return false;
        }
        if fields.is_some_and(|fields| fields.code() == "0A000" && fields.message() == STALE_PLAN) {
            self.common.generation += 1;
        }
        failure::failed(self.client, self.server);
        true
    }

    fn parameter(&mut self, body: &[u8]) -> bool {
        let Some((name, rest)) = parts::cut(body) else { return !self.own() };
        let value = parts::cut(rest).map_or(rest, |(value, _)| value);
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        self.server.reported.note(&name, &value);
        if self.own() {
            // Told when its next statement goes to the backend, if it is news then.
            return false;
        }
        self.client.reported.note(&name, &value);
        true
    }
}

/// Does to settings what a statement did outside a transaction.
fn apply(change: &Change, defaults: &Settings, current: &mut Settings) -> Result<(), Uncertain> {
    let mut tracker = Tracker::new(defaults.clone());
    tracker.replace(current.clone());
    tracker.apply(change)?;
    *current = tracker.current().clone();
    Ok(())
}

/// Messages that are read, not only passed on.
fn must_be_whole(tag: u8, own: bool) -> bool {
    match tag {
        tag::READY_FOR_QUERY
        | tag::ERROR_RESPONSE
        | tag::PARAMETER_STATUS
        | tag::COMMAND_COMPLETE
        | tag::NOTIFICATION_RESPONSE => true,
        tag::DATA_ROW => own,
        _ => false,
    }
}

fn broken(tag: u8, what: &'static str) -> Broken {
    Broken { tag, what }
}
