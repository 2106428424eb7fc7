//! Another process of the same account takes the listening sockets over (`dormouse pool -R`): they are sent along with
//! the answer to its command, on the Unix socket that it came by; behind them, if it wants clients as well, one end of the
//! conversation by which those will come. PgBouncer's own way of asking is refused.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream as Conversation;
use std::sync::Arc;

use dormouse_pooler::admin::{AdminError, Command, Show};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::session::Shared;
use crate::session::io::Client;
use crate::stream::ClientStream;
use crate::upstream::{Request, Upstream};

/// Sockets that one message can carry.
const MAX_SOCKETS: usize = 64;

/// SUSPEND lasts as long as an operator is there, as with PgBouncer. One that is started with `-R` says it, and then SHOW FDS,
/// which is refused: it gives up. What it has held up goes on when it leaves, whoever else is there.
pub(super) struct Asking<'a> {
    shared: &'a Shared,
    /// The operator.
    number: u32,
    suspended: bool,
    refused: bool,
}

impl<'a> Asking<'a> {
    pub(super) fn new(shared: &'a Shared, number: u32) -> Self {
        Self { shared, number, suspended: false, refused: false }
    }

    /// This was said.
    pub(super) fn asked(&mut self, command: &Command) {
        self.suspended |= *command == Command::Suspend && !is_suspended(self.shared);
        self.refused |= *command == Command::Show(Show::Fds);
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let Some(upstream) = self.shared.upstream.as_ref().filter(|upstream| upstream.is_suspended()) else {
            return;
        };
        let alone = || self.shared.operators.list().iter().all(|it| it.number == self.number);
        if self.suspended && self.refused || alone() {
            tracing::info!("admin disappeared when suspended, doing RESUME");
            upstream.resume();
        }
    }
}

fn is_suspended(shared: &Shared) -> bool {
    shared.upstream.as_ref().is_some_and(Upstream::is_suspended)
}

/// Sends the sockets with the first byte of the answer, and has this process take no new clients any more.
pub(super) async fn hand_over(
    shared: &Shared,
    client: &mut Client,
    first: u8,
    clients: bool,
) -> Result<(), AdminError> {
    let refused = AdminError::NotHere(
        "sockets are handed over by `dormouse pool`, on its Unix socket, to its own account only",
    );
    let (Some(upstream), ClientStream::Unix(stream)) = (&shared.upstream, &client.stream) else {
        return Err(refused);
    };
    let own = rustix::process::geteuid().as_raw();
    if client.stream.owner().is_none_or(|(uid, _)| uid != own) {
        return Err(refused);
    }
    let held = shared.pools.all_stopped() || shared.pools.any_stopped();
    if held || upstream.is_paused() && !upstream.is_suspended() {
        return Err(AdminError::NotHere(
            "cannot be replaced while something is paused or ends: RESUME first",
        ));
    }
    if !upstream.may_be_replaced() {
        return Err(AdminError::NotHere("another process has taken over already"));
    }
    let conversation =
        give(shared, stream, first, clients).await.inspect_err(|_| upstream.is_not_replaced())?;
    upstream.ask(|answer| Request::Replaced(conversation, answer)).await.ok_or(AdminError::ShuttingDown)
}

/// Gives the sockets, and one end of a conversation if that is wanted; the other end is returned.
async fn give(
    shared: &Shared,
    stream: &UnixStream,
    first: u8,
    clients: bool,
) -> Result<Option<Conversation>, AdminError> {
    let failed = |error: io::Error| AdminError::NotKept(error.to_string());
    let listening: Vec<_> = shared.listening.lock().iter().filter_map(std::sync::Weak::upgrade).collect();
    let (ours, theirs) = if clients { Some(Conversation::pair().map_err(failed)?) } else { None }.unzip();
    let mut sockets: Vec<BorrowedFd<'_>> = listening.iter().map(Arc::as_ref).map(AsFd::as_fd).collect();
    sockets.truncate(MAX_SOCKETS - usize::from(clients));
    sockets.extend(theirs.as_ref().map(AsFd::as_fd));
    send(stream, &sockets, first).await.map_err(failed)?;
    listening.iter().for_each(|listening| listening.leave_file());
    Ok(ours)
}

async fn send(stream: &UnixStream, sockets: &[BorrowedFd<'_>], first: u8) -> io::Result<()> {
    let try_once = || {
        let mut space = vec![std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(sockets)) {
            return Err(io::Error::other("too many sockets"));
        }
        sendmsg(stream, &[IoSlice::new(&[first])], &mut control, SendFlags::empty()).map_err(io::Error::from)
    };
    loop {
        stream.writable().await?;
        match stream.try_io(Interest::WRITABLE, try_once) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done.map(|_sent| ()),
        }
    }
}
