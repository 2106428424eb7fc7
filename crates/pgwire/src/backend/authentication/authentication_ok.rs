//! AuthenticationOk: the client is who it says.

use crate::encode::Encode;

/// Authentication has succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthenticationOk;

impl Encode for AuthenticationOk {
    fn encode_into(&self, out: &mut Vec<u8>) {
        super::request(out, super::OK, |_| ());
    }
}
