//! Bytes that were read from one side and not yet taken by the other.
//!
//! Empty almost always, and then it owns no memory: a session that waits costs no buffer. While it
//! is not empty nothing more is read from the source, which is the whole of back-pressure.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// Bytes on their way.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) bytes: Vec<u8>,
    sent: usize,
    flush: bool,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Ready when everything is written and flushed.
    pub(super) fn poll_send<W: AsyncWrite + Unpin>(
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
        // Give the memory back: sessions are idle most of the time.
        (self.bytes, self.sent) = (Vec::new(), 0);
        if self.flush {
            ready!(Pin::new(to).poll_flush(cx))?;
            self.flush = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends `chunk`, keeping what the other side does not take now.
    pub(super) fn poll_chunk<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
        chunk: &[u8],
    ) -> Poll<io::Result<()>> {
        debug_assert!(self.is_empty(), "nothing is read while something waits to be written");
        let mut sent = 0;
        while sent < chunk.len() {
            match Pin::new(&mut *to).poll_write(cx, &chunk[sent..])? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(count) => sent += count,
                Poll::Pending => {
                    self.bytes = chunk[sent..].to_vec();
                    self.flush = true;
                    return Poll::Pending;
                }
            }
        }
        self.flush = true;
        self.poll_send(cx, to)
    }
}
