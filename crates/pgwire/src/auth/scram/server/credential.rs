//! What the server knows about the role that wants in.

use super::super::keys::{KEY_LEN, Key, hmac};
use super::super::{DEFAULT_ITERATIONS, SALT_LEN, Verifier};

/// A role's stored password, or the pretence of one.
#[derive(Debug, Clone)]
pub enum Credential {
    /// The role exists and has this verifier.
    Known(Verifier),
    /// There is no such role, or it has no usable password. The exchange looks as usual and fails at its end.
    Doomed {
        /// A salt as a real role would have it; see [`Credential::doomed`].
        salt: [u8; SALT_LEN],
    },
}

/// The keys of a doomed credential. What they are does not matter, since the result is not used.
const NO_KEY: Key = [0; KEY_LEN];

impl Credential {
    /// The pretence for a role. Its salt is made from a secret of the server and the role's name, so that asking
    /// twice gives the same answer, as it does for real roles, and nobody else can foretell it. The secret must
    /// outlive restarts of the server: a salt that changes tells that the role is not there.
    #[must_use]
    pub fn doomed(server_secret: &[u8], role: &str) -> Self {
        let mac = hmac(server_secret, role.as_bytes());
        Self::Doomed { salt: std::array::from_fn(|i| mac[i]) }
    }

    pub(super) fn salt(&self) -> &[u8] {
        match self {
            Self::Known(verifier) => verifier.salt(),
            Self::Doomed { salt } => salt,
        }
    }

    pub(super) fn iterations(&self) -> u32 {
        match self {
            Self::Known(verifier) => verifier.iterations(),
            Self::Doomed { .. } => DEFAULT_ITERATIONS,
        }
    }

    pub(super) fn stored_key(&self) -> &Key {
        match self {
            Self::Known(verifier) => verifier.stored_key(),
            Self::Doomed { .. } => &NO_KEY,
        }
    }

    pub(super) fn server_key(&self) -> &Key {
        match self {
            Self::Known(verifier) => verifier.server_key(),
            Self::Doomed { .. } => &NO_KEY,
        }
    }

    pub(super) fn is_doomed(&self) -> bool {
        matches!(self, Self::Doomed { .. })
    }
}
