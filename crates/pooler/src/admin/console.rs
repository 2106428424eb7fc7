//! A connection to the console: messages in, commands out, answers back.
//!
//! ```text
//!            Query, Execute ──► Run(command)          nothing else until `answer`
//!   ┌──────┐                    ┌─────────┐
//!   │ free │ ─────────────────► │ pending │
//!   └──────┘ ◄───────────────── └─────────┘
//!      │  ▲        answer
//!      │  │ Sync
//!      ▼  │
//!   ┌──────────┐  an error in the extended protocol: all is skipped up to Sync
//!   │ skipping │
//!   └──────────┘
//! ```
//!
//! PgBouncer's console has the simple protocol only. Here the extended one works as far as a statement without
//! parameters can need it; Execute sends all rows, whatever its limit says.

use std::collections::HashMap;

use dormouse_pgwire::backend::{ReadyForQuery, TxStatus};
use dormouse_pgwire::tag::{backend, frontend};
use dormouse_pgwire::{ClientError, Encode as _, Malformed, SqlState};

use super::command::{Command, parse};
use super::encode::{self, Formats, command_complete, data_row, message, notice, row_description};
use super::error::AdminError;
use super::reply::{HELP, Reply};
use super::show::Width;

/// Prepared statements, and portals, that one connection may have.
pub const MAX_PREPARED: usize = 100;

/// What the caller is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Write what was appended, and read on.
    None,
    /// Run this, and call [`Console::answer`] before the next message. PAUSE and the like may take their time.
    Run(Command),
    /// The client said goodbye.
    Close,
}

#[derive(Debug, Clone)]
struct Portal {
    command: Command,
    formats: Formats,
}

/// What the answer under way goes to.
#[derive(Debug)]
struct Pending {
    /// Simple protocol: describe the rows, and end with ReadyForQuery.
    simple: bool,
    portal: Portal,
}

/// One connection.
#[derive(Debug)]
pub struct Console {
    is_admin: bool,
    width: Width,
    skipping: bool,
    pending: Option<Pending>,
    statements: HashMap<Vec<u8>, Command>,
    portals: HashMap<Vec<u8>, Portal>,
}

/// What goes wrong inside of a message that is whole.
type Refused = Box<ClientError>;

impl Console {
    /// For a role that may do everything, or only look.
    #[must_use]
    pub fn new(is_admin: bool, width: Width) -> Self {
        let (statements, portals) = (HashMap::new(), HashMap::new());
        Self { is_admin, width, skipping: false, pending: None, statements, portals }
    }

    /// Takes a message without its header, and appends what it is answered with.
    ///
    /// # Errors
    /// When its body is not what its tag promises: the connection cannot go on.
    pub fn message(&mut self, tag: u8, body: &[u8], out: &mut Vec<u8>) -> Result<Action, Malformed> {
        let mut body = Body(body);
        match tag {
            frontend::TERMINATE => return Ok(Action::Close),
            frontend::SYNC => {
                self.skipping = false;
                ready(out);
                return Ok(Action::None);
            }
            frontend::QUERY => {
                self.skipping = false;
                let sql = body.text("Query")?;
                let parsed = self.parse(sql);
                return Ok(self.run(parsed, Formats::default(), true, out));
            }
            _ if self.skipping => return Ok(Action::None),
            _ => {}
        }
        let done = match tag {
            frontend::PARSE => self.prepare(&mut body, out)?,
            frontend::BIND => self.bind(&mut body, out)?,
            frontend::DESCRIBE => self.describe(&mut body, out)?,
            frontend::CLOSE => self.close(&mut body, out)?,
            frontend::FLUSH => Ok(()),
            frontend::EXECUTE => {
                let name = body.text("Execute")?;
                match self.portals.get(name).cloned() {
                    Some(Portal { command, formats }) => {
                        return Ok(self.run(Ok(command), formats, false, out));
                    }
                    None => Err(refused(SqlState::PROTOCOL_VIOLATION, "there is no such portal")),
                }
            }
            _ => Err(refused(SqlState::PROTOCOL_VIOLATION, "unsupported packet type for admin console")),
        };
        if let Err(error) = done {
            self.fail(&error, false, out);
        }
        Ok(Action::None)
    }

    /// Answers the command that is under way.
    pub fn answer(&mut self, result: Result<Reply, AdminError>, out: &mut Vec<u8>) {
        let Some(Pending { simple, portal: Portal { command, formats } }) = self.pending.take() else {
            return;
        };
        match result {
            Err(error) => return self.fail(&error.client_error(), simple, out),
            Ok(Reply::Table(table)) => {
                let columns = command.columns(self.width);
                if simple {
                    row_description(out, &columns, &formats);
                }
                for mut row in table.rows {
                    row.truncate(columns.len());
                    data_row(out, &columns, row, &formats);
                }
            }
            Ok(Reply::Notice(text)) => notice(out, &text, None),
            Ok(Reply::Done) => {}
        }
        finish(&command, simple, out);
    }

    fn parse(&self, sql: &[u8]) -> Result<Command, AdminError> {
        let command = parse(&String::from_utf8_lossy(sql))?;
        if command.needs_admin() && !self.is_admin { Err(AdminError::AdminNeeded) } else { Ok(command) }
    }

    /// Answers what needs nobody's help, and hands out the rest.
    fn run(
        &mut self,
        command: Result<Command, AdminError>,
        formats: Formats,
        simple: bool,
        out: &mut Vec<u8>,
    ) -> Action {
        let command = match command {
            Ok(command) => command,
            Err(error) => {
                self.fail(&error.client_error(), simple, out);
                return Action::None;
            }
        };
        match &command {
            Command::Empty => {
                message(out, backend::EMPTY_QUERY_RESPONSE, &[]);
                if simple {
                    ready(out);
                }
                return Action::None;
            }
            Command::ShowParameter { value, .. } => {
                let columns = command.columns(self.width);
                if simple {
                    row_description(out, &columns, &formats);
                }
                data_row(out, &columns, vec![Some((*value).to_owned())], &formats);
            }
            Command::SetIgnored => notice(out, "SET ignored", None),
            Command::Show(super::Show::Help) => notice(out, "Console usage", Some(HELP)),
            _ => {
                self.pending = Some(Pending { simple, portal: Portal { command: command.clone(), formats } });
                return Action::Run(command);
            }
        }
        finish(&command, simple, out);
        Action::None
    }

    fn fail(&mut self, error: &ClientError, simple: bool, out: &mut Vec<u8>) {
        out.extend(error.encode());
        if simple { ready(out) } else { self.skipping = true }
    }

    fn prepare(&mut self, body: &mut Body<'_>, out: &mut Vec<u8>) -> Result<Result<(), Refused>, Malformed> {
        let (name, sql) = (body.text("Parse")?, body.text("Parse")?);
        if self.statements.len() >= MAX_PREPARED && !self.statements.contains_key(name) {
            return Ok(Err(refused(SqlState::INSUFFICIENT_RESOURCES, "too many prepared statements")));
        }
        Ok(match self.parse(sql) {
            Ok(command) => {
                self.statements.insert(name.to_vec(), command);
                message(out, encode::PARSE_COMPLETE, &[]);
                Ok(())
            }
            Err(error) => Err(Box::new(error.client_error())),
        })
    }

    fn bind(&mut self, body: &mut Body<'_>, out: &mut Vec<u8>) -> Result<Result<(), Refused>, Malformed> {
        const NAME: &str = "Bind";
        let (portal, statement) = (body.text(NAME)?, body.text(NAME)?);
        for _ in 0..body.count(NAME)? {
            body.count(NAME)?;
        }
        if body.count(NAME)? > 0 {
            return Ok(Err(refused(
                SqlState::FEATURE_NOT_SUPPORTED,
                "commands of the console have no parameters",
            )));
        }
        let formats: Result<Vec<_>, _> = (0..body.count(NAME)?).map(|_| Ok(body.count(NAME)? == 1)).collect();
        let Some(command) = self.statements.get(statement) else {
            return Ok(Err(refused(SqlState::PROTOCOL_VIOLATION, "there is no such prepared statement")));
        };
        if self.portals.len() >= MAX_PREPARED && !self.portals.contains_key(portal) {
            return Ok(Err(refused(SqlState::INSUFFICIENT_RESOURCES, "too many portals")));
        }
        self.portals.insert(portal.to_vec(), Portal { command: command.clone(), formats: Formats(formats?) });
        message(out, encode::BIND_COMPLETE, &[]);
        Ok(Ok(()))
    }

    fn describe(&mut self, body: &mut Body<'_>, out: &mut Vec<u8>) -> Result<Result<(), Refused>, Malformed> {
        let (kind, name) = (body.byte("Describe")?, body.text("Describe")?);
        let found = if kind == b'S' {
            self.statements.get(name).map(|command| (command, Formats::default()))
        } else {
            self.portals.get(name).map(|portal| (&portal.command, portal.formats.clone()))
        };
        let Some((command, formats)) = found else {
            return Ok(Err(refused(
                SqlState::PROTOCOL_VIOLATION,
                "there is nothing of this name to describe",
            )));
        };
        if kind == b'S' {
            message(out, encode::PARAMETER_DESCRIPTION, &[0, 0]);
        }
        match command.columns(self.width).as_slice() {
            [] => message(out, encode::NO_DATA, &[]),
            columns => row_description(out, columns, &formats),
        }
        Ok(Ok(()))
    }

    fn close(&mut self, body: &mut Body<'_>, out: &mut Vec<u8>) -> Result<Result<(), Refused>, Malformed> {
        let (kind, name) = (body.byte("Close")?, body.text("Close")?);
        if kind == b'S' {
            self.statements.remove(name);
        } else {
            self.portals.remove(name);
        }
        message(out, encode::CLOSE_COMPLETE, &[]);
        Ok(Ok(()))
    }
}

fn refused(code: SqlState, text: &str) -> Refused {
    Box::new(ClientError::error(code, text))
}

fn ready(out: &mut Vec<u8>) {
    ReadyForQuery(TxStatus::Idle).encode_into(out);
}

fn finish(command: &Command, simple: bool, out: &mut Vec<u8>) {
    command_complete(out, &command.tag());
    if simple {
        ready(out);
    }
}

/// A message's body, read from the front.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn text(&mut self, message: &'static str) -> Result<&'a [u8], Malformed> {
        let end = memchr::memchr(0, self.0).ok_or(Malformed { message, problem: "a text has no end" })?;
        let (text, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        Ok(text)
    }

    fn byte(&mut self, message: &'static str) -> Result<u8, Malformed> {
        let (first, rest) =
            self.0.split_first().ok_or(Malformed { message, problem: "it ends too early" })?;
        self.0 = rest;
        Ok(*first)
    }

    fn count(&mut self, message: &'static str) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes([self.byte(message)?, self.byte(message)?]))
    }
}
