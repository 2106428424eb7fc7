//! The body of a request, whole and within limits.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, StatusCode, header};
use dormouse_pgwire::sqlstate::SqlState;
use futures_util::StreamExt;

use super::answer::problem::Problem;
use super::budget::{Budget, Held, MAX_REQUEST};

/// A body has come after this long.
const COMES_WITHIN: Duration = Duration::from_secs(60);

/// Types of bodies that are certainly no JSON. The official driver sends `text/plain`, others `application/json` or
/// `application/sql`, and curl calls whatever it sends a form.
const REFUSED_TYPES: [&str; 3] = ["multipart/", "application/octet-stream", "application/xml"];

/// Reads a body.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    budget: &Budget,
) -> Result<(Vec<u8>, Held), Problem> {
    check_type(headers)?;
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > MAX_REQUEST) {
        return Err(too_large());
    }
    let mut held = budget.open();
    let reading = collect(body.into_data_stream(), length.unwrap_or(0).min(MAX_REQUEST), &mut held);
    match tokio::time::timeout(COMES_WITHIN, reading).await {
        Ok(read) => read.map(|bytes| (bytes, held)),
        Err(_) => Err(Problem::request(
            StatusCode::REQUEST_TIMEOUT,
            SqlState::CONNECTION_FAILURE,
            "http-request",
            "the body of the request did not come within 60 s",
        )),
    }
}

async fn collect(mut stream: BodyDataStream, expected: usize, held: &mut Held) -> Result<Vec<u8>, Problem> {
    // What is announced is not believed until it comes.
    let mut bytes = Vec::with_capacity(expected.min(super::budget::UNCOUNTED));
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|_| Problem::malformed("the body of the request broke off"))?;
        if bytes.len() + piece.len() > MAX_REQUEST {
            return Err(too_large());
        }
        if !held.grow(bytes.len() + piece.len()) {
            return Err(Problem::request(
                StatusCode::SERVICE_UNAVAILABLE,
                SqlState::INSUFFICIENT_RESOURCES,
                "http-too-large",
                "too many large requests are being read at the same time: try again",
            ));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let text = text.to_ascii_lowercase();
    if REFUSED_TYPES.iter().any(|refused| text.starts_with(refused)) {
        return Err(Problem::request(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            SqlState::PROTOCOL_VIOLATION,
            "http-request",
            "the body must be JSON: send it as application/json",
        ));
    }
    if headers.get(header::CONTENT_ENCODING).is_some_and(|value| value.as_bytes() != b"identity") {
        return Err(Problem::request(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            SqlState::PROTOCOL_VIOLATION,
            "http-request",
            "the body must not be compressed",
        ));
    }
    Ok(())
}

fn too_large() -> Problem {
    Problem::too_large(StatusCode::PAYLOAD_TOO_LARGE, "the body of the request is larger than 64 MiB")
}
