//! A WebSocket as a stream of bytes: the payloads of its binary frames, one after the other.
//!
//! ```text
//!  read    bytes ─► header ─► binary: payload, unmasked ─► the session
//!                        ├──► ping: pong goes out with the next write or read
//!                        └──► close, text, anything wrong: end of stream, and a Close goes out
//!  write   what the session writes ─► one binary frame for each write
//! ```
//!
//! Back-pressure is the socket's: nothing is read that nobody wants, and a write that the socket does not take is
//! kept until it does, but no second one is accepted before.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::frame::{self, Header, MAX_CONTROL, Opcode};
use crate::metrics::OpenSocket;

/// How much is read from the socket at once.
const CHUNK: usize = 16 << 10;

/// The largest payload of one of our frames; longer writes are cut.
const MAX_PAYLOAD: usize = 64 << 10;

/// Statuses of a Close.
const NORMAL: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;
const UNSUPPORTED_DATA: u16 = 1003;

/// See the module.
#[derive(Debug)]
pub(crate) struct Stream<S> {
    io: S,
    unread: BytesMut,
    /// The frame under way, and how many of its bytes have been taken.
    frame: Option<(Header, u64)>,
    /// Control payload while it comes.
    control: Vec<u8>,
    /// Bytes of frames that the socket has not taken yet.
    out: Vec<u8>,
    sent: usize,
    /// A Close has come, or something that is no frame.
    ended: bool,
    /// Our Close is on its way.
    closing: bool,
    /// It is one of those that are open.
    _counted: Option<OpenSocket>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    /// A socket that has been upgraded.
    pub(crate) fn new(io: S) -> Self {
        Self {
            io,
            unread: BytesMut::new(),
            frame: None,
            control: Vec::new(),
            out: Vec::new(),
            sent: 0,
            ended: false,
            closing: false,
            _counted: None,
        }
    }

    /// Counted as open until it is dropped.
    pub(crate) fn counted(self, counted: OpenSocket) -> Self {
        Self { _counted: Some(counted), ..self }
    }

    fn close(&mut self, status: u16) {
        self.ended = true;
        if !std::mem::replace(&mut self.closing, true) {
            frame::write_header(&mut self.out, Opcode::Close, 2);
            self.out.extend_from_slice(&status.to_be_bytes());
        }
    }

    /// Sends what is kept.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.out.len() {
            let count = ready!(Pin::new(&mut self.io).poll_write(cx, &self.out[self.sent..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
        }
        self.out.clear();
        self.sent = 0;
        // One large answer must not cost its memory for the rest of an idle connection's life.
        if self.out.capacity() > 2 * MAX_PAYLOAD {
            self.out = Vec::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Takes what is in `unread`. True when `buf` got something, or the stream is over.
    fn take(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let before = buf.filled().len();
        while !self.ended && buf.remaining() > 0 {
            let Some((header, taken)) = self.frame else {
                match frame::header(&self.unread) {
                    Ok(None) => break,
                    Ok(Some((header, used))) => {
                        self.unread.advance(used);
                        self.frame = Some((header, 0));
                    }
                    Err(_) => self.close(PROTOCOL_ERROR),
                }
                continue;
            };
            let left = usize::try_from(header.len - taken).unwrap_or(usize::MAX);
            let there = self.unread.len().min(left);
            match header.opcode {
                Opcode::Binary | Opcode::Continuation => {
                    let count = there.min(buf.remaining());
                    frame::unmask(&mut self.unread[..count], header.mask, taken);
                    buf.put_slice(&self.unread[..count]);
                    self.advance(header, taken, count);
                }
                Opcode::Text => self.close(UNSUPPORTED_DATA),
                Opcode::Close | Opcode::Ping | Opcode::Pong => {
                    frame::unmask(&mut self.unread[..there], header.mask, taken);
                    self.control.extend_from_slice(&self.unread[..there]);
                    self.advance(header, taken, there);
                    if self.frame.is_none() {
                        self.control_frame(header.opcode);
                    }
                }
            }
            if self.frame.is_some() && self.unread.is_empty() {
                break;
            }
        }
        self.ended || buf.filled().len() > before
    }

    fn advance(&mut self, header: Header, taken: u64, count: usize) {
        self.unread.advance(count);
        let taken = taken + count as u64;
        self.frame = (taken < header.len).then_some((header, taken));
    }

    fn control_frame(&mut self, opcode: Opcode) {
        let payload = std::mem::take(&mut self.control);
        match opcode {
            Opcode::Close => self.close(NORMAL),
            // A flood of pings while we cannot write is answered once: the newest counts, says the RFC.
            Opcode::Ping if self.out.len() - self.sent < 4 * MAX_CONTROL || self.out.is_empty() => {
                frame::write_header(&mut self.out, Opcode::Pong, payload.len());
                self.out.extend_from_slice(&payload);
            }
            _ => {}
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let got = this.take(buf);
            if !this.out.is_empty() {
                // Pongs and our Close; when the socket is gone, reading tells.
                if let Poll::Ready(Ok(())) = this.poll_drain(cx) {
                    let _flushed = Pin::new(&mut this.io).poll_flush(cx);
                }
            }
            if got {
                return Poll::Ready(Ok(()));
            }
            this.unread.reserve(CHUNK);
            let count = match poll_read_buf(Pin::new(&mut this.io), cx, &mut this.unread) {
                Poll::Ready(read) => read?,
                Poll::Pending => {
                    if this.unread.is_empty() {
                        // An idle connection holds no buffer.
                        this.unread = BytesMut::new();
                    }
                    return Poll::Pending;
                }
            };
            if count == 0 {
                this.ended = true;
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        if this.closing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let payload = &buf[..buf.len().min(MAX_PAYLOAD)];
        if payload.is_empty() {
            return Poll::Ready(Ok(0));
        }
        frame::write_header(&mut this.out, Opcode::Binary, payload.len());
        this.out.extend_from_slice(payload);
        if let Poll::Ready(Err(error)) = this.poll_drain(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(payload.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.close(NORMAL);
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
