//! The keys of an identity provider, fetched when they are needed and kept for a while, with limits.
//!
//! A token names its key by `kid`. One that is not known makes the keys be fetched again, but not more often
//! than [`REFETCH_AFTER`], so that nobody can make this server ask all day with invented names. While the
//! provider does not answer, keys that were good are good for [`STALE_AFTER`].

use std::time::Duration;

use dormouse_base::clock::Mono;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use serde::Deserialize;
use url::Url;

/// The most keys that are kept.
pub const MAX_KEYS: usize = 64;
/// The largest document that is read, bytes.
pub const MAX_DOCUMENT: usize = 256 * 1024;
/// How long one question to the provider may take.
pub const FETCH_WITHIN: Duration = Duration::from_secs(5);
/// Keys older than this are fetched again before they are used.
pub const FRESH_FOR: Duration = Duration::from_secs(10 * 60);
/// Keys older than this are not used even if the provider does not answer.
pub const STALE_AFTER: Duration = Duration::from_secs(60 * 60);
/// The shortest time between two questions.
pub const REFETCH_AFTER: Duration = Duration::from_secs(20);

/// The provider's keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// The HTTP client cannot be made.
    #[error("cannot set up the HTTP client")]
    Client(#[source] reqwest::Error),
    /// The provider does not answer, or not with what was asked for.
    #[error("cannot read {url}")]
    Fetch {
        /// What was asked for.
        url: String,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// The document is too long.
    #[error("{url} is longer than {MAX_DOCUMENT} bytes")]
    Long {
        /// What was asked for.
        url: String,
    },
    /// The document is not what it should be.
    #[error("{url} is not what was expected there")]
    Read {
        /// What was asked for.
        url: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// The provider is another one.
    #[error("{url} is about the issuer `{found}`")]
    OtherIssuer {
        /// What was asked for.
        url: String,
        /// Who it says it is.
        found: String,
    },
    /// Keys would come over a connection that anybody can change.
    #[error("{url} is neither https nor on this machine")]
    Insecure {
        /// Where the keys are said to be.
        url: String,
    },
    /// Asked a moment ago, in vain.
    #[error("the provider did not answer a moment ago")]
    AskedJustNow,
}

/// The keys that are known. Used behind a lock: who waits for it finds them fetched.
#[derive(Debug)]
pub struct Keys {
    issuer: String,
    http: reqwest::Client,
    known: Vec<Jwk>,
    fetched: Option<Mono>,
    tried: Option<Mono>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Keys {
    /// Keys of this issuer; none are fetched yet.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(issuer: &str) -> Result<Self, JwksError> {
        // Another part of the program may have been first.
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .timeout(FETCH_WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("dormouse");
        if Url::parse(issuer).is_ok_and(|url| url.scheme() == "http") {
            // A machine without root certificates can still talk to itself.
            builder = builder.no_proxy().tls_certs_only([]);
        }
        let http = builder.build().map_err(JwksError::Client)?;
        Ok(Self { issuer: issuer.to_owned(), http, known: Vec::new(), fetched: None, tried: None })
    }

    /// The key of that name; the only one when the token names none.
    ///
    /// # Errors
    /// When the provider must be asked and does not answer.
    pub async fn get(&mut self, kid: Option<&str>) -> Result<Option<Jwk>, JwksError> {
        let age = self.fetched.map(Mono::elapsed);
        let found = self.find(kid);
        if found.is_some() && age.is_some_and(|age| age < FRESH_FOR) {
            return Ok(found);
        }
        match self.refetch().await {
            Ok(()) => Ok(self.find(kid)),
            // An invented name, or keys that were read a moment ago.
            Err(JwksError::AskedJustNow) if age.is_some_and(|age| age < STALE_AFTER) => Ok(found),
            Err(error) if found.is_some() && age.is_some_and(|age| age < STALE_AFTER) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the identity provider's keys are old"
                );
                Ok(found)
            }
            Err(error) => Err(error),
        }
    }

    fn find(&self, kid: Option<&str>) -> Option<Jwk> {
        match (kid, self.known.as_slice()) {
            (Some(kid), all) => all.iter().find(|key| key.common.key_id.as_deref() == Some(kid)).cloned(),
            (None, [only]) => Some(only.clone()),
            (None, _) => None,
        }
    }

    async fn refetch(&mut self) -> Result<(), JwksError> {
        if self.tried.is_some_and(|at| at.elapsed() < REFETCH_AFTER) {
            return Err(JwksError::AskedJustNow);
        }
        self.tried = Some(Mono::now());
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let found: Discovery = self.read(&url).await?;
        if found.issuer != self.issuer {
            return Err(JwksError::OtherIssuer { url, found: found.issuer });
        }
        if !is_safe(&found.jwks_uri) {
            return Err(JwksError::Insecure { url: found.jwks_uri });
        }
        let mut set: JwkSet = self.read(&found.jwks_uri).await?;
        set.keys.truncate(MAX_KEYS);
        (self.known, self.fetched) = (set.keys, Some(Mono::now()));
        Ok(())
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, url: &str) -> Result<T, JwksError> {
        let failed = |source| JwksError::Fetch { url: url.to_owned(), source };
        let reply = self.http.get(url).send().await.and_then(reqwest::Response::error_for_status);
        let mut reply = reply.map_err(failed)?;
        let mut text = Vec::new();
        while let Some(piece) = reply.chunk().await.map_err(failed)? {
            text.extend_from_slice(&piece);
            if text.len() > MAX_DOCUMENT {
                return Err(JwksError::Long { url: url.to_owned() });
            }
        }
        serde_json::from_slice(&text).map_err(|source| JwksError::Read { url: url.to_owned(), source })
    }
}

/// Whether nobody on the way can change what is read there.
#[must_use]
pub fn is_safe(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && local)
}

#[cfg(test)]
mod tests {
    use super::is_safe;

    #[test]
    fn keys_come_over_safe_ways_only() {
        for safe in [
            "https://id.example/keys",
            "http://127.0.0.1:8080/keys",
            "http://localhost/keys",
            "http://[::1]/",
        ] {
            assert!(is_safe(safe), "{safe}");
        }
        for unsafe_one in ["http://id.example/keys", "file:///etc/passwd", "keys", "http://10.0.0.1/"] {
            assert!(!is_safe(unsafe_one), "{unsafe_one}");
        }
    }
}
