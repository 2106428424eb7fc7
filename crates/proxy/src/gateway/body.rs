//! An answer while it is written: held back until it is whole or too large for that, then sent piece by piece.
//!
//! ```text
//!  rows ─► out ── a piece is full ─► full ──┬─ whole before HELD_BACK ─► a response with its length
//!                                           └─ more                   ─► a response that goes on (`pieces`)
//! ```

use std::collections::VecDeque;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use bytes::Bytes;

use super::budget::{Budget, HELD_BACK, Held, MAX_ANSWER};
use super::pieces::{Pieces, Rest};

/// Answers smaller than this are not worth compressing, bytes.
pub(crate) const MIN_COMPRESSED: usize = 8 << 10;

/// The pieces of an answer, bytes. One is compressed at once.
pub(crate) const PIECE: usize = 128 << 10;

/// Where an answer is written.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What was written since the last piece was full.
    pub(crate) out: Vec<u8>,
    full: VecDeque<Bytes>,
    /// All that was written into full pieces, sent or not.
    bytes: usize,
    /// Something of it is on its way to the client.
    begun: bool,
    /// There is no memory for holding more of it back.
    pressed: bool,
    budget: Budget,
    held: Held,
    row: Held,
}

/// What there is too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// Bytes of this answer.
    Answer,
    /// Bytes of one row.
    Row,
    /// Bytes of all that are held at this moment.
    All,
}

impl Answer {
    /// An empty one.
    pub(crate) fn new(budget: &Budget) -> Self {
        Self {
            out: Vec::with_capacity(1024),
            full: VecDeque::new(),
            bytes: 0,
            begun: false,
            pressed: false,
            budget: budget.clone(),
            held: budget.open(),
            row: budget.open(),
        }
    }

    /// Whether there is room for one more message of so many bytes.
    pub(crate) fn admit(&mut self, message: usize) -> Result<(), Full> {
        if message > super::budget::MAX_MESSAGE {
            return Err(Full::Row);
        }
        if self.bytes + self.out.len() + message > MAX_ANSWER {
            return Err(Full::Answer);
        }
        self.row.shrink(2 * message);
        // It is there twice: as it came, and as it is written.
        if self.row.grow(2 * message) { Ok(()) } else { Err(Full::All) }
    }

    /// To be called between writes: cuts pieces.
    pub(crate) fn cut(&mut self) {
        if self.out.len() < PIECE {
            return;
        }
        self.bytes += self.out.len();
        if !self.begun && !self.held.grow(self.bytes) {
            self.pressed = true;
        }
        let piece = std::mem::replace(&mut self.out, Vec::with_capacity(PIECE + PIECE / 4));
        self.full.push_back(piece.into());
    }

    /// Whether something has to be sent before more is written.
    pub(crate) fn is_due(&self) -> bool {
        if self.begun { !self.full.is_empty() } else { self.pressed || self.bytes > HELD_BACK }
    }

    /// Begins to send it: what was held back.
    pub(crate) fn begin(&mut self) -> (VecDeque<Bytes>, Held) {
        self.begun = true;
        let held = std::mem::replace(&mut self.held, self.budget.open());
        (std::mem::take(&mut self.full), held)
    }

    /// The next piece of one that has begun, or what is left of it.
    pub(crate) fn piece(&mut self) -> Bytes {
        self.full.pop_front().unwrap_or_else(|| std::mem::take(&mut self.out).into())
    }
}

/// The response of a request that had a result, with status 200.
pub(crate) fn whole(mut answer: Answer, gzip: bool) -> Response<Body> {
    let bytes = answer.bytes + answer.out.len();
    if answer.full.is_empty() && (!gzip || bytes < MIN_COMPRESSED) {
        return result(Body::from(answer.out), false);
    }
    let last = std::mem::take(&mut answer.out);
    let (mut pieces, held) = answer.begin();
    pieces.push_back(last.into());
    let length = (!gzip).then_some(bytes as u64);
    result(Body::new(Pieces::new(pieces, held, length, None, gzip)), gzip)
}

/// The response of a request whose result goes on after what was held back.
pub(crate) fn going_on(held_back: (VecDeque<Bytes>, Held), rest: Rest, gzip: bool) -> Response<Body> {
    let (pieces, held) = held_back;
    result(Body::new(Pieces::new(pieces, held, None, Some(rest), gzip)), gzip)
}

fn result(body: Body, compressed: bool) -> Response<Body> {
    let mut response = json(StatusCode::OK, body);
    if compressed {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}

/// A response that is JSON.
pub(crate) fn json(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
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
            answer.cut();
        }
        let (parts, body) = whole(answer, gzip).into_parts();
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

    /// Writes pieces until something is due; tells how many there were.
    fn fill(answer: &mut Answer) -> usize {
        let mut pieces = 0;
        while !answer.is_due() {
            answer.out.resize(PIECE, b' ');
            answer.cut();
            pieces += 1;
        }
        pieces
    }

    #[test]
    fn so_much_is_held_back_and_then_nothing() {
        let mut answer = Answer::new(&Budget::default());
        assert_eq!(fill(&mut answer), HELD_BACK / PIECE + 1);
        assert_eq!(answer.begin().0.len(), HELD_BACK / PIECE + 1);
        for _ in 0..3 {
            assert_eq!(fill(&mut answer), 1);
            assert_eq!(answer.piece().len(), PIECE);
        }
        assert_eq!(answer.piece().len(), 0);
    }

    #[test]
    fn less_is_held_back_when_memory_is_short() {
        let budget = Budget::default();
        let mut others = budget.open();
        assert!(others.grow(super::super::budget::MAX_HELD));
        assert!(fill(&mut Answer::new(&budget)) < 6);
        drop(others);
        assert_eq!(fill(&mut Answer::new(&budget)), HELD_BACK / PIECE + 1);
    }

    #[test]
    fn too_much_is_noticed_before_it_is_there() {
        let budget = Budget::default();
        let mut answer = Answer::new(&budget);
        assert_eq!(answer.admit(1 + super::super::budget::MAX_MESSAGE), Err(Full::Row));
        assert_eq!(answer.admit(super::super::budget::MAX_MESSAGE), Ok(()));
        let mut others: Vec<_> = (0..5).map(|_| Answer::new(&budget)).collect();
        let granted =
            others.iter_mut().filter_map(|o| o.admit(super::super::budget::MAX_MESSAGE).ok()).count();
        assert_eq!(granted, 3);
        drop(others);
        let _held = answer.begin();
        let mut pieces = 0;
        while answer.admit(PIECE).is_ok() {
            pieces += fill(&mut answer);
            let _sent = answer.piece();
        }
        assert_eq!((pieces, answer.admit(PIECE)), (MAX_ANSWER / PIECE, Err(Full::Answer)));
    }
}
