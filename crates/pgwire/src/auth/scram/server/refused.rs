//! A wrong proof, and what it was made with.

use subtle::ConstantTimeEq;

use super::super::SaltedPassword;
use super::super::keys::{Key, hmac, sha256, xor};
use crate::limit::MAX_SCRAM_ITERATIONS;

/// The proof of a client that did not have the role's password. It tells whether another secret that the client shows
/// is what it had, so that this was no guess.
#[derive(Debug)]
pub struct Refused {
    pub(super) proof: Key,
    /// What both sides have signed.
    pub(super) signed: Vec<u8>,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
}

impl Refused {
    /// Whether the proof was made with this secret. Takes as long as the rounds take, so do not call it where other
    /// connections wait. Always false for a role whose verifier has more than [`MAX_SCRAM_ITERATIONS`] rounds.
    #[must_use]
    pub fn was_made_with(&self, secret: impl AsRef<[u8]>) -> bool {
        if self.iterations > MAX_SCRAM_ITERATIONS {
            return false;
        }
        let key = SaltedPassword::derive(secret, &self.salt, self.iterations).client_key();
        let proof = xor(key.expose(), &hmac(&sha256(key.expose()), &self.signed));
        proof.ct_eq(&self.proof).into()
    }
}
