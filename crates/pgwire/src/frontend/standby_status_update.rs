//! StandbyStatusUpdate: how far a receiver of WAL has come. Inside CopyData.
//!
//! ```text
//!  'r' │ written: u64 │ flushed: u64 │ applied: u64 │ clock: i64 (µs since 2000) │ answer wanted: u8
//! ```
//!
//! `flushed` is what moves a replication slot, and what `synchronous_commit = on` waits for.

use crate::cursor::{Cursor, Malformed};
use crate::encode::{Encode, tagged};
use crate::tag;

/// The receiver's progress; every position is behind the last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandbyStatusUpdate {
    /// Received.
    pub written: u64,
    /// Safe on disk.
    pub flushed: u64,
    /// Replayed; 0 from a receiver that replays nothing.
    pub applied: u64,
    /// The receiver's clock, microseconds since 2000-01-01.
    pub clock: u64,
    /// A keepalive is wanted at once.
    pub reply: bool,
}

impl StandbyStatusUpdate {
    /// The first byte of the body.
    pub const KIND: u8 = b'r';

    /// Reads the body of a `d` message.
    ///
    /// # Errors
    /// When it is of another kind or has another length.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new("StandbyStatusUpdate", body);
        if cursor.u8()? != Self::KIND {
            return cursor.fail("it is of another kind");
        }
        let message = Self {
            written: cursor.u64()?,
            flushed: cursor.u64()?,
            applied: cursor.u64()?,
            clock: cursor.u64()?,
            reply: cursor.u8()? != 0,
        };
        cursor.end()?;
        Ok(message)
    }
}

impl Encode for StandbyStatusUpdate {
    fn encode_into(&self, out: &mut Vec<u8>) {
        tagged(out, tag::frontend::COPY_DATA, |body| {
            body.push(Self::KIND);
            for number in [self.written, self.flushed, self.applied, self.clock] {
                body.extend_from_slice(&number.to_be_bytes());
            }
            body.push(u8::from(self.reply));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusals() {
        let message = StandbyStatusUpdate { written: 1, flushed: 2, applied: 3, clock: 4, reply: false };
        let bytes = message.encode();
        assert_eq!(bytes.len(), 39);
        assert_eq!(StandbyStatusUpdate::decode(&bytes[5..]), Ok(message));
        assert!(StandbyStatusUpdate::decode(&bytes[5..30]).is_err());
        assert!(StandbyStatusUpdate::decode(b"h").is_err());
    }
}
