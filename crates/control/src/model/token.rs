//! Login tokens: what a client may show in the place of a password, as bytes. Pure; keys and clocks are the
//! caller's ([`crate::token`]).
//!
//! ```text
//!  base64url( {"alg":"HS256","kid":"…","typ":"dormouse-login+jwt"} )
//!  . base64url( {"aud":project, "sub":role, "branch":…, "endpoint"?:…, "database"?:…, "iat", "nbf", "exp", "jti"} )
//!  . base64url( HMAC-SHA-256(key, everything before the second dot) )
//! ```
//!
//! The form is that of a JSON Web Token, so that tools can show what is in one. It is verified with one
//! algorithm, whatever its header says: a token with another one is none of ours. The signature is compared in
//! constant time and before any of the claims is looked at. The key is symmetric because the server that issues
//! tokens is the one that verifies them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dormouse_base::{BranchId, EndpointId, ProjectId, Secret, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Lifetime of a token, unless it is asked for another one, seconds.
pub const DEFAULT_LIFETIME_SECONDS: i64 = 15 * 60;
/// The longest lifetime that can be asked for, seconds (1 hour): a token that leaked is of use that long.
pub const MAX_LIFETIME_SECONDS: i64 = 3600;
/// How far the clock may be set back between issuing and login, seconds. It lets a token in early, never late:
/// the end of a token is exact.
pub const MAX_CLOCK_SKEW_SECONDS: i64 = 30;
/// Bytes of a key.
pub const KEY_LEN: usize = 32;

const ALGORITHM: &str = "HS256";
const TYPE: &str = "dormouse-login+jwt";

/// A signing key with its name.
#[derive(Clone)]
pub struct TokenKey {
    id: String,
    key: Secret<[u8; KEY_LEN]>,
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TokenKey").field(&self.id).finish()
    }
}

impl TokenKey {
    /// A key from its bytes; its name follows from them.
    #[must_use]
    pub fn new(key: Secret<[u8; KEY_LEN]>) -> Self {
        let name =
            Sha256::new().chain_update(b"dormouse token key name\0").chain_update(key.expose()).finalize();
        Self { id: hex::encode(&name[..8]), key }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    fn mac(&self, signed: &[u8]) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(self.key.expose()).expect("HMAC takes keys of any length");
        mac.chain_update(signed)
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

/// What a token says. Its holder may log in as `sub` on that branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The project.
    pub aud: ProjectId,
    /// The role.
    pub sub: String,
    /// The branch.
    pub branch: BranchId,
    /// Only by this endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointId>,
    /// Only to this database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// When it was issued, seconds since 1970.
    pub iat: i64,
    /// When it begins to be good, seconds since 1970.
    pub nbf: i64,
    /// When it ends, seconds since 1970.
    pub exp: i64,
    /// Tells it from others, for logs.
    pub jti: String,
}

/// What somebody who shows a token wants.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The project.
    pub project: &'a ProjectId,
    /// The branch.
    pub branch: &'a BranchId,
    /// The endpoint.
    pub endpoint: &'a EndpointId,
    /// The role.
    pub role: &'a str,
    /// The database.
    pub database: &'a str,
}

/// Why a token does not prove what was wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is none of ours, or forged.
    #[error("not a login token of this server")]
    NotOne,
    /// Another key signed it, or nobody did.
    #[error("signed with a key that is not in use")]
    Revoked,
    /// It ended.
    #[error("expired at {0}")]
    Expired(Timestamp),
    /// It has not begun.
    #[error("not good before {0}")]
    NotYet(Timestamp),
    /// It is for another role.
    #[error("for another role")]
    Role,
    /// It is for another project, branch or endpoint.
    #[error("for another place")]
    Place,
    /// It is for this database only.
    #[error("for database {0} only")]
    Database(String),
}

/// The token with these claims.
#[must_use]
pub fn sign(key: &TokenKey, claims: &Claims) -> Secret<String> {
    let header = Header { alg: ALGORITHM.to_owned(), kid: key.id.clone(), typ: TYPE.to_owned() };
    let part = |json: serde_json::Result<Vec<u8>>| {
        URL_SAFE_NO_PAD.encode(json.expect("plain data can always be said in JSON"))
    };
    let signed = format!("{}.{}", part(serde_json::to_vec(&header)), part(serde_json::to_vec(claims)));
    let signature = key.mac(signed.as_bytes()).finalize().into_bytes();
    Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// What a token says, if this key signed it.
///
/// # Errors
/// [`TokenError::NotOne`] and [`TokenError::Revoked`].
pub fn open(key: &TokenKey, token: &[u8]) -> Result<Claims, TokenError> {
    let text = std::str::from_utf8(token).map_err(|_| TokenError::NotOne)?;
    let (signed, signature) = text.rsplit_once('.').ok_or(TokenError::NotOne)?;
    let (header, claims) = signed.split_once('.').ok_or(TokenError::NotOne)?;
    let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::NotOne);
    let header: Header = serde_json::from_slice(&bytes(header)?).map_err(|_| TokenError::NotOne)?;
    if header.alg != ALGORITHM || header.typ != TYPE {
        return Err(TokenError::NotOne);
    }
    if header.kid != key.id {
        return Err(TokenError::Revoked);
    }
    let mac = key.mac(signed.as_bytes());
    mac.verify_slice(&bytes(signature)?).map_err(|_| TokenError::NotOne)?;
    serde_json::from_slice(&bytes(claims)?).map_err(|_| TokenError::NotOne)
}

/// Whether a token proves what is wanted.
///
/// # Errors
/// See [`TokenError`]; time comes before everything else that needs the signature.
pub fn verify(key: &TokenKey, token: &[u8], wanted: &Wanted<'_>, now: Timestamp) -> Result<(), TokenError> {
    let claims = open(key, token)?;
    let moment = |seconds| Timestamp::from_second(seconds).map_err(|_| TokenError::NotOne);
    let now = now.as_second();
    if now >= claims.exp {
        return Err(TokenError::Expired(moment(claims.exp)?));
    }
    if now + MAX_CLOCK_SKEW_SECONDS < claims.nbf {
        return Err(TokenError::NotYet(moment(claims.nbf)?));
    }
    let here = claims.aud == *wanted.project
        && claims.branch == *wanted.branch
        && claims.endpoint.as_ref().is_none_or(|endpoint| endpoint == wanted.endpoint);
    if !here {
        return Err(TokenError::Place);
    }
    if claims.sub != wanted.role {
        return Err(TokenError::Role);
    }
    match claims.database {
        Some(database) if database != wanted.database => Err(TokenError::Database(database)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
