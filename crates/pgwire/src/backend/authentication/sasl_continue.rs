//! AuthenticationSASLContinue: the mechanism's next message from the server.

use crate::encode::Encode;

/// The client must answer with a [`crate::frontend::SaslResponse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaslContinue {
    /// The mechanism's message.
    pub data: Vec<u8>,
}

impl Encode for SaslContinue {
    fn encode_into(&self, out: &mut Vec<u8>) {
        super::request(out, super::SASL_CONTINUE, |body| body.extend_from_slice(&self.data));
    }
}
