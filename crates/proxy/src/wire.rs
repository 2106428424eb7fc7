//! A socket whose small messages go out at the end of the turn ([`dormouse_runtime::sends`]).
//!
//! ```text
//!            posted                       all was taken
//!   Clear ──────────▶ Posted (one) ─────────────────────▶ Clear
//!                        │                                  ▲
//!                        └──▶ Left ─────────────────────────┘
//!                 not all     sent again by who was woken, in front of everything else
//! ```
//!
//! Whoever writes in any other way goes through [`Line::poll_clear`] first, so bytes never overtake bytes. The socket is
//! not closed before what was posted has been sent: the message holds it.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use dormouse_runtime::sends;
use parking_lot::Mutex;
use rustix::net::Shutdown;
use tokio::net::TcpStream;

use crate::raw;

const CLEAR: u8 = 0;
const POSTED: u8 = 1;
const LEFT: u8 = 2;

/// Where a socket's messages are.
#[derive(Debug, Default)]
pub(crate) struct Line {
    state: AtomicU8,
    left: Mutex<Vec<u8>>,
}

/// A socket with its line.
#[derive(Debug)]
pub struct Wire<S>(Arc<Shared<S>>);

/// What a message that is posted holds, too.
#[derive(Debug)]
struct Shared<S> {
    socket: S,
    line: Arc<Line>,
}

impl<S: AsFd + Send + Sync> sends::Sender for Shared<S> {
    fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn sent(&self, left: &[u8]) -> bool {
        let all = left.is_empty();
        if !all {
            *self.line.left.lock() = left.to_vec();
        }
        self.line.state.store(if all { CLEAR } else { LEFT }, Ordering::Release);
        !all
    }
}

impl<S> Wire<S> {
    pub(crate) fn new(socket: S) -> Self {
        Self(Arc::new(Shared { socket, line: Arc::default() }))
    }

    /// Its line alone, which does not keep the socket open.
    pub(crate) fn line(&self) -> &Arc<Line> {
        &self.0.line
    }

    /// The socket alone; none while something of it is posted.
    pub(crate) fn into_socket(self) -> Option<S> {
        Arc::into_inner(self.0).map(|shared| shared.socket)
    }
}

impl<S: AsFd + Send + Sync + 'static> Wire<S> {
    /// Has `bytes` sent in this turn. False when they have to be written instead, by who asked: nothing was taken.
    pub(crate) fn post(&self, cx: &Context<'_>, bytes: &[u8]) -> bool {
        let line = &self.0.line;
        if line.state.load(Ordering::Acquire) != CLEAR {
            return false;
        }
        line.state.store(POSTED, Ordering::Release);
        let posted = sends::post(Arc::clone(&self.0) as Arc<dyn sends::Sender>, bytes, cx.waker());
        if !posted {
            line.state.store(CLEAR, Ordering::Release);
        }
        posted
    }
}

impl<S> Deref for Wire<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0.socket
    }
}

impl Line {
    /// Whether something waits for the end of a turn, of whatever thread.
    pub(crate) fn is_posted(&self) -> bool {
        self.state.load(Ordering::Acquire) == POSTED
    }

    /// Sends what is posted now. False when something is left, or another thread has it.
    pub(crate) fn settle(&self) -> bool {
        if self.is_posted() {
            sends::flush();
        }
        self.state.load(Ordering::Acquire) == CLEAR
    }

    /// Ready when nothing stands in front of what is to be written. `write` is how.
    ///
    /// # Errors
    /// Those of `write`.
    pub(crate) fn poll_clear(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&mut Context<'_>, &[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        if self.settle() {
            return Poll::Ready(Ok(()));
        }
        if self.is_posted() {
            // By another thread, whose turn ends soon. Never seen: what shares a socket lives on one.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut left = self.left.lock();
        while !left.is_empty() {
            let count = ready!(write(cx, &left))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            left.drain(..count);
        }
        *left = Vec::new();
        self.state.store(CLEAR, Ordering::Release);
        Poll::Ready(Ok(()))
    }

    /// Takes what was posted and could not be sent. Without a lock when there is nothing.
    pub(crate) fn take_left(&self) -> Option<Vec<u8>> {
        if self.state.load(Ordering::Acquire) != LEFT {
            return None;
        }
        let left = std::mem::take(&mut *self.left.lock());
        self.state.store(CLEAR, Ordering::Release);
        Some(left)
    }
}

/// As `poll_write` of a TCP stream, behind what was posted.
pub(crate) fn poll_write(
    stream: &Wire<TcpStream>,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    ready!(poll_flush(stream, cx))?;
    raw::poll_send(stream, cx, bytes)
}

/// Ready when everything that was posted has been sent.
pub(crate) fn poll_flush(stream: &Wire<TcpStream>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    stream.line().poll_clear(cx, |cx, left| raw::poll_send(stream, cx, left))
}

/// Says that nothing more comes, behind what was posted.
pub(crate) fn poll_shutdown(stream: &Wire<TcpStream>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    ready!(poll_flush(stream, cx))?;
    let ended = rustix::net::shutdown(&**stream, Shutdown::Write);
    Poll::Ready(Ok(ended?))
}

#[cfg(test)]
mod tests;
