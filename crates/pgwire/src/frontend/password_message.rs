//! PasswordMessage: a password in the clear. Only to be asked for inside TLS, or where TLS is not the caller's
//! business. Bytes, not text: PostgreSQL takes any bytes, and so must a verifier's check.

use dormouse_base::Secret;

use crate::cursor::{Cursor, Malformed};
use crate::encode::{Encode, tagged, text};
use crate::tag;

/// A cleartext password.
#[derive(Debug, Clone)]
pub struct PasswordMessage {
    /// The password as typed, before any normalisation.
    pub password: Secret<Vec<u8>>,
}

impl PasswordMessage {
    /// Reads the body of a `p` message.
    ///
    /// # Errors
    /// When it is not exactly one zero-terminated text.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new("PasswordMessage", body);
        let password = Secret::new(cursor.text()?.to_vec());
        cursor.end()?;
        Ok(Self { password })
    }
}

impl Encode for PasswordMessage {
    fn encode_into(&self, out: &mut Vec<u8>) {
        tagged(out, tag::frontend::PASSWORD, |body| text(body, self.password.expose()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusals() {
        let bytes = PasswordMessage { password: Secret::new(b"s\xe9cret".to_vec()) }.encode();
        assert_eq!(bytes, b"p\x00\x00\x00\x0bs\xe9cret\0");
        let decoded = PasswordMessage::decode(&bytes[5..]).unwrap();
        assert_eq!(decoded.password.expose(), b"s\xe9cret");
        assert!(!format!("{decoded:?}").contains("cret"));
        assert!(PasswordMessage::decode(b"secret").is_err());
        assert!(PasswordMessage::decode(b"secret\0more").is_err());
    }
}
