//! Sessions of browsers. A browser shows an API key, or a code from a terminal, once, and has a cookie from then on.
//!
//! ```text
//!  key or code ─► sign in ─► token, in a cookie that no script can read; the metadata keeps its hash
//!  request with the cookie and the console's header ─► lend ─► Authorization: Bearer dms_… ─► like an API key
//!  idle for IDLE, older than LIFE, signed out, or its API key revoked ─► over
//! ```
//!
//! The header is what keeps pages of others out: a browser sends cookies with their requests too, but never a header
//! that is not theirs to send. So [`lend`] is the only place that looks at the cookie. Codes and the counts of failures
//! live in memory; they may be lost with the server. Sessions are listed and ended one by one under an [`id`] that opens
//! nothing.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{AUTHORIZATION, COOKIE, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue};
use dormouse_base::clock::Mono;
use dormouse_base::{ApiKeyId, ProjectId, Secret, Timestamp, rand};
use jiff::SignedDuration;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;

/// What every token of a session starts with.
pub const START: &str = "dms_";
/// Random characters after that.
const RANDOM_LEN: usize = 43;
/// A session that nobody used for so long is over.
pub const IDLE: SignedDuration = SignedDuration::from_hours(12);
/// A session is over after this long, used or not.
pub const LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Sessions of one server; the least recently used go first.
pub const MAX_SESSIONS: usize = 500;

/// A code signs in within this time.
pub const CODE_LIFE: SignedDuration = SignedDuration::from_mins(15);
/// Random characters of a code.
const CODE_LEN: usize = 32;
/// Codes that wait; the oldest go first.
const MAX_CODES: usize = 100;

/// Failures to sign in that one source may have within [`FAILURE_WINDOW`].
pub const MAX_FAILURES: u32 = 10;
/// Failures are forgotten after this long.
const FAILURE_WINDOW: Duration = Duration::from_secs(60);
/// Sources whose failures are counted. When there are more, all others wait together.
const MAX_SOURCES: usize = 1024;

/// A session as the metadata has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The API key that it was opened with, and that it acts as.
    pub key: ApiKeyId,
    /// That key's name.
    pub name: String,
    /// The only project that it may use.
    pub project: Option<ProjectId>,
    /// When it was used last, to a minute.
    pub used_at: Timestamp,
    /// It is over then.
    pub expires_at: Timestamp,
}

/// Which browser has a session, so that people can tell one from another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Browser {
    /// The address that it was used from last.
    pub from: String,
    /// What it says that it is.
    pub agent: String,
}

/// Characters of a `User-Agent` that are kept.
const MAX_AGENT: usize = 200;

impl Browser {
    /// Who sends a request with these headers from this address.
    #[must_use]
    pub fn of(from: IpAddr, headers: &HeaderMap) -> Self {
        let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self { from: from.to_string(), agent: agent.chars().take(MAX_AGENT).collect() }
    }
}

impl Session {
    /// Whether it is good at this moment.
    #[must_use]
    pub fn is_alive(&self, now: Timestamp) -> bool {
        now < self.expires_at && now.duration_since(self.used_at) < IDLE
    }
}

/// A new token.
#[must_use]
pub fn token() -> Secret<String> {
    Secret::new(format!("{START}{}", rand::token(RANDOM_LEN)))
}

/// The hash under which a session is kept.
#[must_use]
pub fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

/// The name of a session for people, made from its hash. It opens nothing, and says nothing of the token.
#[must_use]
pub fn id(hash: &[u8]) -> String {
    let digest = Sha256::new().chain_update(b"name of a session").chain_update(hash).finalize();
    format!("cs-{}", hex::encode(&digest[..8]))
}

/// What the console needs besides the metadata. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Doorman {
    /// The cookie's name.
    pub cookie: Arc<str>,
    codes: Arc<Mutex<Vec<Code>>>,
    failures: Arc<Mutex<HashMap<IpAddr, (Mono, u32)>>>,
}

#[derive(Debug)]
struct Code {
    hash: Vec<u8>,
    key: ApiKeyId,
    until: Timestamp,
}

impl Doorman {
    /// For the server of a data directory. Cookies do not know ports, so each server on a machine has a name of its own.
    #[must_use]
    pub fn new(data: &Path) -> Self {
        let id = hex::encode(&Sha256::digest(data.as_os_str().as_encoded_bytes())[..4]);
        Self {
            cookie: format!("dormouse_session_{id}").into(),
            codes: Arc::default(),
            failures: Arc::default(),
        }
    }

    /// A code that signs in once as this key.
    #[must_use]
    pub fn issue(&self, key: ApiKeyId, now: Timestamp) -> (Secret<String>, Timestamp) {
        let (code, until) = (rand::token(CODE_LEN), now + CODE_LIFE);
        let mut codes = self.codes.lock();
        codes.retain(|code| now < code.until);
        if codes.len() >= MAX_CODES {
            codes.remove(0);
        }
        codes.push(Code { hash: hash(&code), key, until });
        (Secret::new(code), until)
    }

    /// The key of a code, which is used up by that.
    #[must_use]
    pub fn redeem(&self, code: &str, now: Timestamp) -> Option<ApiKeyId> {
        let shown = hash(code);
        let mut codes = self.codes.lock();
        codes.retain(|code| now < code.until);
        let at = codes.iter().position(|code| code.hash == shown)?;
        Some(codes.remove(at).key)
    }

    /// Whether somebody who failed too often may try again.
    #[must_use]
    pub fn may_try(&self, from: IpAddr, now: Mono) -> bool {
        let failures = self.failures.lock();
        let of = |source| failures.get(&source).filter(|(since, _)| now.since(*since) < FAILURE_WINDOW);
        let full = failures.len() >= MAX_SOURCES && !failures.contains_key(&source(from));
        of(if full { OTHERS } else { source(from) }).is_none_or(|(_, count)| *count < MAX_FAILURES)
    }

    /// Somebody showed what is not known.
    pub fn failed(&self, from: IpAddr, now: Mono) {
        let mut failures = self.failures.lock();
        if failures.len() >= MAX_SOURCES {
            failures.retain(|_, (since, _)| now.since(*since) < FAILURE_WINDOW);
        }
        let source = source(from);
        let counted = failures.len() < MAX_SOURCES || failures.contains_key(&source);
        let entry = failures.entry(if counted { source } else { OTHERS }).or_insert((now, 0));
        if now.since(entry.0) >= FAILURE_WINDOW {
            *entry = (now, 0);
        }
        entry.1 = entry.1.saturating_add(1);
    }

    /// Makes the cookie of a request from the console as good as an `Authorization`. From anybody else it is nothing.
    pub fn lend(&self, headers: &mut HeaderMap) {
        if headers.contains_key(AUTHORIZATION) || !is_from_console(headers) {
            return;
        }
        let Some(token) = self.token(headers) else { return };
        if let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {token}")) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
    }

    /// The token in the cookie.
    fn token<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find_map(|(name, value)| (name == &*self.cookie && value.starts_with(START)).then_some(value))
    }

    /// `Set-Cookie` for a token; without one, the cookie ends.
    #[must_use]
    pub fn set_cookie(&self, token: Option<&Secret<String>>, over_tls: bool) -> String {
        let (value, age) = token.map_or(("", 0), |token| (token.expose().as_str(), LIFE.as_secs()));
        let secure = if over_tls { "; Secure" } else { "" };
        format!("{}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}{secure}", self.cookie)
    }
}

/// All sources that there is no room for.
const OTHERS: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// Who has one IPv6 address has its /64.
fn source(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Whether the console itself sent this. Browsers say themselves where a request comes from; older ones say nothing.
#[must_use]
pub fn is_from_console(headers: &HeaderMap) -> bool {
    let same_origin = headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin");
    same_origin && headers.contains_key(dormouse_api::console::HEADER)
}
