//! SASLResponse: every further line of the client. The whole body is the mechanism's.

use crate::cursor::{Cursor, Malformed};
use crate::encode::{Encode, tagged};
use crate::limit::MAX_SASL_MESSAGE;
use crate::tag;

/// A further SASL message of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaslResponse {
    /// The mechanism's message.
    pub data: Vec<u8>,
}

impl SaslResponse {
    /// Reads the body of a `p` message.
    ///
    /// # Errors
    /// When it is over [`MAX_SASL_MESSAGE`].
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        if body.len() > MAX_SASL_MESSAGE {
            return Cursor::new("SASLResponse", body).fail("it is too long");
        }
        Ok(Self { data: body.to_vec() })
    }
}

impl Encode for SaslResponse {
    fn encode_into(&self, out: &mut Vec<u8>) {
        tagged(out, tag::frontend::PASSWORD, |body| body.extend_from_slice(&self.data));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_up_to_the_limit() {
        let message = SaslResponse { data: vec![7; MAX_SASL_MESSAGE] };
        assert_eq!(SaslResponse::decode(&message.encode()[5..]), Ok(message));
        assert!(SaslResponse::decode(&[7; MAX_SASL_MESSAGE + 1]).is_err());
    }
}
