//! PrimaryKeepalive: the server says how far its WAL goes, and may ask for an answer. Inside CopyData.
//!
//! ```text
//!  'k' │ end of WAL on the server: u64 │ clock: i64 (µs since 2000) │ answer wanted: u8
//! ```

use crate::cursor::{Cursor, Malformed};
use crate::encode::{Encode, tagged};
use crate::tag;

/// A sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrimaryKeepalive {
    /// The end of the server's WAL.
    pub server_end: u64,
    /// The server's clock, microseconds since 2000-01-01.
    pub clock: u64,
    /// A status update is wanted at once; without it the server ends the session.
    pub reply: bool,
}

impl PrimaryKeepalive {
    /// The first byte of the body.
    pub const KIND: u8 = b'k';

    /// Reads the body of a `d` message.
    ///
    /// # Errors
    /// When it is of another kind or has another length.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new("PrimaryKeepalive", body);
        if cursor.u8()? != Self::KIND {
            return cursor.fail("it is of another kind");
        }
        let message = Self { server_end: cursor.u64()?, clock: cursor.u64()?, reply: cursor.u8()? != 0 };
        cursor.end()?;
        Ok(message)
    }
}

impl Encode for PrimaryKeepalive {
    fn encode_into(&self, out: &mut Vec<u8>) {
        tagged(out, tag::backend::COPY_DATA, |body| {
            body.push(Self::KIND);
            body.extend_from_slice(&self.server_end.to_be_bytes());
            body.extend_from_slice(&self.clock.to_be_bytes());
            body.push(u8::from(self.reply));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusals() {
        let message = PrimaryKeepalive { server_end: 3, clock: 4, reply: true };
        let bytes = message.encode();
        assert_eq!(PrimaryKeepalive::decode(&bytes[5..]), Ok(message));
        assert!(PrimaryKeepalive::decode(&bytes[5..20]).is_err());
        assert!(PrimaryKeepalive::decode(b"w").is_err());
    }
}
