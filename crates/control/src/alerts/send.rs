//! Posts one notice once. When and how often is the reconciler `notices`' business, how it is signed and where it may go
//! `dormouse_statistics::webhook`'s.
//!
//! No redirect is followed, a try ends after [`TRY_WITHIN`], of the answer only the status is read, and every address
//! that a name turns out to mean is looked at before it is connected to. `HTTPS_PROXY` of the environment is honoured
//! for https; then the proxy looks up the names, and what it may reach is the operator's to say.

use std::net::SocketAddr;
use std::time::Duration;

use dormouse_base::{Secret, clock};
use dormouse_statistics::webhook::{self, BadUrl, TRY_WITHIN, check_address, check_url};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The last lines of a cause that are kept, characters.
const MAX_ERROR: usize = 200;

/// Sends. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sender {
    http: reqwest::Client,
    https: Option<reqwest::Client>,
}

/// The HTTP client cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the HTTP client for webhooks")]
pub struct ClientError(#[source] reqwest::Error);

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver said 2xx.
    Delivered(u16),
    /// It said something else.
    Refused(u16),
    /// It said nothing; why, for people.
    Unreachable(String),
}

impl Outcome {
    /// The HTTP status, if there was an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Delivered(status) | Self::Refused(status) => Some(*status),
            Self::Unreachable(_) => None,
        }
    }

    /// What went wrong, for people.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        match self {
            Self::Delivered(_) => None,
            Self::Refused(status @ 300..400) => {
                Some(format!("the receiver answered {status}: redirects are not followed"))
            }
            Self::Refused(status) => Some(format!("the receiver answered {status}")),
            Self::Unreachable(why) => Some(why.clone()),
        }
    }
}

/// Looks names up, and passes over addresses that notices are not sent to.
#[derive(Debug)]
struct Lookup;

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let refused = found.iter().find_map(|address| check_address(address.ip()).err());
            let good: Vec<SocketAddr> =
                found.into_iter().filter(|address| check_address(address.ip()).is_ok()).collect();
            match refused {
                Some(error) if good.is_empty() => Err(error.into()),
                _ => Ok(Box::new(good.into_iter()) as Addrs),
            }
        })
    }
}

impl Sender {
    /// Without a connection yet.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new() -> Result<Self, ClientError> {
        Self::within(TRY_WITHIN)
    }

    /// With another limit of time for one try.
    fn within(limit: Duration) -> Result<Self, ClientError> {
        // Another part of the program may have been first.
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            reqwest::Client::builder()
                .timeout(limit)
                .redirect(reqwest::redirect::Policy::none())
                .dns_resolver(std::sync::Arc::new(Lookup))
                .pool_max_idle_per_host(0)
                .user_agent(concat!("dormouse/", env!("CARGO_PKG_VERSION")))
        };
        // A machine without root certificates can still tell itself.
        let http = builder().no_proxy().tls_certs_only([]).build().map_err(ClientError)?;
        let https = builder().build();
        if let Err(error) = &https {
            tracing::warn!(%error, "webhooks over https cannot be told");
        }
        Ok(Self { http, https: https.ok() })
    }

    /// Posts a notice once.
    pub async fn send(&self, url: &str, secret: &Secret<String>, id: &str, body: &str) -> Outcome {
        let url = match check_url(url) {
            Ok(url) => url,
            Err(error) => return Outcome::Unreachable(error.to_string()),
        };
        let client = if url.scheme() == "https" { self.https.as_ref() } else { Some(&self.http) };
        let Some(client) = client else {
            return Outcome::Unreachable("this machine has no root certificates for https".to_owned());
        };
        let request = client
            .post(url)
            .header("content-type", "application/json")
            .header(webhook::DELIVERY, id)
            .header(webhook::SIGNATURE, webhook::sign(secret, clock::now().as_second(), body.as_bytes()))
            .body(body.to_owned());
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Outcome::Delivered(answer.status().as_u16()),
            Ok(answer) => Outcome::Refused(answer.status().as_u16()),
            Err(error) => Outcome::Unreachable(why(&error)),
        }
    }
}

/// The reason for people; the URL, which may be a secret of the receiver's, is left out.
fn why(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "the receiver did not answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        if let Some(refused) = next.downcast_ref::<BadUrl>() {
            return refused.to_string();
        }
        cause = next;
    }
    cause.to_string().chars().take(MAX_ERROR).collect()
}

#[cfg(test)]
mod tests;
