//! Everything that can end an exchange.

use crate::client_error::ClientError;
use crate::sqlstate::SqlState;

/// Why an exchange has failed. The exchange cannot go on after any of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// A message does not have the right shape.
    #[error("malformed SCRAM message: {0}")]
    Malformed(&'static str),
    /// The client chose a mechanism that was not offered.
    #[error("client selected an invalid SASL authentication mechanism")]
    UnknownMechanism,
    /// Something of SCRAM that PostgreSQL does not have either.
    #[error("SCRAM: {0} is not supported")]
    Unsupported(&'static str),
    /// The client could bind to TLS but was told that we cannot, although we told it that we can.
    #[error("SCRAM channel binding negotiation error")]
    Downgrade,
    /// The client's binding is to another certificate than ours, or changed on the way.
    #[error("SCRAM channel binding check failed")]
    WrongBinding,
    /// The nonce did not come back as it was sent.
    #[error("SCRAM nonce does not match")]
    WrongNonce,
    /// Wrong password, unknown role, or a role without a usable password. They look the same on purpose.
    #[error("password authentication failed")]
    WrongProof,
    /// A message came when none was due.
    #[error("SCRAM message out of order")]
    OutOfOrder,
    /// Client side: the server offers nothing that we speak.
    #[error("the server offers no SCRAM-SHA-256 authentication")]
    NoCommonMechanism,
    /// Client side: the server's salt or rounds are not those that the keys were made for.
    #[error("the server's verifier has changed; the prepared SCRAM keys do not fit any more")]
    KeysDoNotFit,
    /// Client side: the server wants more rounds than [`crate::limit::MAX_SCRAM_ITERATIONS`].
    #[error("the server asks for too many SCRAM rounds: {0}")]
    TooManyIterations(u32),
    /// Client side: the server reports an error in its last message.
    #[error("the server refused: {0}")]
    Refused(String),
    /// Client side: the server does not know the password. It is not the server that it claims to be.
    #[error("the server's SCRAM signature is wrong")]
    WrongServerSignature,
}

impl ScramError {
    /// What a server tells the client whose role is `user`.
    #[must_use]
    pub fn client_error(&self, user: &str) -> ClientError {
        match self {
            Self::WrongProof => ClientError::invalid_password(user),
            Self::Downgrade => ClientError::fatal(SqlState::INVALID_AUTHORIZATION, self.to_string()).with_detail(
                "The client believes that this server has no channel binding, but the server has offered it: the offer was changed on the way.",
            ),
            Self::WrongBinding => ClientError::fatal(SqlState::INVALID_AUTHORIZATION, self.to_string())
                .with_hint("Something between client and server may be opening the encryption."),
            Self::Unsupported(_) => ClientError::fatal(SqlState::FEATURE_NOT_SUPPORTED, self.to_string()),
            _ => ClientError::protocol_violation(self.to_string()),
        }
    }
}
