//! SASLInitialResponse: the client has chosen a mechanism, and usually says its first line at once.
//!
//! ```text
//!  mechanism \0 │ length: i32, −1 = no first line │ data
//! ```

use crate::cursor::{Cursor, Malformed};
use crate::encode::{Encode, tagged, text};
use crate::limit::MAX_SASL_MESSAGE;
use crate::tag;

/// The choice of a mechanism.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaslInitialResponse {
    /// For example `SCRAM-SHA-256`.
    pub mechanism: String,
    /// The mechanism's first message; without one the server answers with an empty challenge.
    pub data: Option<Vec<u8>>,
}

impl SaslInitialResponse {
    /// Reads the body of a `p` message.
    ///
    /// # Errors
    /// When lengths do not fit, or the message is over [`MAX_SASL_MESSAGE`].
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new("SASLInitialResponse", body);
        if body.len() > MAX_SASL_MESSAGE {
            return cursor.fail("it is too long");
        }
        let mechanism = cursor.utf8()?.to_owned();
        let len = cursor.u32()?;
        let data = cursor.rest();
        let data = match usize::try_from(len) {
            _ if len == u32::MAX && data.is_empty() => None,
            Ok(len) if len == data.len() => Some(data.to_vec()),
            _ => return cursor.fail("its length is wrong"),
        };
        Ok(Self { mechanism, data })
    }
}

impl Encode for SaslInitialResponse {
    fn encode_into(&self, out: &mut Vec<u8>) {
        tagged(out, tag::frontend::PASSWORD, |body| {
            text(body, &self.mechanism);
            match &self.data {
                None => body.extend_from_slice(&(-1_i32).to_be_bytes()),
                Some(data) => {
                    let len = i32::try_from(data.len()).expect("SASL messages are short");
                    body.extend_from_slice(&len.to_be_bytes());
                    body.extend_from_slice(data);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn round_trip() {
        for data in [None, Some(vec![]), Some(b"n,,n=,r=abc".to_vec())] {
            let message = SaslInitialResponse { mechanism: "SCRAM-SHA-256".into(), data };
            assert_eq!(SaslInitialResponse::decode(&message.encode()[5..]), Ok(message));
        }
    }

    #[test]
    fn lengths_must_fit() {
        for body in [
            &b"M\0"[..],
            b"M\0\xff\xff\xff\xffx",
            b"M\0\0\0\0\x02x",
            b"M\0\0\0\0\x01xy",
            b"M\0\xff\xff\xff\xfe",
        ] {
            assert!(SaslInitialResponse::decode(body).is_err(), "{body:?}");
        }
        assert!(SaslInitialResponse::decode(&[b'x'; MAX_SASL_MESSAGE + 1]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(body in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(message) = SaslInitialResponse::decode(&body) {
                prop_assert_eq!(&message.encode()[5..], &body[..]);
            }
        }
    }
}
