//! The server's side of the exchange.
//!
//! ```text
//!                begin, with data                    respond, proof is right
//!   ┌───────┐ ───────────────────────► ┌────────────┐ ───────────► ┌───────────────┐
//!   │ Start │                          │ Challenged │              │ Authenticated │
//!   └───────┘ ──► ┌────────────┐ ────► └────────────┘              └───────────────┘
//!   begin without │ AwaitFirst │ respond      │
//!   data: empty   └────────────┘              │ wrong proof, or the credential is doomed
//!   challenge           │                     ▼
//!                       └── any error ──► ┌────────┐
//!                                         │ Failed │ (also from Start; nothing leads out)
//!                                         └────────┘
//! ```
//!
//! An unknown role goes through the very same steps with a made-up salt that is always the same for that name,
//! and fails at the end: from outside it cannot be told from a wrong password.

mod credential;
mod refused;

pub use credential::Credential;
pub use refused::Refused;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dormouse_base::Secret;
use subtle::ConstantTimeEq;

use super::keys::{Key, LoginKeys, hmac, sha256, xor};
use super::message::{ClientFinal, ClientFirst, Gs2, auth_message};
use super::{ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramError};
use crate::backend::{SaslContinue, SaslFinal};
use crate::frontend::{SaslInitialResponse, SaslResponse};

/// What to send next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Send this, then give the client's answer to [`Exchange::respond`].
    Continue(SaslContinue),
    /// The client has proved itself: send this, then AuthenticationOk.
    Final(SaslFinal),
}

/// One client's authentication.
#[derive(Debug)]
pub struct Exchange {
    credential: Credential,
    binding: Option<ChannelBinding>,
    nonce: String,
    state: State,
}

#[derive(Debug)]
enum State {
    Start,
    AwaitFirst {
        plus: bool,
    },
    Challenged(Challenge),
    Authenticated {
        client_key: Secret<Key>,
    },
    Failed,
    /// The same, by a proof that is wrong.
    Refused(Refused),
}

/// The client's key and the server's own proof.
type Proved = (Secret<Key>, Key);

/// What must be remembered between the two messages of the client.
#[derive(Debug)]
struct Challenge {
    gs2: Gs2,
    client_first_bare: Vec<u8>,
    nonce: String,
    server_first: String,
}

impl Exchange {
    /// An exchange for one role. `binding` is there when the connection is encrypted and the certificate has a
    /// hash; channel binding is then offered.
    #[must_use]
    pub fn new(credential: Credential, binding: Option<ChannelBinding>) -> Self {
        Self { credential, binding, nonce: super::random_nonce(), state: State::Start }
    }

    /// The same with a given nonce instead of a random one: for tests with known answers only.
    #[must_use]
    pub fn with_nonce(mut self, nonce: impl Into<String>) -> Self {
        self.nonce = nonce.into();
        self
    }

    /// What to offer in AuthenticationSASL, best first.
    #[must_use]
    pub fn mechanisms(&self) -> &'static [&'static str] {
        if self.binding.is_some() { &[SCRAM_SHA_256_PLUS, SCRAM_SHA_256] } else { &[SCRAM_SHA_256] }
    }

    /// Whether the client has proved itself.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        matches!(self.state, State::Authenticated { .. })
    }

    /// Takes the client's choice of a mechanism, and its first message when it has one.
    ///
    /// # Errors
    /// See [`ScramError`]; the exchange is then over.
    pub fn begin(&mut self, message: &SaslInitialResponse) -> Result<Reply, ScramError> {
        let State::Start = std::mem::replace(&mut self.state, State::Failed) else {
            return Err(ScramError::OutOfOrder);
        };
        if !self.mechanisms().contains(&message.mechanism.as_str()) {
            return Err(ScramError::UnknownMechanism);
        }
        let plus = message.mechanism == SCRAM_SHA_256_PLUS;
        match &message.data {
            Some(data) => self.challenge(plus, data),
            None => {
                self.state = State::AwaitFirst { plus };
                Ok(Reply::Continue(SaslContinue { data: Vec::new() }))
            }
        }
    }

    /// Takes the client's next message.
    ///
    /// # Errors
    /// See [`ScramError`]; the exchange is then over.
    pub fn respond(&mut self, message: &SaslResponse) -> Result<Reply, ScramError> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::AwaitFirst { plus } => self.challenge(plus, &message.data),
            State::Challenged(challenge) => {
                let (client_key, signature) = match self.verify(&challenge, &message.data)? {
                    Ok(right) => right,
                    Err(refused) => {
                        self.state = State::Refused(refused);
                        return Err(ScramError::WrongProof);
                    }
                };
                self.state = State::Authenticated { client_key };
                let data = format!("v={}", STANDARD.encode(signature)).into_bytes();
                Ok(Reply::Final(SaslFinal { data }))
            }
            State::Start | State::Authenticated { .. } | State::Failed | State::Refused(_) => {
                Err(ScramError::OutOfOrder)
            }
        }
    }

    fn challenge(&mut self, plus: bool, data: &[u8]) -> Result<Reply, ScramError> {
        let first = ClientFirst::parse(data)?;
        match first.gs2 {
            Gs2::Unused if !plus && self.binding.is_some() => return Err(ScramError::Downgrade),
            Gs2::Bound if !plus => {
                return Err(ScramError::Malformed("it has a channel binding, which the mechanism has not"));
            }
            Gs2::No | Gs2::Unused if plus => {
                return Err(ScramError::Malformed("it has no channel binding, which the mechanism needs"));
            }
            Gs2::No | Gs2::Unused | Gs2::Bound => (),
        }
        let nonce = format!("{}{}", first.nonce, self.nonce);
        let salt = STANDARD.encode(self.credential.salt());
        let server_first = format!("r={nonce},s={salt},i={}", self.credential.iterations());
        let reply = Reply::Continue(SaslContinue { data: server_first.clone().into_bytes() });
        let client_first_bare = first.bare.to_vec();
        self.state = State::Challenged(Challenge { gs2: first.gs2, client_first_bare, nonce, server_first });
        Ok(reply)
    }

    /// What the client's proof left, once it has proved itself: see [`LoginKeys`].
    #[must_use]
    pub fn login_keys(&self) -> Option<LoginKeys> {
        let State::Authenticated { client_key } = &self.state else { return None };
        Some(LoginKeys {
            client_key: client_key.clone(),
            server_key: Secret::new(*self.credential.server_key()),
            salt: self.credential.salt().to_vec(),
            iterations: self.credential.iterations(),
        })
    }

    /// The proof, if that was wrong.
    #[must_use]
    pub fn refused(self) -> Option<Refused> {
        let State::Refused(refused) = self.state else { return None };
        Some(refused)
    }

    /// Checks the client's last message; gives the client's key and the server's own proof.
    fn verify(&self, challenge: &Challenge, data: &[u8]) -> Result<Result<Proved, Refused>, ScramError> {
        let last = ClientFinal::parse(data)?;
        if last.binding != self.expected_binding(challenge.gs2).as_bytes() {
            return Err(ScramError::WrongBinding);
        }
        if last.nonce != challenge.nonce.as_bytes() {
            return Err(ScramError::WrongNonce);
        }
        let signed =
            auth_message(&challenge.client_first_bare, challenge.server_first.as_bytes(), last.without_proof);
        let stored_key = self.credential.stored_key();
        let client_key = xor(&last.proof, &hmac(stored_key, &signed));
        let right = sha256(&client_key).ct_eq(stored_key);
        // A doomed credential has done the same work up to here, and even the right proof does not help it.
        if !bool::from(right) || self.credential.is_doomed() {
            let (salt, iterations) = (self.credential.salt().to_vec(), self.credential.iterations());
            return Ok(Err(Refused { proof: last.proof, signed, salt, iterations }));
        }
        Ok(Ok((Secret::new(client_key), hmac(self.credential.server_key(), &signed))))
    }

    /// What `c=` must be: the header of client-first again, with the certificate's hash when bound.
    fn expected_binding(&self, gs2: Gs2) -> String {
        match (gs2, &self.binding) {
            (Gs2::Bound, Some(binding)) => binding.encoded(),
            _ => STANDARD.encode(gs2.header()),
        }
    }
}

#[cfg(test)]
mod tests;
