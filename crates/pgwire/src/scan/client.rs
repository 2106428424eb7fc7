//! Following what a client sends while its bytes are passed on unread, as [`BackendScan`](super::BackendScan) does in
//! the other direction: five header bytes of each message. It tells what the proxy cannot see from the answers: how many
//! of them are still to come, and that something is not answered at all.
//!
//! ```text
//!   Q, F       one ReadyForQuery; none if PostgreSQL skips it, because a message before it failed and no Sync came since
//!   S          one ReadyForQuery; none if PostgreSQL reads it while it waits for COPY data
//!   d c f H    nothing, unless a COPY or a reply is under way
//! ```

use super::HEADER_LEN;
use crate::tag::frontend as tag;

/// What a piece of a client's stream means for its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// So many ReadyForQuery answer it.
    pub asks: u32,
    /// Or perhaps fewer.
    pub doubtful: bool,
    /// A backend at rest does not answer it: what is left of COPY data after the COPY has failed, or a Flush.
    pub mute: bool,
}

/// Where in the stream of messages we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `have` bytes of the next header are in the scanner's buffer; 0 means between two messages.
    Header { have: usize },
    /// In the body of a message, with `left` > 0 bytes to come.
    Body { left: usize },
    /// Not the protocol; PostgreSQL will say so.
    Broken,
}

/// A scanner for one connection's stream from its client, past the login.
#[derive(Debug, Clone)]
pub struct ClientScan {
    place: Place,
    header: [u8; HEADER_LEN],
    /// Something that is skipped up to a Sync if it fails, and no Sync since.
    open: bool,
}

impl Default for ClientScan {
    fn default() -> Self {
        Self { place: Place::Header { have: 0 }, header: [0; HEADER_LEN], open: false }
    }
}

impl ClientScan {
    /// Follows the next bytes, however they are cut.
    pub fn feed(&mut self, mut chunk: &[u8]) -> Said {
        let mut said = Said { asks: 0, doubtful: false, mute: true };
        while !chunk.is_empty() {
            match self.place {
                Place::Broken => return Said { doubtful: true, mute: false, ..said },
                Place::Header { have } => {
                    let used = chunk.len().min(HEADER_LEN - have);
                    self.header[have..have + used].copy_from_slice(&chunk[..used]);
                    chunk = &chunk[used..];
                    self.place = Place::Header { have: have + used };
                    if have + used == HEADER_LEN {
                        self.start_body(&mut said);
                    }
                }
                Place::Body { left } => {
                    let used = chunk.len().min(left);
                    chunk = &chunk[used..];
                    self.place = if used < left {
                        Place::Body { left: left - used }
                    } else {
                        Place::Header { have: 0 }
                    };
                }
            }
            said.mute &= is_mute(self.header[0]);
        }
        said
    }

    /// The header is complete: it says all that matters.
    fn start_body(&mut self, said: &mut Said) {
        let [tag, a, b, c, d] = self.header;
        let left = usize::try_from(i64::from(i32::from_be_bytes([a, b, c, d])) - 4);
        self.place = match left {
            Ok(0) => Place::Header { have: 0 },
            Ok(left) => Place::Body { left },
            Err(_) => Place::Broken,
        };
        match tag {
            tag::QUERY | tag::FUNCTION_CALL => {
                said.asks += 1;
                said.doubtful |= self.open;
            }
            tag::SYNC => {
                said.asks += 1;
                self.open = false;
            }
            tag::PARSE | tag::BIND | tag::DESCRIBE | tag::EXECUTE | tag::CLOSE => self.open = true,
            _ => {}
        }
    }

    /// Whether the stream stands between two messages.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        self.place == Place::Header { have: 0 }
    }
}

fn is_mute(tag: u8) -> bool {
    matches!(tag, tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL | tag::FLUSH)
}
