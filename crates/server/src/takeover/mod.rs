//! A new server takes over from the one that runs, and nobody who connects notices.
//!
//! ```text
//!   new                                   old
//!   hello ─────────────────────────────►  serves
//!   ◄──────────────── welcome + listening sockets (connections wait in line from now on if all else fails)
//!   prepares: PostgreSQL, store, TLS      serves
//!   take ──────────────────────────────►  accepts no more; API, operations, filing end; computes stand still
//!   ◄──────────────── yours + the lock    writes nothing any more            ═══ the one moment of change ═══
//!   opens metadata, adopts computes       waits; its clients work on
//!   serves
//!   serving ───────────────────────────►  sends its clients over, one by one, as each comes to rest
//!   ◄──────────────── parcels             asks the new one to wake what they need
//!   ◄──────────────── the end             ends when nobody is left, or the time is up
//! ```
//!
//! At every moment one of the two, and only one, writes metadata, starts computes and files WAL: the old one up to
//! `yours`, the new one after it. If the new one is gone before it said `serving`, the old one opens the metadata
//! again and goes on with everything it had, clients included ([`give`]). If the old one is gone before `yours`, its
//! lock is free, and the new one starts as any server does, on the sockets that it has ([`ask`]).
//!
//! * [`ask`]: the new server's part. [`give`]: the old one's. [`successor`]: what the old one asks while it empties.
//!
//! Computes tell what happens to whatever control there is at the moment ([`dormouse_compute::HostChange`]). How clients
//! are packed is the proxy's business ([`dormouse_proxy::handover`]).

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_runtime::handoff::{Channel, Message};
use serde::{Deserialize, Serialize};

pub(crate) mod ask;
pub(crate) mod give;
pub(crate) mod successor;

/// The language of both. Another number: no takeover, a restart is needed.
const PROTOCOL: u32 = 1;

/// The socket, in the data directory.
const SOCKET: &str = "takeover.sock";

/// An answer that needs no work.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The new server may prepare for so long.
const PREPARE_WITHIN: Duration = Duration::from_secs(120);

/// The old server's whole part up to `yours`, as the new one waits for it.
const YOURS_WITHIN: Duration = Duration::from_secs(60);

/// The new server must serve so long after that. One that lives and does not is left alone with it: two are worse
/// than none.
const SERVE_WITHIN: Duration = Duration::from_secs(120);

/// What is said. A body that does not begin as JSON does is a client on its way.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub(crate) enum Say {
    /// The new server introduces itself.
    Hello {
        protocol: u32,
        version: String,
        /// Clients that cannot move may stay with the old one for so long.
        limit_ms: u64,
    },
    /// The old one does, and sends the sockets for PostgreSQL and for HTTP.
    Welcome { protocol: u32, version: String, pid: u32 },
    /// There will be no takeover now.
    Refused { why: String },
    /// The new server is ready to take over.
    Take,
    /// It is its turn; with the lock. Clients of the old one work with these endpoints at the moment.
    Yours { busy: Vec<String> },
    /// The new server serves.
    Serving,
    /// A client that stayed with the old server needs an endpoint.
    Acquire { question: u64, endpoint: String },
    /// It is awake, and stays so until the old server ends.
    Acquired { question: u64, socket_dir: PathBuf, uid: u32 },
    /// What clients that stayed with the old server did lately: the ledger is the new one's.
    Used { traffic: Vec<Used> },
    /// It cannot be had.
    NotAcquired { question: u64, code: String, message: String, hint: Option<String> },
}

/// What clients of an endpoint did.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Used {
    endpoint: String,
    egress: u64,
    ingress: u64,
    queries: u64,
}

/// Why there was no takeover.
#[derive(Debug, thiserror::Error)]
pub enum TakeoverError {
    /// The conversation.
    #[error("the running server did not answer in order: {0}")]
    Talk(String),
    /// A socket operation.
    #[error("cannot {what} the server that runs")]
    Socket {
        /// What was tried.
        what: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// It does not want to.
    #[error("the running server goes on: {0}")]
    Refused(String),
    /// It listens elsewhere.
    #[error(
        "the running server listens on {running} for {what}, not on {wanted}: a takeover keeps its addresses; use the same, or restart"
    )]
    Address {
        /// For whom.
        what: &'static str,
        /// Where it listens.
        running: std::net::SocketAddr,
        /// Where this one should.
        wanted: std::net::SocketAddr,
    },
}

fn path(data: &Path) -> PathBuf {
    data.join(SOCKET)
}

async fn say(channel: &Channel, say: &Say, files: &[std::os::fd::BorrowedFd<'_>]) -> io::Result<()> {
    let body = serde_json::to_vec(say).map_err(io::Error::other)?;
    tokio::time::timeout(ANSWER_WITHIN, channel.send(&body, files)).await.unwrap_or_else(|_| Err(late()))
}

/// What the other one says, which must come `within` the time. `None`: it has gone.
async fn hear(channel: &Channel, within: Duration) -> io::Result<Option<(Say, Message)>> {
    let message = tokio::time::timeout(within, channel.receive()).await.unwrap_or_else(|_| Err(late()))?;
    message.map(|message| Ok((understand(&message)?, message))).transpose()
}

fn understand(message: &Message) -> io::Result<Say> {
    serde_json::from_slice(&message.body).map_err(io::Error::other)
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}
