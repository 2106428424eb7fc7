//! Reading and writing whole messages before the relay takes over.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use dormouse_pgwire::frame::{self, Frame};
use dormouse_pgwire::{ClientError, limit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::patience::HANDSHAKE_WITHIN;
use super::{End, too_slow};
use crate::stream::ClientStream;

/// A client with the bytes that were read but not used yet, and those that it is not in a hurry to get.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: ClientStream,
    pub(crate) unread: BytesMut,
    pub(crate) unsent: Vec<u8>,
    /// How long each of its answers may take while it logs in.
    pub(crate) step: Duration,
}

/// How much is read at once before login.
const CHUNK: usize = 2048;

impl Client {
    pub(crate) fn new(stream: ClientStream) -> Self {
        Self { stream, unread: BytesMut::new(), unsent: Vec::new(), step: HANDSHAKE_WITHIN }
    }

    /// Reads some more bytes.
    pub(crate) async fn fill(&mut self) -> Result<(), End> {
        if !self.unsent.is_empty() {
            // It may wait for them.
            self.send(&[]).await?;
        }
        self.unread.reserve(CHUNK);
        match self.stream.read_buf(&mut self.unread).await {
            Ok(0) | Err(_) => Err(End::Quiet("client_left")),
            Ok(_) => Ok(()),
        }
    }

    /// Ready when it has left: for whoever waits on its behalf. What it says in the meantime is kept, up to so many
    /// bytes; behind more than that its end is not seen. Losing this future loses nothing once nothing is held back.
    pub(crate) async fn left(&mut self, limit: usize) {
        while self.unread.len() < limit {
            if self.fill().await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Takes `count` bytes that were read.
    pub(super) fn consume(&mut self, count: usize) {
        self.unread.advance(count);
    }

    /// Reads one message of the login.
    pub(crate) async fn message(&mut self) -> Result<Frame, End> {
        let step = self.step;
        let whole = async {
            loop {
                let taken = frame::take(&mut self.unread, limit::MAX_AUTH_MESSAGE);
                match taken.map_err(|e| End::Refuse(ClientError::protocol_violation(e.to_string())))? {
                    Some(frame) => return Ok(frame),
                    None => self.fill().await?,
                }
            }
        };
        tokio::time::timeout(step, whole).await.unwrap_or_else(|_| Err(too_slow().into()))
    }

    /// Keeps bytes that the client needs only together with what comes next: one packet less, and it is woken once.
    pub(crate) fn hold(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
    }

    /// Sends bytes, behind those that were held.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), End> {
        let mut held = std::mem::take(&mut self.unsent);
        let bytes = if held.is_empty() {
            bytes
        } else {
            held.extend_from_slice(bytes);
            &held
        };
        let mut sent = pin!(async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        });
        // There nearly always is room at once, and then no time needs to be told.
        let sent = match futures_util::poll!(&mut sent) {
            Poll::Ready(sent) => Ok(sent),
            Poll::Pending => tokio::time::timeout(HANDSHAKE_WITHIN, sent).await,
        };
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Quiet("client_left")),
        }
    }
}
