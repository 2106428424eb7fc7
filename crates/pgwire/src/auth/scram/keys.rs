//! The key arithmetic of SCRAM-SHA-256: see the table in [`super`].

use dormouse_base::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::{Verifier, saslprep};

/// Bytes of a SHA-256 hash, and so of every key here.
pub(super) const KEY_LEN: usize = 32;

pub(super) type Key = [u8; KEY_LEN];

pub(super) fn hmac(key: &[u8], message: &[u8]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

pub(super) fn sha256(message: &[u8]) -> Key {
    Sha256::digest(message).into()
}

pub(super) fn xor(a: &Key, b: &Key) -> Key {
    std::array::from_fn(|i| a[i] ^ b[i])
}

/// A password after PBKDF2, for one salt and one number of rounds. As good as the password for logging in, so it
/// is a secret; but it saves the rounds, which are nearly all of the time that a login takes.
#[derive(Debug, Clone)]
pub struct SaltedPassword {
    key: Secret<Key>,
    salt: Vec<u8>,
    iterations: u32,
}

impl SaltedPassword {
    /// Does the rounds (4096 take about a millisecond; 0 counts as 1).
    #[must_use]
    pub fn derive(password: impl AsRef<[u8]>, salt: &[u8], iterations: u32) -> Self {
        let mut key = [0; KEY_LEN];
        let iterations = iterations.max(1);
        let password = Secret::new(saslprep(password.as_ref()).into_owned());
        pbkdf2::pbkdf2_hmac::<Sha256>(password.expose(), salt, iterations, &mut key);
        Self { key: Secret::new(key), salt: salt.to_vec(), iterations }
    }

    /// The salt that it was made with.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The rounds that it was made with.
    #[must_use]
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    pub(super) fn client_key(&self) -> Secret<Key> {
        Secret::new(hmac(self.key.expose(), b"Client Key"))
    }

    pub(super) fn server_key(&self) -> Secret<Key> {
        Secret::new(hmac(self.key.expose(), b"Server Key"))
    }
}

/// What a client's proof leaves with the server: enough to log in as the same role elsewhere, when the verifier
/// there is the same. As good as the password there, so it is a secret.
#[derive(Debug, Clone)]
pub struct LoginKeys {
    pub(super) client_key: Secret<Key>,
    pub(super) server_key: Secret<Key>,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
}

impl LoginKeys {
    /// Those of a verifier, for whoever has its client key; `None` when it is another one's.
    #[must_use]
    pub fn of(verifier: &Verifier, client_key: &[u8]) -> Option<Self> {
        let client_key: Key = client_key.try_into().ok()?;
        (sha256(&client_key) == *verifier.stored_key()).then(|| Self {
            client_key: Secret::new(client_key),
            server_key: Secret::new(*verifier.server_key()),
            salt: verifier.salt().to_vec(),
            iterations: verifier.iterations(),
        })
    }

    /// What proves the role, beside its verifier.
    #[must_use]
    pub fn client_key(&self) -> Secret<Vec<u8>> {
        Secret::new(self.client_key.expose().to_vec())
    }
}
