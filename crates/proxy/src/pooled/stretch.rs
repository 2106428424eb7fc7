//! The way between a replication client and its server: bytes count in the pool's statistics, and it is known whether
//! the client stands between two messages, so that it can be told something.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use dormouse_pgwire::backend::TxStatus;
use dormouse_pgwire::scan::BackendScan;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pool::Pool;
use crate::stream::ClientStream;

/// A client's connection on that way.
pub(super) struct Stretch<'a> {
    client: &'a mut ClientStream,
    pool: &'a Pool,
    scan: BackendScan,
}

impl<'a> Stretch<'a> {
    /// One that has been greeted. So many bytes have come from it already.
    pub(super) fn new(client: &'a mut ClientStream, pool: &'a Pool, unread: usize) -> Self {
        let stretch = Self { client, pool, scan: BackendScan::after_ready(TxStatus::Idle) };
        stretch.received(unread);
        stretch
    }

    /// Whether the client has got whole messages only.
    pub(super) fn is_between(&self) -> bool {
        self.scan.at_boundary()
    }

    fn received(&self, bytes: usize) {
        self.pool.lock().common.counters.received += bytes as u64;
    }
}

impl AsyncRead for Stretch<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut *this.client).poll_read(cx, buf);
        let count = buf.filled().len() - before;
        if count > 0 {
            this.received(count);
        }
        polled
    }
}

impl AsyncWrite for Stretch<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut *this.client).poll_write(cx, buf);
        if let Poll::Ready(Ok(count)) = polled {
            this.scan.feed(&buf[..count]);
            this.pool.lock().common.counters.sent += count as u64;
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().client).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().client).poll_shutdown(cx)
    }
}
