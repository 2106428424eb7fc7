//! Another process of the same account takes the listening sockets over (`dormouse pool -R`): they are sent along with
//! the answer to its command, on the Unix socket that it came by.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use dormouse_pooler::admin::AdminError;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::session::Shared;
use crate::session::io::Client;
use crate::stream::ClientStream;
use crate::upstream::Request;

/// Sockets that one message can carry.
const MAX_SOCKETS: usize = 64;

/// Sends the sockets with the first byte of the answer, and has this process take no new clients any more.
pub(super) async fn hand_over(shared: &Shared, client: &mut Client, first: u8) -> Result<(), AdminError> {
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
    let listening: Vec<_> = shared.listening.lock().iter().filter_map(std::sync::Weak::upgrade).collect();
    send(stream, &listening.iter().map(Arc::as_ref).map(AsFd::as_fd).collect::<Vec<_>>(), first)
        .await
        .map_err(|error| AdminError::NotKept(error.to_string()))?;
    listening.iter().for_each(|listening| listening.leave_file());
    upstream.ask(Request::Replaced).await.ok_or(AdminError::ShuttingDown)
}

async fn send(stream: &UnixStream, sockets: &[BorrowedFd<'_>], first: u8) -> io::Result<()> {
    let sockets = sockets.get(..MAX_SOCKETS).unwrap_or(sockets);
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
