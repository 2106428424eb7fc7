//! The `R` messages: a 32-bit code says which.
//!
//! ```text
//!   0  Ok                     5  MD5Password (4 bytes of salt)     11  SASLContinue (data)
//!   3  CleartextPassword     10  SASL (mechanism\0 … \0)           12  SASLFinal (data)
//! ```
//!
//! Each message that we write is a file here; [`Authentication`] reads them all.

mod authentication_cleartext;
mod authentication_md5;
mod authentication_ok;
mod authentication_sasl;
mod sasl_continue;
mod sasl_final;

pub use authentication_cleartext::AuthenticationCleartextPassword;
pub use authentication_md5::AuthenticationMd5Password;
pub use authentication_ok::AuthenticationOk;
pub use authentication_sasl::AuthenticationSasl;
pub use sasl_continue::SaslContinue;
pub use sasl_final::SaslFinal;

use crate::cursor::{Cursor, Malformed};
use crate::encode::tagged;
use crate::tag;

const OK: u32 = 0;
const CLEARTEXT: u32 = 3;
const MD5: u32 = 5;
const SASL: u32 = 10;
const SASL_CONTINUE: u32 = 11;
const SASL_FINAL: u32 = 12;

/// Any `R` message, as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authentication {
    /// Authenticated.
    Ok,
    /// Wants the password in the clear.
    CleartextPassword,
    /// Wants the password's MD5 hash with this salt.
    Md5Password(AuthenticationMd5Password),
    /// Wants one of these SASL mechanisms.
    Sasl(AuthenticationSasl),
    /// The next SASL challenge.
    SaslContinue(SaslContinue),
    /// The server's own proof.
    SaslFinal(SaslFinal),
    /// A method that we do not speak (Kerberos, …).
    Other {
        /// The method's code.
        code: u32,
    },
}

impl Authentication {
    /// Reads the body of an `R` message.
    ///
    /// # Errors
    /// When it is cut short, or something follows it.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new("Authentication", body);
        let decoded = match cursor.u32()? {
            OK => Self::Ok,
            CLEARTEXT => Self::CleartextPassword,
            MD5 => {
                let salt = cursor.u32()?.to_be_bytes();
                Self::Md5Password(AuthenticationMd5Password { salt })
            }
            SASL => Self::Sasl(AuthenticationSasl::decode_rest(&mut cursor)?),
            SASL_CONTINUE => Self::SaslContinue(SaslContinue { data: cursor.rest().to_vec() }),
            SASL_FINAL => Self::SaslFinal(SaslFinal { data: cursor.rest().to_vec() }),
            code => return Ok(Self::Other { code }),
        };
        cursor.end()?;
        Ok(decoded)
    }
}

/// Appends an `R` message with this code.
fn request(out: &mut Vec<u8>, code: u32, write: impl FnOnce(&mut Vec<u8>)) {
    tagged(out, tag::backend::AUTHENTICATION, |body| {
        body.extend_from_slice(&code.to_be_bytes());
        write(body);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Encode;

    #[test]
    fn every_message_is_read_as_it_was_written() {
        let sasl = AuthenticationSasl::new(["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]);
        let next = SaslContinue { data: b"r=1".to_vec() };
        let last = SaslFinal { data: b"v=1".to_vec() };
        for (bytes, expected) in [
            (AuthenticationOk.encode(), Authentication::Ok),
            (AuthenticationCleartextPassword.encode(), Authentication::CleartextPassword),
            (
                AuthenticationMd5Password { salt: *b"salt" }.encode(),
                Authentication::Md5Password(AuthenticationMd5Password { salt: *b"salt" }),
            ),
            (sasl.encode(), Authentication::Sasl(sasl)),
            (next.encode(), Authentication::SaslContinue(next)),
            (last.encode(), Authentication::SaslFinal(last)),
        ] {
            assert_eq!(Authentication::decode(&bytes[5..]), Ok(expected));
        }
        assert_eq!(AuthenticationOk.encode(), b"R\x00\x00\x00\x08\x00\x00\x00\x00");
        let sasl = AuthenticationSasl::new(["A", "B"]).encode();
        assert_eq!(sasl, b"R\x00\x00\x00\x0d\x00\x00\x00\x0aA\0B\0\0");
    }

    #[test]
    fn other_methods_and_nonsense() {
        assert_eq!(Authentication::decode(b"\0\0\0\x07salt"), Ok(Authentication::Other { code: 7 }));
        for body in [&b""[..], b"\0\0\0", b"\0\0\0\0x", b"\0\0\0\x0a", b"\0\0\0\x0aA\0", b"\0\0\0\x0aA\0\0x"]
        {
            assert!(Authentication::decode(body).is_err(), "{body:?}");
        }
    }
}
