//! A client without a socket: it builds a [`Request`] and reads the reply; the caller sends.
//!
//! Each call is a value that knows the type of its reply:
//!
//! ```
//! use dormouse_api::client;
//!
//! let call = client::project::list(&dormouse_api::PageQuery::default());
//! assert_eq!(call.request().target(), "/api/v2/projects");
//! let reply = call.decode(200, br#"{"projects":[]}"#).unwrap();
//! assert!(reply.projects.is_empty());
//! ```
//!
//! One file per resource below; a new call is one function there.

use std::marker::PhantomData;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ErrorBody;
use crate::routes::{self, Method};

pub mod alert;
pub mod api_key;
pub mod audit;
pub mod auth;
pub mod branch;
pub mod cost;
pub mod console;
pub mod database;
pub mod endpoint;
pub mod operation;
pub mod pooler;
pub mod project;
pub mod quota;
pub mod role;
pub mod server;
pub mod snapshot;
pub mod statistics;
pub mod storage;
pub mod usage;

/// The largest reply that a caller should read, bytes.
pub const MAX_REPLY_BODY: usize = 32 * 1024 * 1024;

/// How much of an unreadable reply an error shows, characters.
const SHOWN: usize = 200;

/// RFC 3986's unreserved characters stay as they are, everything else is escaped.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What to send. The caller adds the server's address and `Authorization: Bearer <key>`.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The HTTP method.
    pub method: Method,
    /// The path below [`routes::BASE`], already escaped.
    pub path: String,
    /// Query parameters, not yet escaped.
    pub query: Vec<(&'static str, String)>,
    /// The JSON body.
    pub body: Option<serde_json::Value>,
}

impl Request {
    /// Path and query relative to `…/api/v2`, escaped.
    #[must_use]
    pub fn relative(&self) -> String {
        if self.query.is_empty() {
            return self.path.clone();
        }
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish();
        format!("{}?{query}", self.path)
    }

    /// Path and query from the root of the server, escaped.
    #[must_use]
    pub fn target(&self) -> String {
        format!("{}{}", routes::BASE, self.relative())
    }
}

/// A request together with the type of its reply.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a call does nothing until its request is sent"]
pub struct Call<T> {
    request: Request,
    pattern: &'static str,
    reply: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Call<T> {
    /// `pattern` is one of [`routes`]; `segments` fill its parameters from left to right.
    fn new(method: Method, pattern: &'static str, segments: &[&str]) -> Self {
        let request = Request { method, path: fill(pattern, segments), query: Vec::new(), body: None };
        Self { request, pattern, reply: PhantomData }
    }

    fn with_query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.request.query.push((name, value.to_string()));
        }
        self
    }

    fn with_body(mut self, body: &impl Serialize) -> Self {
        let body =
            serde_json::to_value(body).expect("request types are plain data, which JSON can always say");
        self.request.body = Some(body);
        self
    }

    /// What to send.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The route that this call uses.
    #[must_use]
    pub fn pattern(&self) -> &'static str {
        self.pattern
    }

    /// Reads the reply.
    ///
    /// # Errors
    /// [`Failure::Refused`] when the server says no, [`Failure::Unreadable`] when the reply is not
    /// one of Dormouse's.
    pub fn decode(&self, status: u16, body: &[u8]) -> Result<T, Failure> {
        if (200..300).contains(&status) {
            return serde_json::from_slice(body).map_err(|source| Failure::Unreadable {
                status,
                beginning: String::new(),
                source,
            });
        }
        match serde_json::from_slice::<ErrorBody>(body) {
            Ok(error) => Err(Failure::Refused { status, error }),
            Err(source) => Err(Failure::Unreadable { status, beginning: beginning(body), source }),
        }
    }
}

/// Why a reply is not what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The server understood and said no.
    #[error("{}", error.message)]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the server said.
        error: ErrorBody,
    },
    /// The reply does not follow this contract: another server, a proxy, or another version.
    #[error("the reply (HTTP {status}) is not one of Dormouse's")]
    Unreadable {
        /// The HTTP status.
        status: u16,
        /// The first characters of the reply; empty for a success, which may carry secrets.
        beginning: String,
        /// What JSON reading said.
        #[source]
        source: serde_json::Error,
    },
}

fn beginning(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(SHOWN).collect()
}

fn fill(pattern: &str, segments: &[&str]) -> String {
    let mut segments = segments.iter();
    let mut path = String::with_capacity(pattern.len());
    for part in pattern.split('/').skip(1) {
        path.push('/');
        if part.starts_with('{') {
            let segment =
                segments.next().expect("every caller in this module gives one segment per parameter");
            path.extend(utf8_percent_encode(segment, SEGMENT));
        } else {
            path.push_str(part);
        }
    }
    path
}
