//! The bytes of an answer on their way out: what is there, then what is still to come, compressed when the client
//! asked for it. A piece is made when the one before it was taken, so a client that does not read holds back
//! PostgreSQL. An error ends the connection before the document's last byte, so nobody takes it for a whole one.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::Stream;
use http_body::{Frame, SizeHint};

use super::budget::Held;

/// What is still to come.
pub(crate) type Rest = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// See the module.
pub(crate) struct Pieces {
    ready: VecDeque<Bytes>,
    /// What `ready` is counted with.
    held: Option<Held>,
    rest: Option<Rest>,
    encoder: Option<GzEncoder<Vec<u8>>>,
    /// Bytes that are still to be sent, where that is known.
    length: Option<u64>,
}

impl std::fmt::Debug for Pieces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pieces").field("ready", &self.ready.len()).field("length", &self.length).finish()
    }
}

impl Pieces {
    /// `ready` first, `rest` after it.
    pub(crate) fn new(
        ready: VecDeque<Bytes>,
        held: Held,
        length: Option<u64>,
        rest: Option<Rest>,
        gzip: bool,
    ) -> Self {
        let encoder = gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
        Self { ready, held: Some(held), rest, encoder, length }
    }

    /// The next piece as it was written.
    fn poll_plain(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if let Some(piece) = self.ready.pop_front() {
            return Poll::Ready(Some(Ok(piece)));
        }
        self.held = None;
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let piece = ready!(rest.as_mut().poll_next(cx));
        if !matches!(piece, Some(Ok(_))) {
            self.rest = None;
        }
        Poll::Ready(piece)
    }

    /// The next piece as it is sent; an empty one when the encoder keeps it for now.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let piece = match ready!(self.poll_plain(cx)) {
            Some(Ok(piece)) => Some(piece),
            Some(Err(error)) => {
                // What the encoder has is not to be ended like a whole document.
                self.encoder = None;
                return Poll::Ready(Some(Err(error)));
            }
            None => None,
        };
        let Some(encoder) = &mut self.encoder else { return Poll::Ready(piece.map(Ok)) };
        let Some(piece) = piece else {
            let encoder = self.encoder.take().expect("it is there: see above");
            return Poll::Ready(Some(encoder.finish().map(Bytes::from)));
        };
        // The encoder writes into memory.
        let written = encoder.write_all(&piece);
        Poll::Ready(Some(written.map(|()| std::mem::take(encoder.get_mut()).into())))
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            match ready!(self.poll_piece(cx)) {
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => {
                    self.length = self.length.map(|length| length.saturating_sub(piece.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ready.is_empty() && self.rest.is_none() && self.encoder.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use futures_util::stream;
    use http_body_util::BodyExt;

    use super::*;
    use crate::gateway::budget::{Budget, UNCOUNTED};

    fn body(rest: Vec<io::Result<Bytes>>, gzip: bool) -> Pieces {
        let ready = VecDeque::from([Bytes::from_static(b"one "), Bytes::from_static(b"two ")]);
        Pieces::new(ready, Budget::default().open(), None, Some(Box::pin(stream::iter(rest))), gzip)
    }

    #[tokio::test]
    async fn what_is_there_comes_first_and_what_follows_is_not_lost() {
        let rest =
            || vec![Ok(Bytes::from_static(b"three ")), Ok(Bytes::new()), Ok(Bytes::from_static(b"four"))];
        let plain = body(rest(), false).collect().await.unwrap().to_bytes();
        assert_eq!(&plain[..], b"one two three four");
        let packed = body(rest(), true).collect().await.unwrap().to_bytes();
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut plain).unwrap();
        assert_eq!(&plain[..], b"one two three four");
    }

    #[tokio::test]
    async fn a_late_error_is_no_end() {
        for gzip in [false, true] {
            let mut body = body(vec![Ok(Bytes::from_static(b"three ")), Err(io::Error::other("late"))], gzip);
            let mut sent = Vec::new();
            let error = loop {
                match body.frame().await.expect("there is no end before the error") {
                    Ok(frame) => sent.extend_from_slice(&frame.into_data().unwrap()),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.to_string(), "late");
            assert!(body.frame().await.is_none(), "nothing follows");
            if gzip {
                let read = flate2::read::GzDecoder::new(&sent[..]).read_to_end(&mut Vec::new());
                assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "it has no end");
            }
        }
    }

    #[tokio::test]
    async fn memory_is_given_back_when_it_was_taken() {
        let budget = Budget::default();
        let mut held = budget.open();
        assert!(held.grow(crate::gateway::budget::MAX_HELD));
        let rest: Rest = Box::pin(stream::pending());
        let mut pieces =
            Pieces::new(VecDeque::from([Bytes::from_static(b"one")]), held, None, Some(rest), false);
        let _one = pieces.frame().await.unwrap().unwrap();
        assert!(!budget.open().grow(10 * UNCOUNTED));
        assert!(futures_util::poll!(std::pin::pin!(pieces.frame())).is_pending());
        assert!(budget.open().grow(10 * UNCOUNTED));
    }
}
