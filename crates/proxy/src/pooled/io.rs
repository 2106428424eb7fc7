//! Bytes on their way, and the buffers that all sessions of a thread share.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// What is read at once. Large enough for a full TLS record and for most result sets.
const BUFFER: usize = 32 << 10;

thread_local! {
    static INPUT: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER]);
    static OUTPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// An output buffer that grew larger than this is given back.
const KEEP: usize = 256 << 10;

/// Lends the thread's buffers: one to read into, and an empty one to write into.
pub(super) fn with_buffers<T>(work: impl FnOnce(&mut [u8], &mut Vec<u8>) -> T) -> T {
    INPUT.with_borrow_mut(|input| {
        OUTPUT.with_borrow_mut(|output| {
            output.clear();
            let done = work(input, output);
            if output.capacity() > KEEP {
                *output = Vec::new();
            }
            done
        })
    })
}

/// What one side has not taken yet. Empty almost always, and then without memory.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
    flush: bool,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.flush
    }

    /// Adds bytes without sending them.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Sends what is there. Ready when all is taken.
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
        (self.bytes, self.sent) = (Vec::new(), 0);
        if self.flush {
            ready!(Pin::new(to).poll_flush(cx))?;
            self.flush = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends `chunk` behind what is there, keeping what is not taken now. Pending when something was kept.
    pub(super) fn poll_chunk<W: AsyncWrite + Unpin>(
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
