//! Passwords that were found right, so that the next request with the same one does not cost 4,096 rounds of SHA-256.
//!
//! What is remembered is a hash, under a key of this process, of endpoint, role, verifier and password together. The
//! verifier is what the role must prove now (see `control::password`), so a password that was changed or taken away is
//! unknown here from then on: it is never looked up with the verifier that it was right for.

use std::collections::HashMap;

use dormouse_base::clock::Mono;
use dormouse_base::{EndpointId, Secret, rand};
use dormouse_pgwire::auth::scram::server::Refused;
use dormouse_pgwire::auth::scram::{Credential, Verifier};
use dormouse_runtime::task;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

/// Passwords remembered. The one that was used longest ago is forgotten first.
const MAX_PROOFS: usize = 4_096;

/// Passwords compared at the same time: more would only take each other's processor.
const MAX_COMPARING: usize = 4;

/// Rounds for roles that have no password, so that the time does not tell.
const ROUNDS: u32 = 4_096;

/// See the module.
pub(crate) struct Proofs {
    key: Secret<[u8; 32]>,
    known: Mutex<HashMap<[u8; 32], Mono>>,
    comparing: Semaphore,
}

impl Default for Proofs {
    fn default() -> Self {
        Self {
            key: Secret::new(rand::bytes()),
            known: Mutex::default(),
            comparing: Semaphore::new(MAX_COMPARING),
        }
    }
}

impl Proofs {
    /// The hash of a claim.
    pub(crate) fn claim(
        &self,
        endpoint: &EndpointId,
        role: &str,
        verifier: &str,
        password: &[u8],
    ) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.key.expose());
        for part in [endpoint.as_str().as_bytes(), role.as_bytes(), verifier.as_bytes(), password] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }

    /// Whether it was found right before.
    pub(crate) fn knows(&self, claim: &[u8; 32]) -> bool {
        self.known.lock().get_mut(claim).map(|used| *used = Mono::now()).is_some()
    }

    /// It was found right.
    pub(crate) fn remember(&self, claim: [u8; 32]) {
        let mut known = self.known.lock();
        if known.len() >= MAX_PROOFS && !known.contains_key(&claim) {
            let oldest = known.iter().min_by_key(|(_, used)| **used).map(|(claim, _)| *claim);
            oldest.map(|claim| known.remove(&claim));
        }
        known.insert(claim, Mono::now());
    }

    /// Whether a SCRAM proof that was refused was made with this secret, found out away from the threads that move data.
    pub(crate) async fn was_made_with(&self, refused: Refused, secret: &[u8]) -> bool {
        let _turn = self.comparing.acquire().await;
        let secret = Secret::new(secret.to_vec());
        task::blocking(move || refused.was_made_with(secret.expose())).await
    }

    /// Compares a password, away from the threads that move data.
    pub(crate) async fn compare(&self, credential: Credential, password: &[u8]) -> bool {
        // The semaphore is never closed.
        let _turn = self.comparing.acquire().await;
        let password = Secret::new(password.to_vec());
        let compare = move || match credential {
            Credential::Known(verifier) => verifier.matches_password(password.expose()),
            Credential::Doomed { .. } => {
                // As much work as for a real one.
                let _unused = Verifier::derive(password.expose(), &[0; 16], ROUNDS);
                false
            }
        };
        task::blocking(compare).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_for_one_password_of_one_verifier() {
        let proofs = Proofs::default();
        let (a, b): (EndpointId, EndpointId) = ("ep-a-a-a".parse().unwrap(), "ep-b-b-b".parse().unwrap());
        let claim = proofs.claim(&a, "anna", "verifier", b"secret");
        proofs.remember(claim);
        assert!(proofs.knows(&claim));
        for other in [
            proofs.claim(&b, "anna", "verifier", b"secret"),
            proofs.claim(&a, "bert", "verifier", b"secret"),
            proofs.claim(&a, "anna", "another", b"secret"),
            proofs.claim(&a, "anna", "verifier", b"Secret"),
            proofs.claim(&a, "annav", "erifier", b"secret"),
            Proofs::default().claim(&a, "anna", "verifier", b"secret"),
        ] {
            assert!(!proofs.knows(&other));
        }
    }

    #[test]
    fn memory_is_bounded() {
        let proofs = Proofs::default();
        let endpoint: EndpointId = "ep-a-a-a".parse().unwrap();
        for n in 0..MAX_PROOFS + 10 {
            proofs.remember(proofs.claim(&endpoint, "anna", "v", n.to_string().as_bytes()));
        }
        assert!(proofs.known.lock().len() <= MAX_PROOFS);
    }
}
