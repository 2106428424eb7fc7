//! AuthenticationCleartextPassword: asks for the password itself. For clients that send it before they are
//! asked, or that have no SCRAM; only sensible inside TLS.

use crate::encode::Encode;

/// The client must answer with a [`crate::frontend::PasswordMessage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthenticationCleartextPassword;

impl Encode for AuthenticationCleartextPassword {
    fn encode_into(&self, out: &mut Vec<u8>) {
        super::request(out, super::CLEARTEXT, |_| ());
    }
}
