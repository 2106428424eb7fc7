//! Bearer tokens of one identity provider that the server was told to trust.
//!
//! A token is good when its signature is by a key of the issuer, it is for our audience, it has not ended, and
//! its subject is one of those that may come (everybody, if none are named). The claim [`PROJECT_CLAIM`] binds
//! its holder to one project. Algorithms are a short list: no shared secrets, no `none`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dormouse_api::audit::{Actor, ActorKind};
use dormouse_base::ProjectId;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::jwks::{JwksError, Keys, is_safe};
use super::{Caller, crypto};

/// The claim with the ID of the only project that the holder may use.
pub const PROJECT_CLAIM: &str = "dormouse_project";
/// How signatures may be made.
pub const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
/// How far the provider's clock and ours may be apart.
pub const LEEWAY: Duration = Duration::from_secs(60);
/// The longest token that is looked at, bytes.
pub const MAX_TOKEN: usize = 16 * 1024;
/// The most characters of a subject that are shown.
const SHOWN: usize = 200;

/// Whom to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcSettings {
    /// The issuer, exactly as tokens name it.
    pub issuer: String,
    /// What tokens must be for.
    pub audience: String,
    /// Subjects that may come; one that ends with `*` stands for all that begin so. Empty = everybody.
    pub subjects: Vec<String>,
}

impl OidcSettings {
    /// Checks what an administrator wrote.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        if !is_safe(&self.issuer) {
            return Err(format!(
                "the issuer `{}` must be an https address, or one of this machine",
                self.issuer
            ));
        }
        if self.audience.is_empty() {
            return Err("the audience is empty: name what tokens must be for".to_owned());
        }
        Ok(())
    }
}

/// Verifies tokens. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Oidc {
    settings: Arc<OidcSettings>,
    keys: Arc<Mutex<Keys>>,
}

/// A token is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// It is wrong; the text may be shown.
    #[error("{0}")]
    Refused(String),
    /// The provider cannot be asked for its keys.
    #[error("the identity provider's keys cannot be read")]
    NoKeys(#[source] JwksError),
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(flatten)]
    more: HashMap<String, serde_json::Value>,
}

fn refused<T>(text: impl Into<String>) -> Result<T, OidcError> {
    Err(OidcError::Refused(text.into()))
}

impl Oidc {
    /// Trusts this provider; nothing is asked yet.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(settings: OidcSettings) -> Result<Self, JwksError> {
        crypto::install();
        let keys = Keys::new(&settings.issuer)?;
        Ok(Self { settings: Arc::new(settings), keys: Arc::new(Mutex::new(keys)) })
    }

    /// Who the holder of a token is.
    ///
    /// # Errors
    /// When it is not accepted, or nobody can tell now.
    pub async fn verify(&self, token: &str) -> Result<Caller, OidcError> {
        if token.len() > MAX_TOKEN {
            return refused(format!("the token is longer than {MAX_TOKEN} bytes"));
        }
        let Ok(header) = jsonwebtoken::decode_header(token) else {
            return refused("this is neither an API key nor a token");
        };
        if !ALGORITHMS.contains(&header.alg) {
            return refused("the token is signed in a way that is not accepted: use RS256, ES256 or EdDSA");
        }
        let key = self.keys.lock().await.get(header.kid.as_deref()).await.map_err(OidcError::NoKeys)?;
        let Some(key) = key else {
            return refused("the token is signed with a key that its issuer does not have");
        };
        let Ok(key) = DecodingKey::from_jwk(&key) else {
            return refused("the token is signed with a key of a kind that is not accepted");
        };
        let mut rules = Validation::new(header.alg);
        rules.leeway = LEEWAY.as_secs();
        rules.validate_nbf = true;
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules.set_issuer(&[&self.settings.issuer]);
        rules.set_audience(&[&self.settings.audience]);
        match jsonwebtoken::decode::<Claims>(token, &key, &rules) {
            Ok(token) => self.admit(&token.claims),
            Err(error) => refused(match error.kind() {
                ErrorKind::ExpiredSignature => "the token has ended: get a new one",
                ErrorKind::ImmatureSignature => "the token is not good yet: compare the clocks",
                ErrorKind::InvalidAudience => "the token is for another audience than this server's",
                ErrorKind::InvalidIssuer => {
                    "the token is from another issuer than the one that is trusted here"
                }
                ErrorKind::MissingRequiredClaim(_) => {
                    "the token lacks one of the claims exp, iss, aud and sub"
                }
                _ => "the token's signature or form is wrong",
            }),
        }
    }

    fn admit(&self, claims: &Claims) -> Result<Caller, OidcError> {
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => claims.sub.starts_with(start),
            None => claims.sub == *pattern,
        };
        if !self.settings.subjects.is_empty() && !self.settings.subjects.iter().any(fits) {
            return refused("the token's subject is not one of those that may use this server");
        }
        let project = match claims.more.get(PROJECT_CLAIM) {
            None => None,
            // A claim that is there but cannot be read must not open everything.
            Some(claim) => match claim.as_str().and_then(|id| id.parse::<ProjectId>().ok()) {
                Some(id) => Some(id),
                None => return refused(format!("the claim `{PROJECT_CLAIM}` is not the ID of a project")),
            },
        };
        let name: String = claims.sub.chars().take(SHOWN).collect();
        let id = format!("{}#{name}", self.settings.issuer);
        Ok(Caller { actor: Actor { kind: ActorKind::Oidc, id, name }, project })
    }
}
