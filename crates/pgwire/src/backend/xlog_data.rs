//! XLogData: WAL, inside a CopyData message of a replication session.
//!
//! ```text
//!  'w' │ start: u64 │ end of WAL on the server: u64 │ clock: i64 (µs since 2000) │ bytes
//! ```

use bytes::{Buf, Bytes};

use crate::cursor::{Cursor, Malformed};
use crate::encode::{Encode, tagged};
use crate::tag;

/// Bytes before the WAL.
const HEAD: usize = 25;

/// Some WAL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XLogData {
    /// Position of the first byte.
    pub start: u64,
    /// The end of the server's WAL when it was sent.
    pub server_end: u64,
    /// The server's clock, microseconds since 2000-01-01.
    pub clock: u64,
    /// The WAL.
    pub wal: Bytes,
}

impl XLogData {
    /// The first byte of the body.
    pub const KIND: u8 = b'w';

    /// Reads the body of a `d` message.
    ///
    /// # Errors
    /// When it is of another kind or too short.
    pub fn decode(mut body: Bytes) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new("XLogData", &body);
        if cursor.u8()? != Self::KIND {
            return cursor.fail("it is of another kind");
        }
        let (start, server_end, clock) = (cursor.u64()?, cursor.u64()?, cursor.u64()?);
        body.advance(HEAD);
        Ok(Self { start, server_end, clock, wal: body })
    }
}

impl Encode for XLogData {
    fn encode_into(&self, out: &mut Vec<u8>) {
        tagged(out, tag::backend::COPY_DATA, |body| {
            body.push(Self::KIND);
            for number in [self.start, self.server_end, self.clock] {
                body.extend_from_slice(&number.to_be_bytes());
            }
            body.extend_from_slice(&self.wal);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusals() {
        let data = XLogData { start: 1 << 40, server_end: 7, clock: 9, wal: Bytes::from_static(b"wal") };
        let bytes = Bytes::from(data.encode());
        assert_eq!(XLogData::decode(bytes.slice(5..)), Ok(data));
        assert!(XLogData::decode(bytes.slice(5..20)).is_err());
        assert!(XLogData::decode(Bytes::from_static(b"k")).is_err());
        assert!(XLogData::decode(Bytes::new()).is_err());
    }
}
