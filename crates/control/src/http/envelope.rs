//! Around every request: an ID, a time limit, and errors as JSON.

use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dormouse_api::{ErrorBody, routes};
use dormouse_base::clock::Mono;
use dormouse_base::{Kind, rand};
use tracing::Instrument;

use super::auth::route_of;
use super::error::Error;
use crate::control::Control;

/// The longest that a request may take: an endpoint may need to stop (30 s) and start again.
pub const REQUEST_WITHIN: Duration = Duration::from_secs(120);

/// The header with the request's ID.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The request's ID, for whoever works on it.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) String);

/// Gives the request an ID, logs it, and writes the body of an error.
pub(super) async fn envelope(State(control): State<Control>, mut request: Request, next: Next) -> Response {
    let id = rand::token(20);
    request.extensions_mut().insert(RequestId(id.clone()));
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!("api", request_id = %id);
    let started = Mono::now();
    let route = route_of(&request).and_then(Result::ok).map_or("none", |route| route.id);
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status();
    let took = started.elapsed();
    control.foundation.metrics.request(route, status.as_u16(), took);
    span.in_scope(|| tracing::debug!(%method, path, status = status.as_u16(), ?took, "request"));

    let mut response =
        if status.is_client_error() || status.is_server_error() { in_json(response, &id) } else { response };
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

fn in_json(mut response: Response, id: &str) -> Response {
    let status = response.status();
    let error = response.extensions_mut().remove::<Error>().unwrap_or_else(|| {
        // The framework's own refusals, such as 405 and 413.
        let reason = status.canonical_reason().unwrap_or("the request was refused").to_lowercase();
        let hint = (status == StatusCode::BAD_REQUEST).then(|| {
            "the address must be UTF-8, with %XX for what is not a letter, a digit or one of -._~".to_owned()
        });
        Error { status: status.as_u16(), code: reason.replace(' ', "-").into(), message: reason, hint }
    });
    let body = ErrorBody {
        message: error.message,
        code: error.code.into_owned(),
        hint: error.hint,
        request_id: id.to_owned(),
    };
    let mut out = (status, Json(body)).into_response();
    for name in [axum::http::header::ALLOW, axum::http::header::WWW_AUTHENTICATE] {
        if let Some(value) = response.headers().get(&name) {
            out.headers_mut().insert(name, value.clone());
        }
    }
    out
}

/// What looks at a whole store takes as long as it takes. These are not started by the thousand.
const UNLIMITED: [&str; 2] = [routes::STORAGE_CHECK, routes::STORAGE_COLLECT];

/// Ends a request that takes too long; what it started goes on.
pub(super) async fn time_limit(request: Request, next: Next) -> Response {
    let path = request.uri().path().strip_prefix(routes::BASE).unwrap_or_default();
    if UNLIMITED.contains(&path) {
        return next.run(request).await;
    }
    match tokio::time::timeout(REQUEST_WITHIN, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Error::new(
            Kind::Unavailable,
            "too-slow",
            "the request took too long: look at the operation's status",
        )
        .into_response(),
    }
}
