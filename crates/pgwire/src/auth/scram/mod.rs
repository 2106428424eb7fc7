//! SCRAM-SHA-256 (RFC 5802, RFC 7677) as PostgreSQL speaks it: both sides learn that the other knows the
//! password, nobody on the way learns it, and the server stores nothing that lets one log in.
//!
//! ```text
//!  client                                                     server
//!  SASLInitialResponse  n,,n=,r=C                     ──►
//!                                                     ◄──     SASLContinue  r=C S,s=salt,i=4096
//!  SASLResponse         c=biws,r=C S,p=ClientProof    ──►     checks against StoredKey
//!                                                     ◄──     SASLFinal     v=ServerSignature
//!
//!  SaltedPassword = PBKDF2(SASLprep(password), salt, i)
//!  ClientKey      = HMAC(SaltedPassword, "Client Key")     StoredKey = SHA256(ClientKey)
//!  ServerKey      = HMAC(SaltedPassword, "Server Key")
//!  ClientProof    = ClientKey XOR HMAC(StoredKey, AuthMessage)
//!  ServerSignature = HMAC(ServerKey, AuthMessage)          AuthMessage: all said so far
//! ```
//!
//! The first letters bind the exchange to the TLS connection, so that nobody can stand in between:
//! `n` the client cannot, `y` it could but believes that the server cannot (a lie, if the server offered it: then
//! somebody has changed the offer), `p=tls-server-end-point` it does, and `c=` repeats that with the hash of the
//! server's certificate.
//!
//! Reading order: [`Verifier`] (what is stored), [`server`], [`client`], [`ChannelBinding`].

mod binding;
mod certificate;
pub mod client;
mod error;
mod keys;
mod message;
mod saslprep;
pub mod server;
mod verifier;

pub use binding::ChannelBinding;
pub use error::ScramError;
pub use keys::{LoginKeys, SaltedPassword};
pub use saslprep::saslprep;
pub use server::Credential;
pub use verifier::{Verifier, VerifierError};

/// The mechanism without channel binding.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";
/// The mechanism with channel binding.
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// PBKDF2 rounds of new verifiers: PostgreSQL's default (`scram_iterations`).
pub const DEFAULT_ITERATIONS: u32 = 4096;
/// Bytes of salt of new verifiers, as PostgreSQL's.
pub const SALT_LEN: usize = 16;

/// A new nonce: 18 random bytes in base64, as PostgreSQL's.
fn random_nonce() -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(dormouse_base::rand::bytes::<18>())
}
