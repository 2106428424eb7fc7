//! Bytes that were read from one side and not yet taken by the other, of any kind of session.
//!
//! Empty almost always, and then it owns no memory: a session that waits costs no buffer. While it is not empty
//! nothing more is read from the source, which is the whole of back-pressure.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// What one side has not taken yet. Empty almost always, and then without memory.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
    flush: bool,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.flush
    }

    /// With bytes that have not been sent.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// Adds bytes without sending them.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes that come before all others.
    pub(crate) fn put_first(&mut self, bytes: Vec<u8>) {
        self.bytes.splice(..self.sent, bytes);
        self.sent = 0;
    }

    /// Sends what is there. Ready when all is taken.
    pub(crate) fn poll_send<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
    ) -> Poll<io::Result<()>> {
        while self.sent < self.bytes.len() {
            let count = ready!(Pin::new(&mut *to).poll_write(cx, &self.bytes[self.sent..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
            self.flush = true;
        }
        (self.bytes, self.sent) = (Vec::new(), 0);
        if self.flush {
            ready!(Pin::new(to).poll_flush(cx))?;
            self.flush = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends `chunk` behind what is there, keeping what is not taken now. Pending when something was kept.
    pub(crate) fn poll_chunk<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
        mut chunk: &[u8],
    ) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() {
            while !chunk.is_empty() {
                match Pin::new(&mut *to).poll_write(cx, chunk)? {
                    Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(count) => {
                        chunk = &chunk[count..];
                        self.flush = true;
                    }
                    Poll::Pending => break,
                }
            }
        }
        self.bytes.extend_from_slice(chunk);
        self.poll_send(cx, to)
    }
}
