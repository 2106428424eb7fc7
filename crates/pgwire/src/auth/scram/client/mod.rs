//! The client's side of the exchange: for our own bench client and health checks, and to test the server's.
//!
//! ```text
//!          start                respond                finish
//!  Start ─────────► FirstSent ──────────► FinalSent ──────────► Done
//!     └───────────────┴─── any error ────────┴────► Failed
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dormouse_base::Secret;
use subtle::ConstantTimeEq;

use super::keys::{Key, LoginKeys, SaltedPassword, hmac, sha256, xor};
use super::message::{Gs2, ServerFirst, auth_message, parse_server_final};
use super::{ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramError};
use crate::backend::{AuthenticationSasl, SaslContinue, SaslFinal};
use crate::frontend::{SaslInitialResponse, SaslResponse};
use crate::limit::MAX_SCRAM_ITERATIONS;

/// What the client knows.
#[derive(Debug, Clone)]
pub enum Password {
    /// The password; every login does the rounds again.
    Plain(Secret<Vec<u8>>),
    /// The result of the rounds, made once with the salt and rounds of the role's verifier.
    Salted(SaltedPassword),
    /// What a client of ours proved itself with, where the same verifier is stored.
    Keys(LoginKeys),
}

impl Password {
    /// From a password as typed.
    #[must_use]
    pub fn plain(password: impl AsRef<[u8]>) -> Self {
        Self::Plain(Secret::new(password.as_ref().to_vec()))
    }
}

/// One login.
#[derive(Debug)]
pub struct Exchange {
    password: Password,
    binding: Option<ChannelBinding>,
    user: String,
    nonce: String,
    state: State,
}

#[derive(Debug)]
enum State {
    Start,
    FirstSent { gs2: Gs2, bare: String },
    FinalSent { server_signature: Key },
    Done,
    Failed,
}

impl Exchange {
    /// A login. `binding` is there when the connection is encrypted and the server's certificate has a hash.
    #[must_use]
    pub fn new(password: Password, binding: Option<ChannelBinding>) -> Self {
        Self { password, binding, user: String::new(), nonce: super::random_nonce(), state: State::Start }
    }

    /// The same with a given nonce instead of a random one: for tests with known answers only.
    #[must_use]
    pub fn with_nonce(mut self, nonce: impl Into<String>) -> Self {
        self.nonce = nonce.into();
        self
    }

    /// The same with a user name in the first message. PostgreSQL ignores it, and libpq sends none.
    #[must_use]
    pub fn with_user(mut self, user: &str) -> Self {
        self.user = user.replace('=', "=3D").replace(',', "=2C");
        self
    }

    /// Whether the server has proved itself too.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Chooses the best mechanism that is offered.
    ///
    /// # Errors
    /// When none is SCRAM-SHA-256.
    pub fn start(&mut self, offered: &AuthenticationSasl) -> Result<SaslInitialResponse, ScramError> {
        let State::Start = std::mem::replace(&mut self.state, State::Failed) else {
            return Err(ScramError::OutOfOrder);
        };
        let offers = |name: &str| offered.mechanisms.iter().any(|offer| offer == name);
        let (mechanism, gs2) = if self.binding.is_some() && offers(SCRAM_SHA_256_PLUS) {
            (SCRAM_SHA_256_PLUS, Gs2::Bound)
        } else if offers(SCRAM_SHA_256) {
            (SCRAM_SHA_256, if self.binding.is_some() { Gs2::Unused } else { Gs2::No })
        } else {
            return Err(ScramError::NoCommonMechanism);
        };
        let bare = format!("n={},r={}", self.user, self.nonce);
        let data = format!("{}{bare}", gs2.header()).into_bytes();
        self.state = State::FirstSent { gs2, bare };
        Ok(SaslInitialResponse { mechanism: mechanism.to_owned(), data: Some(data) })
    }

    /// Answers the server's challenge with the proof. Does the PBKDF2 rounds, unless they are done already.
    ///
    /// # Errors
    /// See [`ScramError`].
    pub fn respond(&mut self, challenge: &SaslContinue) -> Result<SaslResponse, ScramError> {
        let State::FirstSent { gs2, bare } = std::mem::replace(&mut self.state, State::Failed) else {
            return Err(ScramError::OutOfOrder);
        };
        let first = ServerFirst::parse(&challenge.data)?;
        if first.nonce.len() <= self.nonce.len() || !first.nonce.starts_with(&self.nonce) {
            return Err(ScramError::WrongNonce);
        }
        let (client_key, server_key) = self.keys(&first)?;
        let binding = match (&self.binding, gs2) {
            (Some(binding), Gs2::Bound) => binding.encoded(),
            _ => STANDARD.encode(gs2.header()),
        };
        let without_proof = format!("c={binding},r={}", first.nonce);
        let signed = auth_message(bare.as_bytes(), &challenge.data, without_proof.as_bytes());
        let proof = xor(client_key.expose(), &hmac(&sha256(client_key.expose()), &signed));
        self.state = State::FinalSent { server_signature: hmac(server_key.expose(), &signed) };
        Ok(SaslResponse { data: format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes() })
    }

    /// The client's and the server's key.
    fn keys(&self, first: &ServerFirst<'_>) -> Result<(Secret<Key>, Secret<Key>), ScramError> {
        let both = |salted: &SaltedPassword| (salted.client_key(), salted.server_key());
        match &self.password {
            Password::Keys(keys) if keys.salt == first.salt && keys.iterations == first.iterations => {
                Ok((keys.client_key.clone(), keys.server_key.clone()))
            }
            Password::Salted(salted)
                if salted.salt() == first.salt && salted.iterations() == first.iterations =>
            {
                Ok(both(salted))
            }
            Password::Salted(_) | Password::Keys(_) => Err(ScramError::KeysDoNotFit),
            Password::Plain(_) if first.iterations > MAX_SCRAM_ITERATIONS => {
                Err(ScramError::TooManyIterations(first.iterations))
            }
            Password::Plain(password) => {
                Ok(both(&SaltedPassword::derive(password.expose(), &first.salt, first.iterations)))
            }
        }
    }

    /// Checks the server's own proof.
    ///
    /// # Errors
    /// See [`ScramError`]. The connection must then not be used: this is not the right server.
    pub fn finish(&mut self, last: &SaslFinal) -> Result<(), ScramError> {
        let State::FinalSent { server_signature } = std::mem::replace(&mut self.state, State::Failed) else {
            return Err(ScramError::OutOfOrder);
        };
        if !bool::from(parse_server_final(&last.data)?.ct_eq(&server_signature)) {
            return Err(ScramError::WrongServerSignature);
        }
        self.state = State::Done;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
