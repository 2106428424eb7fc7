//! Following what PostgreSQL sends while its bytes are passed on unread: only the five header bytes of each
//! message are looked at, bodies are skipped by their length. It tells the proxy when a session waits for its
//! client (so that its compute may sleep), and when the first reply after a wake has come.
//!
//! ```text
//!               5th header byte                    last body byte: [settle]
//!   ┌────────┐ ───────────────► ┌────────────────┐ ───────────────► ┌────────┐
//!   │ Header │                  │ Body {tag,left}│                  │ Header │ …
//!   └────────┘                  └────────────────┘                  └────────┘
//!       │ impossible length             │ bad ReadyForQuery
//!       └───────────────► Broken ◄──────┘          (for ever: where messages start is lost)
//!
//!   settle:  Z ─► Rest(status)    E ─► Failed    N, S, A ─► as it was    any other ─► Busy
//! ```
//!
//! Notices, settings and notifications come at any time, also to a session at rest, and so change nothing.
//!
//! What the client has sent meanwhile is told to the scanner by whoever passes it on ([`ClientScan`]): a session is at
//! rest only when nothing was sent since, and every ReadyForQuery has come that was asked for. That number is not always
//! known: PostgreSQL ignores a Sync while it waits for COPY data, and skips what follows an error. Where that may have
//! happened the next ReadyForQuery is taken for the last one. Too early is better than never.
//!
//! Of a CommandComplete the beginning is read, to know when roles may have changed ([`RoleWatch`]).

mod client;
mod roles;

pub use client::{ClientScan, Said};
pub use roles::{RoleWatch, may_change_roles};

use crate::backend::TxStatus;
use crate::frame::HEADER_LEN;
use crate::tag::backend as tag;
use roles::TAG_LEN;

/// Where in the stream of messages we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `have` bytes of the next header are in the scanner's buffer; 0 means between two messages.
    Header { have: usize },
    /// In the body of a message, with `left` > 0 bytes to come.
    Body { tag: u8, left: usize },
    /// Not the protocol.
    Broken(ScanError),
}

/// What the last whole message that counts has left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// A reply is under way, or nothing has come yet.
    Busy,
    /// ReadyForQuery.
    Rest(TxStatus),
    /// ErrorResponse: either ReadyForQuery follows, or the end of the connection.
    Failed,
}

/// Why a stream cannot be followed any more. It is passed on all the same; only what we know of it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// A length word smaller than itself.
    #[error("message {:?} from the server has the impossible length {len}", char::from(*tag))]
    Length {
        /// The message's tag.
        tag: u8,
        /// The length word as sent.
        len: i32,
    },
    /// A ReadyForQuery that is not one byte of `I`, `T`, `E`.
    #[error("malformed ReadyForQuery message from the server")]
    ReadyForQuery,
}

/// A scanner for one connection's stream from the server.
#[derive(Debug, Clone)]
pub struct BackendScan {
    place: Place,
    last: Last,
    header: [u8; HEADER_LEN],
    replied: bool,
    reply_taken: bool,
    readies: u64,
    /// So many ReadyForQuery are still to come.
    due: u32,
    /// Or perhaps fewer.
    doubtful: bool,
    /// How a command's tag begins, and how much of it has come.
    command: ([u8; TAG_LEN], u8),
    roles: RoleWatch,
    roles_changed: bool,
}

impl Default for BackendScan {
    fn default() -> Self {
        Self::new()
    }
}

impl BackendScan {
    /// A scanner that has seen nothing: busy until the first ReadyForQuery.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            place: Place::Header { have: 0 },
            last: Last::Busy,
            header: [0; HEADER_LEN],
            replied: false,
            reply_taken: false,
            readies: 0,
            due: 0,
            doubtful: false,
            command: ([0; TAG_LEN], 0),
            roles: RoleWatch::new(),
            roles_changed: false,
        }
    }

    /// A scanner for a stream whose ReadyForQuery has just been read by other means (the handshake).
    #[must_use]
    pub const fn after_ready(status: TxStatus) -> Self {
        Self { last: Last::Rest(status), ..Self::new() }
    }

    /// The client has sent something: a backend at rest is at rest no more, even if what it says next is only a
    /// notice, unless it will not answer that. The scanner cannot see this itself; whoever forwards client bytes tells it.
    pub fn client_sent(&mut self, said: Said) {
        if matches!(self.last, Last::Rest(_)) && !said.mute {
            self.last = Last::Busy;
        }
        self.due = self.due.saturating_add(said.asks);
        self.doubtful |= said.doubtful;
    }

    /// Follows the next bytes, however they are cut.
    pub fn feed(&mut self, mut chunk: &[u8]) {
        while let Some(&first) = chunk.first() {
            match self.place {
                Place::Broken(_) => return,
                Place::Header { have } => {
                    let used = chunk.len().min(HEADER_LEN - have);
                    self.header[have..have + used].copy_from_slice(&chunk[..used]);
                    chunk = &chunk[used..];
                    self.place = Place::Header { have: have + used };
                    if have + used == HEADER_LEN {
                        self.start_body();
                    }
                }
                Place::Body { tag, left } => {
                    let used = chunk.len().min(left);
                    if tag == tag::COMMAND_COMPLETE {
                        self.read_command(&chunk[..used]);
                    }
                    chunk = &chunk[used..];
                    if used < left {
                        self.place = Place::Body { tag, left: left - used };
                    } else {
                        // Of ReadyForQuery's body `first` is all.
                        self.settle(tag, first);
                    }
                }
            }
        }
    }

    /// The header is complete: go into the body, or past it when it is empty.
    fn start_body(&mut self) {
        let [tag, a, b, c, d] = self.header;
        let len = i32::from_be_bytes([a, b, c, d]);
        let left = match usize::try_from(i64::from(len) - 4) {
            Ok(left) => left,
            Err(_) => return self.place = Place::Broken(ScanError::Length { tag, len }),
        };
        if tag == tag::READY_FOR_QUERY && left != 1 {
            self.place = Place::Broken(ScanError::ReadyForQuery);
        } else if left == 0 {
            self.settle(tag, 0);
        } else {
            self.place = Place::Body { tag, left };
        }
    }

    /// More of a command's tag.
    fn read_command(&mut self, bytes: &[u8]) {
        let (command, have) = &mut self.command;
        let room = &mut command[usize::from(*have)..];
        let used = bytes.len().min(room.len());
        room[..used].copy_from_slice(&bytes[..used]);
        *have += used as u8;
    }

    /// A message is complete: the one place where knowledge changes.
    fn settle(&mut self, tag: u8, status: u8) {
        self.place = Place::Header { have: 0 };
        self.replied |= matches!(
            tag,
            tag::DATA_ROW | tag::COMMAND_COMPLETE | tag::EMPTY_QUERY_RESPONSE | tag::ERROR_RESPONSE
        );
        match tag {
            tag::NOTICE_RESPONSE | tag::PARAMETER_STATUS | tag::NOTIFICATION_RESPONSE => (),
            tag::ERROR_RESPONSE => {
                self.last = Last::Failed;
                self.roles_changed |= self.roles.failed();
            }
            tag::READY_FOR_QUERY => match TxStatus::from_byte(status) {
                Some(status) => {
                    self.last = Last::Rest(status);
                    self.roles_changed |= self.roles.ready(status);
                    self.readies += 1;
                    self.due = if self.doubtful { 0 } else { self.due.saturating_sub(1) };
                    self.doubtful = false;
                }
                None => self.place = Place::Broken(ScanError::ReadyForQuery),
            },
            tag::COPY_IN_RESPONSE | tag::COPY_BOTH_RESPONSE => {
                self.last = Last::Busy;
                self.doubtful = true;
            }
            tag::COMMAND_COMPLETE => {
                self.last = Last::Busy;
                let (command, have) = std::mem::take(&mut self.command);
                self.roles_changed |= self.roles.completed(&command[..usize::from(have)]);
            }
            _ => self.last = Last::Busy,
        }
    }

    /// The transaction state, if the server waits for its client: the last message that counts was
    /// ReadyForQuery, no message is half here, and no other answer is to come.
    #[must_use]
    pub fn at_rest(&self) -> Option<TxStatus> {
        match self.last {
            Last::Rest(status) if self.due == 0 && self.at_boundary() => Some(status),
            _ => None,
        }
    }

    /// Whether the stream stands between two messages, so that a message of our own could be put in.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        self.place == Place::Header { have: 0 }
    }

    /// True once: when the first row, completion, empty-query reply or error since the start has come whole.
    pub fn take_first_reply(&mut self) -> bool {
        let first = self.replied && !self.reply_taken;
        self.reply_taken |= first;
        first
    }

    /// How often the server has said that it is ready, since the beginning.
    #[must_use]
    pub fn readies(&self) -> u64 {
        self.readies
    }

    /// True once after roles may have changed; always when that cannot be followed any more.
    pub fn take_roles_changed(&mut self) -> bool {
        std::mem::take(&mut self.roles_changed) || self.error().is_some()
    }

    /// True once after a transaction that may have given names to other roles.
    pub fn take_roles_renamed(&mut self) -> bool {
        self.roles.take_renamed()
    }

    /// Whether the one that is under way may do that.
    #[must_use]
    pub fn may_rename_roles(&self) -> bool {
        self.roles.may_rename()
    }

    /// Whether something is under way that may change roles. If the connection ends now, nobody knows how that ended.
    #[must_use]
    pub fn may_change_roles(&self) -> bool {
        self.roles.is_under_way() || self.at_rest() != Some(TxStatus::Idle)
    }

    /// Whether an error was the last thing to come. If the connection now ends, the client has been told why.
    #[must_use]
    pub fn fatal_seen(&self) -> bool {
        self.last == Last::Failed && self.at_boundary()
    }

    /// Set for good once the stream cannot be followed; nothing is then at rest or at a boundary.
    #[must_use]
    pub fn error(&self) -> Option<ScanError> {
        match self.place {
            Place::Broken(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
