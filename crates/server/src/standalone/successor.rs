//! `-R`: a new process takes the listening sockets over from the one that runs, and its clients, each as it comes to rest.
//!
//! ```text
//!  new ─► old's Unix socket: log in to the console, TAKEOVER CLIENTS
//!      ◄─ the sockets, with the answer, and the conversation     old: no new clients; ends when all have left
//!      ◄─ clients: see `moving`
//! ```
//!
//! Clients in the kernel's queue are the new one's, so nobody is refused. When nothing runs it starts as ever. One that runs
//! and is older knows only TAKEOVER, and keeps its clients until they leave.

use std::io::{self, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bytes::BytesMut;
use dormouse_pgwire::backend::ErrorResponse;
use dormouse_pgwire::frontend::Query;
use dormouse_pgwire::startup::Startup;
use dormouse_pgwire::{Encode, frame, limit, tag};
use dormouse_proxy::Bound;
use dormouse_proxy::upstream::{Encryption, Plan};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::pidfile::PidFile;
use super::{PoolError, setting};

/// Sockets that one process can hand over.
const MAX_SOCKETS: usize = 64;

/// The other process must answer within this time.
const WITHIN: Duration = Duration::from_secs(10);

/// Read at once.
const CHUNK: usize = 4096;

/// Who may do everything from the pooler's own account, and where.
const OPERATOR: &str = "pgbouncer";

/// What another process has handed over.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<Bound>,
    /// By which its clients come.
    conversation: Option<UnixStream>,
}

impl Inherited {
    /// Whether there is anything.
    #[must_use]
    pub fn is_something(&self) -> bool {
        !self.sockets.is_empty()
    }

    /// The sockets.
    #[must_use]
    pub fn sockets(self) -> Vec<Bound> {
        self.sockets
    }

    /// The sockets, and what clients come by.
    pub(super) fn apart(mut self) -> (Self, Option<UnixStream>) {
        let conversation = self.conversation.take();
        (self, conversation)
    }
}

/// Asks the process that runs for its sockets. Nothing when none runs.
///
/// # Errors
/// When it does not give them.
pub fn take_over(plan: &Plan) -> Result<Inherited, PoolError> {
    let failed = |source| PoolError::System { what: "take the sockets over", source };
    if plan.socket_directory.as_os_str().is_empty() {
        return Err(failed(io::Error::other("unix_socket_dir is needed for that")));
    }
    // What can fail fails before the other one gives anything away.
    Encryption::load(plan).map_err(PoolError::Plan)?;
    PidFile::check(&setting(plan, "pidfile"))?;
    let path = plan.socket_directory.join(format!(".s.PGSQL.{}", setting(plan, "listen_port")));
    let nobody = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
    match UnixStream::connect(path) {
        Ok(stream) => ask(stream).map_err(failed),
        Err(error) if nobody.contains(&error.kind()) => Ok(Inherited::default()),
        Err(error) => Err(failed(error)),
    }
}

fn ask(mut stream: UnixStream) -> io::Result<Inherited> {
    stream.set_read_timeout(Some(WITHIN))?;
    let startup = Startup::new(OPERATOR).and_then(|it| it.with("database", OPERATOR));
    stream.write_all(&startup.map_err(io::Error::other)?.encode())?;
    let mut sockets = Vec::new();
    until_ready(&stream, &mut sockets)?.map_err(|why| refuses(&why))?;
    stream.write_all(&Query::new("TAKEOVER CLIENTS").encode())?;
    let with_clients = until_ready(&stream, &mut sockets)?.is_ok();
    if !with_clients {
        stream.write_all(&Query::new("TAKEOVER").encode())?;
        until_ready(&stream, &mut sockets)?.map_err(|why| refuses(&why))?;
    }
    let conversation = if with_clients { sockets.pop() } else { None };
    if sockets.is_empty() {
        return Err(io::Error::other("the pooler that runs has handed nothing over"));
    }
    let sockets = sockets.into_iter().map(Bound::given).collect::<io::Result<_>>()?;
    Ok(Inherited { sockets, conversation: conversation.map(UnixStream::from) })
}

fn refuses(why: &str) -> io::Error {
    io::Error::other(format!("the pooler that runs refuses: {why}"))
}

/// Reads up to ReadyForQuery, and keeps the sockets that come along. With the words of an error, if there was one.
fn until_ready(stream: &UnixStream, sockets: &mut Vec<OwnedFd>) -> io::Result<Result<(), String>> {
    let (mut unread, mut said) = (BytesMut::new(), Ok::<(), String>(()));
    loop {
        let mut chunk = [0; CHUNK];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = recvmsg(stream, &mut [IoSliceMut::new(&mut chunk)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                sockets.extend(files);
            }
        }
        if got.bytes == 0 {
            return Err(said.err().map_or_else(|| io::ErrorKind::UnexpectedEof.into(), |why| refuses(&why)));
        }
        unread.extend_from_slice(&chunk[..got.bytes]);
        while let Some(frame) =
            frame::take(&mut unread, limit::MAX_BACKEND_MESSAGE).map_err(io::Error::other)?
        {
            match frame.tag {
                tag::backend::READY_FOR_QUERY => return Ok(said),
                tag::backend::ERROR_RESPONSE => {
                    let error = ErrorResponse::decode(&frame.body).map_err(io::Error::other)?;
                    said = Err(error.fields.message().to_owned());
                }
                _ => {}
            }
        }
    }
}
