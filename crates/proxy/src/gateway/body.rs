//! The bytes of an answer on their way out, compressed when the client asked for it.

use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::{Frame, SizeHint};

use super::budget::{Budget, Held};

/// Answers smaller than this are not worth compressing, bytes.
const MIN_COMPRESSED: usize = 8 << 10;

/// The pieces of an answer, bytes. One is compressed at once.
const PIECE: usize = 128 << 10;

/// Where an answer is written.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What was written since the last piece was full.
    pub(crate) out: Vec<u8>,
    full: Vec<Bytes>,
    bytes: usize,
    held: Held,
}

/// An answer is larger than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// Than one answer may be.
    One,
    /// Than all together may be at this moment.
    All,
}

impl Answer {
    /// An empty one.
    pub(crate) fn new(budget: &Budget) -> Self {
        Self { out: Vec::with_capacity(1024), full: Vec::new(), bytes: 0, held: budget.open() }
    }

    /// Whether there is room for so many more bytes.
    pub(crate) fn has_room(&self, more: usize) -> bool {
        self.bytes + self.out.len() + more <= super::budget::MAX_ANSWER
    }

    /// To be called between writes: cuts pieces, and holds the answer to its limits.
    pub(crate) fn cut(&mut self) -> Result<(), Full> {
        if self.out.len() < PIECE {
            return Ok(());
        }
        self.bytes += self.out.len();
        if self.bytes > super::budget::MAX_ANSWER {
            return Err(Full::One);
        }
        if !self.held.grow(self.bytes) {
            return Err(Full::All);
        }
        let piece = std::mem::replace(&mut self.out, Vec::with_capacity(PIECE + PIECE / 4));
        self.full.push(piece.into());
        Ok(())
    }

    /// The response, with status 200.
    pub(crate) fn into_response(mut self, gzip: bool) -> Response<Body> {
        self.bytes += self.out.len();
        let last = std::mem::take(&mut self.out);
        let body = if self.full.is_empty() && (!gzip || self.bytes < MIN_COMPRESSED) {
            Body::from(last)
        } else {
            self.full.push(last.into());
            self.full.reverse();
            let encoder = gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
            let length = (!gzip).then_some(self.bytes as u64);
            Body::new(Pieces { pieces: self.full, encoder, length, _held: self.held })
        };
        let compressed = gzip && self.bytes >= MIN_COMPRESSED;
        let mut response = json(StatusCode::OK, body);
        if compressed {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        response
    }
}

/// A response that is JSON.
pub(crate) fn json(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Pieces in reverse order, sent as the client takes them.
#[derive(Debug)]
struct Pieces {
    pieces: Vec<Bytes>,
    encoder: Option<GzEncoder<Vec<u8>>>,
    /// Bytes that are still to come, where that is known.
    length: Option<u64>,
    _held: Held,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let this = &mut *self;
        let Some(piece) = this.pieces.pop() else { return Poll::Ready(None) };
        let Some(mut encoder) = this.encoder.take() else {
            this.length = this.length.map(|length| length.saturating_sub(piece.len() as u64));
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        };
        // The encoder writes into memory.
        encoder.write_all(&piece)?;
        let bytes = if this.pieces.is_empty() {
            encoder.finish()?
        } else {
            let bytes = std::mem::take(encoder.get_mut());
            this.encoder = Some(encoder);
            bytes
        };
        Poll::Ready(Some(Ok(Frame::data(bytes.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use http_body_util::BodyExt;

    use super::*;

    async fn sent(size: usize, gzip: bool) -> (Response<()>, Vec<u8>) {
        let mut answer = Answer::new(&Budget::default());
        for n in 0..size {
            answer.out.push(u8::try_from(n % 251).unwrap());
            answer.cut().unwrap();
        }
        let (parts, body) = answer.into_response(gzip).into_parts();
        (Response::from_parts(parts, ()), body.collect().await.unwrap().to_bytes().to_vec())
    }

    #[tokio::test]
    async fn bytes_arrive_as_they_were_written() {
        for size in [0, 100, MIN_COMPRESSED, PIECE, 3 * PIECE + 17] {
            let wanted: Vec<u8> = (0..size).map(|n| u8::try_from(n % 251).unwrap()).collect();
            assert!(sent(size, false).await.1 == wanted, "{size}");
            let (response, mut bytes) = sent(size, true).await;
            if response.headers().contains_key(header::CONTENT_ENCODING) {
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap();
                bytes = plain;
            }
            assert_eq!(response.headers().contains_key(header::CONTENT_ENCODING), size >= MIN_COMPRESSED);
            assert!(bytes == wanted, "{size}, compressed");
        }
    }

    #[test]
    fn too_much_is_noticed() {
        let mut answer = Answer::new(&Budget::default());
        let mut pieces = 0;
        let full = loop {
            answer.out.resize(1 << 20, b' ');
            match answer.cut() {
                Ok(()) => pieces += 1,
                Err(full) => break full,
            }
        };
        assert_eq!((pieces, full), (64, Full::One));
    }
}
