//! ReadyForQuery: the server has done everything it was asked, and says whether a transaction is open.

use crate::cursor::{Cursor, Malformed};
use crate::encode::{Encode, tagged};
use crate::tag;

/// The transaction state of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TxStatus {
    /// `I`: no transaction is open.
    Idle,
    /// `T`: a transaction is open.
    InTransaction,
    /// `E`: a transaction has failed and waits for its rollback.
    Failed,
}

impl TxStatus {
    /// From the byte on the wire.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'I' => Some(Self::Idle),
            b'T' => Some(Self::InTransaction),
            b'E' => Some(Self::Failed),
            _ => None,
        }
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn as_byte(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::InTransaction => b'T',
            Self::Failed => b'E',
        }
    }
}

/// The server waits for the next command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadyForQuery(pub TxStatus);

impl ReadyForQuery {
    /// Reads the body of a `Z` message.
    ///
    /// # Errors
    /// When it is not exactly one byte, or not one of the three.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new("ReadyForQuery", body);
        let byte = cursor.u8()?;
        cursor.end()?;
        TxStatus::from_byte(byte).map(Self).map_or_else(|| cursor.fail("its status is unknown"), Ok)
    }
}

impl Encode for ReadyForQuery {
    fn encode_into(&self, out: &mut Vec<u8>) {
        tagged(out, tag::backend::READY_FOR_QUERY, |body| body.push(self.0.as_byte()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusals() {
        for status in [TxStatus::Idle, TxStatus::InTransaction, TxStatus::Failed] {
            let bytes = ReadyForQuery(status).encode();
            assert_eq!(ReadyForQuery::decode(&bytes[5..]), Ok(ReadyForQuery(status)));
        }
        assert_eq!(ReadyForQuery(TxStatus::Idle).encode(), b"Z\x00\x00\x00\x05I");
        for body in [&b""[..], b"i", b"II"] {
            assert!(ReadyForQuery::decode(body).is_err(), "{body:?}");
        }
    }
}
