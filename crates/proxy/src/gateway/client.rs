//! A client of a pool that lives in this process: one request at a time goes through it.
//!
//! It has two pipes to a pooled session like that of any other client, so that HTTP has the same pools, limits,
//! queues and rules as the wire protocol, and there is one place where they are decided.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use dormouse_pgwire::backend::{ErrorResponse, Handshake};
use dormouse_pgwire::frame::{self, Frame, FrameError};
use dormouse_pgwire::{ClientError, limit, tag};
use tokio::io::{AsyncWrite, DuplexStream};
use tokio_util::io::poll_read_buf;

use crate::pooled;
use crate::session::Shared;
use crate::session::io::Client as Connection;
use crate::session::login::LoggedIn;
use crate::stream::{Carried, ClientStream};

/// Bytes that are under way in each direction. More is not read from PostgreSQL than is wanted here.
const PIPE: usize = 64 << 10;

/// How much is read at once, at first.
const FIRST_CHUNK: usize = 4 << 10;

/// The same while there is much.
const CHUNK: usize = 32 << 10;

/// Why a client is of no use any more.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Its session has ended, with these words, or without any.
    Ended(Option<ErrorResponse>),
    /// A message is longer than wanted.
    TooLong,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Client {
    io: DuplexStream,
    unread: BytesMut,
    /// The last read was as long as it could be.
    flows: bool,
    out: Vec<u8>,
    sent: usize,
    /// What a cancel request needs; known after the greeting.
    key: Option<(u32, Vec<u8>)>,
}

impl Client {
    /// Opens a session in a pool. Nothing is woken yet.
    pub(crate) fn open(
        shared: &Arc<Shared>,
        who: LoggedIn,
        peer: std::net::SocketAddr,
        tls: bool,
    ) -> Result<Self, ClientError> {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let carried = Carried { stream: Box::new(theirs), tls, server_name: None };
        let connection = Connection::new(ClientStream::Carried(Box::new(carried)));
        pooled::enter(shared, connection, who, peer, Box::new(())).map_err(|(_, error)| error)?;
        Ok(Self { io: ours, unread: BytesMut::new(), flows: false, out: Vec::new(), sent: 0, key: None })
    }

    /// Whether it has been greeted: before that nothing of it can be running.
    pub(crate) fn is_greeted(&self) -> bool {
        self.key.is_some()
    }

    /// What cancels what it does.
    pub(crate) fn cancel_key(&self) -> Option<(u32, Vec<u8>)> {
        self.key.clone()
    }

    /// Whether it rests and its session lives: nothing has come since its last answer.
    pub(crate) fn rests(&mut self) -> bool {
        let mut context = Context::from_waker(std::task::Waker::noop());
        self.unread.is_empty() && self.poll_fill(&mut context).is_pending()
    }

    /// Sends bytes, as the next messages are waited for.
    pub(crate) fn send(&mut self, bytes: Vec<u8>) {
        if self.sent == self.out.len() {
            (self.out, self.sent) = (bytes, 0);
        } else {
            self.out.extend_from_slice(&bytes);
        }
    }

    /// Waits for the greeting, if it has not come yet.
    pub(crate) async fn greet(&mut self) -> Result<(), Broken> {
        while !self.is_greeted() {
            let frame = self.message(limit::MAX_BACKEND_MESSAGE).await?;
            match Handshake::decode(frame.tag, &frame.body) {
                Ok(Handshake::KeyData(key)) => self.key = Some((key.pid, key.secret.expose().clone())),
                Ok(Handshake::Error(error)) => return Err(Broken::Ended(Some(error))),
                _ => {}
            }
        }
        while self.message(limit::MAX_BACKEND_MESSAGE).await?.tag != tag::backend::READY_FOR_QUERY {}
        Ok(())
    }

    /// The next message, with a body of at most `most` bytes.
    pub(crate) async fn message(&mut self, most: usize) -> Result<Frame, Broken> {
        loop {
            match frame::take(&mut self.unread, most) {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => {}
                Err(FrameError::TooLong { .. }) => return Err(Broken::TooLong),
                Err(FrameError::Length { .. }) => return Err(Broken::Ended(None)),
            }
            if !poll_fn(|cx| self.poll_fill(cx)).await {
                return Err(Broken::Ended(None));
            }
        }
    }

    /// How many bytes the body of the next message has, as soon as that is known.
    pub(crate) async fn announced(&mut self) -> Result<usize, Broken> {
        loop {
            match frame::header(&self.unread) {
                Some(Ok(header)) => return Ok(header.body_len),
                Some(Err(_)) => return Err(Broken::Ended(None)),
                None => self.more().await.ok_or(Broken::Ended(None))?,
            }
        }
    }

    /// Throws everything away up to the next ReadyForQuery, however long its messages are, and tells what that says.
    /// `None`: the session has ended.
    pub(crate) async fn skip_to_ready(&mut self) -> Option<u8> {
        loop {
            let header = loop {
                match frame::header(&self.unread) {
                    Some(header) => break header.ok()?,
                    None => self.more().await?,
                }
            };
            self.unread.advance(frame::HEADER_LEN);
            let mut left = header.body_len;
            let mut last = None;
            while left > 0 {
                let count = left.min(self.unread.len());
                last = self.unread[..count].last().copied().or(last);
                self.unread.advance(count);
                left -= count;
                if left > 0 {
                    self.more().await?;
                }
            }
            if header.tag == tag::backend::READY_FOR_QUERY {
                return last;
            }
        }
    }

    async fn more(&mut self) -> Option<()> {
        poll_fn(|cx| self.poll_fill(cx)).await.then_some(())
    }

    /// Moves bytes in both directions until some have come. False: the session has ended.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        while self.sent < self.out.len() {
            match Pin::new(&mut self.io).poll_write(cx, &self.out[self.sent..]) {
                Poll::Ready(Ok(count)) => self.sent += count,
                // Its last words are still to be read.
                Poll::Ready(Err(_)) => self.sent = self.out.len(),
                Poll::Pending => break,
            }
        }
        if self.sent == self.out.len() && self.sent > 0 {
            (self.out, self.sent) = (Vec::new(), 0);
        }
        self.unread.reserve(if self.flows { CHUNK } else { FIRST_CHUNK });
        let filled = ready!(poll_read_buf(Pin::new(&mut self.io), cx, &mut self.unread)).unwrap_or(0);
        self.flows = filled >= FIRST_CHUNK;
        Poll::Ready(filled > 0)
    }
}
