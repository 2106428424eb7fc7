//! CopyBothResponse: from now on both sides send CopyData. In a physical replication session it has no columns.

use crate::cursor::{Cursor, Malformed};
use crate::encode::{Encode, tagged};
use crate::tag;

/// Replication begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyBothResponse {
    /// Columns of the data; 0 in physical replication.
    pub columns: u16,
}

impl CopyBothResponse {
    /// Reads the body of a `W` message.
    ///
    /// # Errors
    /// When it is too short, or the columns do not match their count.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new("CopyBothResponse", body);
        let _format = cursor.u8()?;
        let columns = cursor.u16()?;
        cursor.bytes(usize::from(columns) * 2)?;
        cursor.end()?;
        Ok(Self { columns })
    }
}

impl Encode for CopyBothResponse {
    fn encode_into(&self, out: &mut Vec<u8>) {
        tagged(out, tag::backend::COPY_BOTH_RESPONSE, |body| {
            body.push(0);
            body.extend_from_slice(&self.columns.to_be_bytes());
            body.resize(body.len() + usize::from(self.columns) * 2, 0);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusals() {
        for columns in [0, 2] {
            let message = CopyBothResponse { columns };
            assert_eq!(CopyBothResponse::decode(&message.encode()[5..]), Ok(message));
        }
        for bad in [&b""[..], b"\0\0", b"\0\0\x01\0", b"\0\0\0\0"] {
            assert!(CopyBothResponse::decode(bad).is_err(), "{bad:?}");
        }
    }
}
