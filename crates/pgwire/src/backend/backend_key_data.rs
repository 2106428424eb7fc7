//! BackendKeyData: what a client must show to cancel a query of this session.
//!
//! ```text
//!  pid: u32 │ secret: 4 bytes (protocol 3.0), up to 256 (3.2)
//! ```

use dormouse_base::Secret;

use crate::cursor::{Cursor, Malformed};
use crate::encode::{Encode, tagged};
use crate::limit::MAX_CANCEL_SECRET;
use crate::tag;

/// A process id and its cancel key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendKeyData {
    /// The process; a proxy may use any number that it can find again.
    pub pid: u32,
    /// The key. Who has it can stop this session's queries.
    pub secret: Secret<Vec<u8>>,
}

impl BackendKeyData {
    /// A process id and its key.
    #[must_use]
    pub fn new(pid: u32, secret: Vec<u8>) -> Self {
        Self { pid, secret: Secret::new(secret) }
    }

    /// Reads the body of a `K` message.
    ///
    /// # Errors
    /// When the key is missing or longer than the protocol allows.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new("BackendKeyData", body);
        let pid = cursor.u32()?;
        let secret = cursor.rest();
        if !(1..=MAX_CANCEL_SECRET).contains(&secret.len()) {
            return cursor.fail("its key has an impossible length");
        }
        Ok(Self::new(pid, secret.to_vec()))
    }
}

impl Encode for BackendKeyData {
    fn encode_into(&self, out: &mut Vec<u8>) {
        tagged(out, tag::backend::BACKEND_KEY_DATA, |body| {
            body.extend_from_slice(&self.pid.to_be_bytes());
            body.extend_from_slice(self.secret.expose());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusals() {
        for len in [1, 4, 32, 256] {
            let key = BackendKeyData::new(77, vec![9; len]);
            assert_eq!(BackendKeyData::decode(&key.encode()[5..]), Ok(key));
        }
        assert!(BackendKeyData::decode(&[0; 4]).is_err());
        assert!(BackendKeyData::decode(&[0; 4 + 257]).is_err());
        assert!(!format!("{:?}", BackendKeyData::new(1, vec![123])).contains("123"));
    }
}
