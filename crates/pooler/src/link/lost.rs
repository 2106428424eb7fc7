//! A backend died under its client. What can the client be told so that its connection goes on?
//!
//! PostgreSQL ends the connection with the backend. Here only the transaction is gone: its statements get an
//! error and ReadyForQuery. That is possible when the client stands at a message's end in both directions, and has
//! lost nothing but its transaction.
//!
//! Who had begun a transaction is in a *failed* one from then on ([`super::fail`]): a client that takes no notice of
//! the error must not have the rest of its transaction committed statement by statement.

use dormouse_pgwire::backend::TxStatus;
use dormouse_pgwire::frame::{self, HEADER_LEN};
use dormouse_pgwire::tag::{backend, frontend};

use super::client::Client;
use super::expect::Expect;
use super::failure;
use super::server::Server;
use super::stateful::Stateful;

/// What becomes of the client.
#[derive(Debug)]
pub enum Loss {
    /// It noticed nothing.
    Unnoticed,
    /// It goes on.
    GoesOn {
        /// It is sent this.
        told: Vec<u8>,
        /// What it has yet to be told.
        lost: Option<Lost>,
        /// It is in a failed transaction until it ends that.
        failed: bool,
    },
    /// It must be told a fatal error.
    Ends,
}

/// A client whose transaction is gone and who does not know yet, or must first send its Sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The error, as a message.
    error: Vec<u8>,
    /// It has been told in this series of messages: the rest up to Sync is dropped.
    told: bool,
    /// The status that it is told.
    status: TxStatus,
}

/// What follows from the loss of a backend. `error` is a whole ErrorResponse that is not fatal. Who goes on is told it for
/// whatever was not answered, so its names mean what they meant before that.
#[must_use]
pub fn after_loss(client: &mut Client, server: &mut Server, error: &[u8]) -> Loss {
    let loss = loss(client, server, error);
    if matches!(loss, Loss::GoesOn { .. }) {
        failure::lost(client, server);
    }
    loss
}

fn loss(client: &Client, server: &Server, error: &[u8]) -> Loss {
    let cut = client.stalled
        || client.passing > 0
        || client.dropping > 0
        || server.passing > 0
        || server.dropping > 0;
    // What may have been left behind is not known before the backend was asked.
    let unknown =
        (server.spoiled && (client.keeps || !server.pinned.is_empty())) || server.ask.any(Stateful::LASTING);
    let doubtful = server.expect.iter().any(|expect| matches!(expect, Expect::Perhaps));
    if cut || doubtful || server.copy_in || unknown || !server.unrebuildable().is_empty() {
        return Loss::Ends;
    }
    let open = server.unsynced || server.skipping;
    let failed = server.status != TxStatus::Idle;
    let status = if failed { TxStatus::Failed } else { TxStatus::Idle };
    let lost = |told| Lost { error: error.to_vec(), told, status };
    if server.expect.is_empty() {
        if !failed && !open {
            return Loss::Unnoticed;
        }
        // In a transaction that had failed already there is nothing new to tell.
        let knows = server.status == TxStatus::Failed && !open;
        let lost = (!knows).then(|| lost(server.skipping));
        return Loss::GoesOn { told: Vec::new(), lost, failed };
    }
    let mut told = Vec::new();
    let ends = server.expect.iter().filter(|expect| {
        matches!(expect, Expect::Query(_) | Expect::Function(_) | Expect::Sync | Expect::Again)
    });
    for _ in ends {
        told.extend_from_slice(error);
        told.extend_from_slice(&ready(status));
    }
    if open {
        told.extend_from_slice(error);
    }
    Loss::GoesOn { told, lost: open.then(|| lost(true)), failed }
}

/// ReadyForQuery.
fn ready(status: TxStatus) -> [u8; 6] {
    [backend::READY_FOR_QUERY, 0, 0, 0, 5, status.as_byte()]
}

impl Lost {
    /// Takes bytes of the client: it is told as soon as it says something. Some when it knows, with the bytes
    /// that are for a backend again.
    pub fn take(&mut self, client: &mut Client, input: &[u8], out: &mut Vec<u8>) -> Option<Vec<u8>> {
        client.unfinished.is_whole();
        let mut bytes = std::mem::take(&mut client.partial);
        bytes.extend_from_slice(input);
        // Bodies are of no interest, and may be long.
        let dropped = client.dropping.min(bytes.len());
        client.dropping -= dropped;
        let mut rest = &bytes[dropped..];
        while let Some(header) = frame::header(rest) {
            let Ok(header) = header else {
                // Whoever reads it next says so.
                return Some(rest.to_vec());
            };
            let whole = HEADER_LEN + header.body_len;
            client.dropping = whole.saturating_sub(rest.len());
            rest = &rest[whole.min(rest.len())..];
            let ends = matches!(header.tag, frontend::QUERY | frontend::SYNC | frontend::FUNCTION_CALL);
            if header.tag == frontend::TERMINATE {
                client.left = true;
            }
            let skipping = self.told;
            if !self.told && header.tag != frontend::TERMINATE {
                out.extend_from_slice(&self.error);
                self.told = true;
            }
            // In a series of extended messages only Sync ends the skipping.
            if header.tag == frontend::SYNC || (ends && !skipping) {
                out.extend_from_slice(&ready(self.status));
                return Some(rest.to_vec());
            }
        }
        client.partial = rest.to_vec();
        None
    }
}
