//! What the console asks of whoever runs the pooler: it alone reads files and ends the process.

use std::os::unix::net::UnixStream;

use dormouse_pooler::config::Settings;
use tokio::sync::{mpsc, oneshot};

pub use dormouse_pooler::admin::ShutdownMode as Shutdown;

/// Requests that may wait to be heard.
const MAX_WAITING: usize = 16;

/// Something that is asked for.
#[derive(Debug)]
pub enum Request {
    /// RELOAD; answered with whether the files can be used.
    Reload(oneshot::Sender<bool>),
    /// SET: these settings from now on; answered with why not, in words.
    Change(Box<Settings>, oneshot::Sender<Result<(), String>>),
    /// SHUTDOWN. Answered when it has begun.
    Shutdown(Shutdown, oneshot::Sender<()>),
    /// Another process takes over: it has the sockets, and the other end of this conversation, if it wants clients as well.
    /// Answered when no new clients are taken any more.
    Replaced(Option<UnixStream>, oneshot::Sender<()>),
}

/// Where they come out.
pub type Requests = mpsc::Receiver<Request>;

pub(super) fn channel() -> (mpsc::Sender<Request>, Requests) {
    mpsc::channel(MAX_WAITING)
}
