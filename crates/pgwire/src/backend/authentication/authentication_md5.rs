//! AuthenticationMD5Password: asks for the password's MD5 hash with a salt. Old and weak; only the stand-in for
//! PgBouncer asks for it, when a `pgbouncer.ini` says so.

use crate::encode::Encode;

/// The client must answer with a [`crate::frontend::PasswordMessage`] that has [`crate::auth::md5::answer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthenticationMd5Password {
    /// Random, new for every login.
    pub salt: [u8; 4],
}

impl Encode for AuthenticationMd5Password {
    fn encode_into(&self, out: &mut Vec<u8>) {
        super::request(out, super::MD5, |body| body.extend_from_slice(&self.salt));
    }
}
