//! Messages after the startup packet, as a tag and a body.
//!
//! ```text
//!  ┌─────────┬──────────────────┬──────────────────────┐
//!  │ tag: u8 │ length: i32, BE  │ body: length−4 bytes │
//!  └─────────┴──────────────────┴──────────────────────┘
//! ```
//!
//! [`take`] is for the parts of a session where bodies matter (handshake, first message). The relay does not
//! cut frames at all; it uses [`crate::scan`].

use bytes::{Buf, Bytes, BytesMut};

/// Bytes before the body.
pub const HEADER_LEN: usize = 5;

/// What the first five bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The kind of message; see [`crate::tag`].
    pub tag: u8,
    /// Bytes that follow the header.
    pub body_len: usize,
}

/// One whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The kind of message; see [`crate::tag`].
    pub tag: u8,
    /// What follows the header.
    pub body: Bytes,
}

/// The stream cannot be cut into messages any more; the connection must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length word is smaller than itself, so this is not the protocol.
    #[error("message {:?} has the impossible length {len}", char::from(*tag))]
    Length {
        /// The message's tag.
        tag: u8,
        /// The length word as sent.
        len: i32,
    },
    /// The body is larger than the caller allows at this point.
    #[error("message {:?} has {len} bytes; at most {max} are allowed here", char::from(*tag))]
    TooLong {
        /// The message's tag.
        tag: u8,
        /// Bytes of the body.
        len: usize,
        /// The limit that was given.
        max: usize,
    },
}

/// Reads the header at the start of `buf`. `None`: fewer than five bytes are there.
#[must_use]
pub fn header(buf: &[u8]) -> Option<Result<Header, FrameError>> {
    let (&[tag, a, b, c, d], _) = buf.split_first_chunk::<HEADER_LEN>()?;
    let len = i32::from_be_bytes([a, b, c, d]);
    Some(match usize::try_from(i64::from(len) - 4) {
        Ok(body_len) => Ok(Header { tag, body_len }),
        Err(_) => Err(FrameError::Length { tag, len }),
    })
}

/// Takes one whole message off the front of `buf`, or leaves `buf` alone when it is not all there.
///
/// # Errors
/// When the length is impossible, or the body has more than `max` bytes. Both are known from the header alone,
/// so nothing is buffered for a message that will be refused.
pub fn take(buf: &mut BytesMut, max: usize) -> Result<Option<Frame>, FrameError> {
    let Some(header) = header(buf).transpose()? else {
        return Ok(None);
    };
    let Header { tag, body_len: len } = header;
    if len > max {
        return Err(FrameError::TooLong { tag, len, max });
    }
    if buf.len() < HEADER_LEN + len {
        return Ok(None);
    }
    buf.advance(HEADER_LEN);
    Ok(Some(Frame { tag, body: buf.split_to(len).freeze() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn takes_whole_messages_only() {
        let mut buf = BytesMut::from(&b"Q\x00\x00\x00\x06a\0X\x00\x00"[..]);
        let frame = take(&mut buf, 100).unwrap().unwrap();
        assert_eq!((frame.tag, &frame.body[..]), (b'Q', &b"a\0"[..]));
        assert_eq!(take(&mut buf, 100), Ok(None));
        assert_eq!(&buf[..], b"X\x00\x00");
        buf.extend_from_slice(b"\x00\x04");
        assert_eq!(take(&mut buf, 0).unwrap().unwrap().tag, b'X');
    }

    #[test]
    fn bad_lengths_fail_from_the_header() {
        for len in [-1_i32, 0, 3, i32::MIN] {
            let mut buf = BytesMut::from(&b"Q"[..]);
            buf.extend_from_slice(&len.to_be_bytes());
            assert_eq!(take(&mut buf, 100), Err(FrameError::Length { tag: b'Q', len }));
        }
        let mut buf = BytesMut::from(&b"p\x00\x00\x00\x0f"[..]);
        assert_eq!(take(&mut buf, 10), Err(FrameError::TooLong { tag: b'p', len: 11, max: 10 }));
    }

    proptest! {
        #[test]
        fn never_panics_and_never_loses_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut buf = BytesMut::from(&bytes[..]);
            let taken = take(&mut buf, 32);
            let used = match &taken { Ok(Some(frame)) => HEADER_LEN + frame.body.len(), _ => 0 };
            prop_assert_eq!(&bytes[used..], &buf[..]);
        }
    }
}
