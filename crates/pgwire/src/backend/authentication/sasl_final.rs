//! AuthenticationSASLFinal: the mechanism's last message, by which the server proves itself. AuthenticationOk
//! follows.

use crate::encode::Encode;

/// The end of a successful SASL exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaslFinal {
    /// The mechanism's message.
    pub data: Vec<u8>,
}

impl Encode for SaslFinal {
    fn encode_into(&self, out: &mut Vec<u8>) {
        super::request(out, super::SASL_FINAL, |body| body.extend_from_slice(&self.data));
    }
}
