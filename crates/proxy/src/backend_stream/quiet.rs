//! A Unix socket that its executor hears of only when there is something to read.
//!
//! Tokio's own are watched in both directions, and a Unix socket says that it can be written to each time its peer has
//! read something. So PostgreSQL would wake us for every query that it takes: a context switch and a system call for
//! nothing in every transaction. Here room is watched for only while there is none, through a second descriptor.

#![allow(
    unsafe_code,
    reason = "watching a descriptor that is not Tokio's own is a promise about who closes it"
)]

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use crate::raw;
use crate::wire::{Line, Wire};

/// See the module.
#[derive(Debug)]
pub struct Quiet {
    socket: Wire<AsyncFd<UnixStream>>,
    /// Present while a write waits for room.
    room: Option<AsyncFd<OwnedFd>>,
}

/// Has the executor that runs this watch a descriptor.
fn watch<T: AsRawFd>(owner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: both owners below, a stream and an `OwnedFd`, keep one descriptor open as long as they are, and nobody
    // takes it out of them.
    Ok(unsafe { AsyncFd::register_with_interest(owner, interest) }?)
}

impl Quiet {
    /// Takes a socket over, for the executor that runs this.
    ///
    /// # Errors
    /// When the system cannot watch it.
    pub fn new(socket: tokio::net::UnixStream) -> io::Result<Self> {
        Ok(Self { socket: Wire::new(watch(socket.into_std()?, Interest::READABLE)?), room: None })
    }

    /// Reads if something has come. Costs no system call when nothing has.
    pub(super) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        self.socket.try_io(Interest::READABLE, |socket| raw::recv(socket, into))
    }

    /// As [`raw::has_come`].
    pub(super) fn has_come(&self) -> bool {
        raw::has_come(&*self.socket)
    }

    fn poll_clear(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { socket, room } = self;
        socket.line().poll_clear(cx, |cx, left| poll_room(socket, room, cx, left))
    }

    /// As [`Wire::post`].
    pub(super) fn post(&self, cx: &Context<'_>, bytes: &[u8]) -> bool {
        self.socket.post(cx, bytes)
    }

    /// What stands between a post and the socket.
    pub(super) fn line(&self) -> &Arc<Line> {
        self.socket.line()
    }

    /// Writes what there is room for.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        raw::send(self.socket.get_ref(), bytes)
    }
}

/// Writes when there is room, which `room` watches for meanwhile.
fn poll_room(
    socket: &AsyncFd<UnixStream>,
    room: &mut Option<AsyncFd<OwnedFd>>,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    loop {
        let mut ready = match &*room {
            Some(room) => Some(ready!(room.poll_write_ready(cx))?),
            None => None,
        };
        match raw::send(socket.get_ref(), bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match &mut ready {
                Some(ready) => ready.clear_ready(),
                // The same descriptor cannot be watched twice.
                None => *room = Some(watch(socket.as_fd().try_clone_to_owned()?, Interest::WRITABLE)?),
            },
            done => {
                if done.as_ref().is_ok_and(|count| *count == bytes.len()) {
                    *room = None;
                }
                return Poll::Ready(done);
            }
        }
    }
}

impl AsFd for Quiet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().as_fd()
    }
}

impl AsyncRead for Quiet {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        raw::poll_recv(&*self.socket, cx, buf)
    }
}

impl AsyncWrite for Quiet {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_clear(cx))?;
        poll_room(&this.socket, &mut this.room, cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_clear(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_clear(cx))?;
        Poll::Ready(this.socket.get_ref().shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Not what a socket holds at once.
    const MUCH: usize = 4 << 20;

    fn pair() -> (Quiet, tokio::net::UnixStream) {
        let (ours, theirs) = tokio::net::UnixStream::pair().unwrap();
        (Quiet::new(ours).unwrap(), theirs)
    }

    /// What the system watches of a descriptor of this process, as epoll's flags.
    fn watched(fd: i32) -> Vec<u32> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc/self/fdinfo").unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
            for line in text.lines().filter(|line| line.starts_with("tfd:")) {
                let words: Vec<&str> = line.split_whitespace().collect();
                if words[1].parse() == Ok(fd) {
                    found.push(u32::from_str_radix(words[3], 16).unwrap());
                }
            }
        }
        found
    }

    #[tokio::test]
    async fn room_to_write_is_no_news() {
        let (mut ours, mut theirs) = pair();
        // The executor's own list may have more than one descriptor.
        let flags = watched(ours.as_fd().as_raw_fd());
        let quiet = flags.iter().all(|flags| flags & 1 != 0 && flags & 4 == 0);
        assert!(!flags.is_empty() && quiet, "EPOLLIN without EPOLLOUT: {flags:x?}");
        assert_eq!(ours.try_read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        theirs.write_all(b"hello").await.unwrap();
        let mut got = [0; 16];
        let count = ours.read(&mut got).await.unwrap();
        assert_eq!(&got[..count], b"hello");
        ours.write_all(b"bye").await.unwrap();
        theirs.write_all(b"last").await.unwrap();
        drop(theirs);
        let mut rest = Vec::new();
        let ended = ours.read_to_end(&mut rest).await;
        // The peer left "bye" unread, which the system may tell.
        assert!(ended.is_ok() || rest == b"last", "{ended:?}");
        assert_eq!(rest, b"last");
    }

    #[tokio::test]
    async fn who_has_no_room_waits_for_it() {
        let (mut ours, mut theirs) = pair();
        let sent: Vec<u8> = (0..MUCH).map(|n| (n % 251) as u8).collect();
        let (write, mut got) = (sent.clone(), vec![0; MUCH]);
        let writes = async {
            ours.write_all(&write).await.unwrap();
            assert!(ours.room.is_none(), "it is watched no more");
            ours
        };
        let reads = async {
            tokio::task::yield_now().await;
            theirs.read_exact(&mut got).await.unwrap();
        };
        let (_ours, ()) = tokio::join!(writes, reads);
        assert!(got == sent);
    }
}
