//! What browsers ask before they let a page talk to us.
//!
//! Every origin may: who may do what is decided by the connection string or key in the request, which no browser adds
//! by itself. So credentials (cookies) are never allowed, and `*` is right.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};

/// Headers that a page may send.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Accept, Neon-Connection-String, Neon-Raw-Text-Output, Neon-Array-Mode, \
     Neon-Pool-Opt-In, Neon-Batch-Read-Only, Neon-Batch-Isolation-Level, Neon-Batch-Deferrable, X-Neon-Query-ID",
);

/// Headers of the answer that a page may read.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "neon-request-id, neon-batch-read-only, neon-batch-isolation-level, neon-batch-deferrable, retry-after",
);

/// Methods that a page may use.
const METHODS: HeaderValue = HeaderValue::from_static("OPTIONS, POST");

/// A browser may remember that for a day.
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

const ANYBODY: HeaderValue = HeaderValue::from_static("*");

/// The answer to OPTIONS.
pub(crate) fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANYBODY);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    response
}

/// Lets pages read this answer, whatever it is.
pub(crate) fn allow(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANYBODY);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
}
