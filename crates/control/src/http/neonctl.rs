//! What only `neonctl` has to be told. It builds connection strings itself, as `postgresql://` and an endpoint's `host`, knows
//! no port, and puts what it needs behind that with a URL parser. So for it (by its `User-Agent`) the host has what a
//! connection needs besides: the port, and without a domain the endpoint's name.
//!
//! ```text
//!  everybody   "host": "127.0.0.1"
//!  neonctl     "host": "127.0.0.1:5455?options=endpoint%3Dep-x"  ─► postgresql://role:…@127.0.0.1:5455/app?options=…&sslmode=…
//! ```
//!
//! Its `--pooled` puts `-pooler` behind the endpoint's name wherever that is, so that works as well.

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dormouse_api::routes;
use dormouse_base::Kind;
use serde_json::Value;

use super::error::Error;
use crate::address::Address;
use crate::control::Control;

/// How `neonctl` names itself.
const AGENT: &str = "neonctl ";

/// The longest list of endpoints, bytes.
const MAX_REPLY: usize = 64 << 20;

/// Where it looks for hosts.
const LISTS: [&str; 3] = [routes::BRANCH_ENDPOINTS, routes::ENDPOINTS, routes::ENDPOINT];

/// Changes the hosts of a reply to `neonctl`.
pub(super) async fn hosts(State(control): State<Control>, request: Request, next: Next) -> Response {
    let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let asks = agent.is_some_and(|agent| agent.starts_with(AGENT)) && request.method() == Method::GET;
    let pattern = request.extensions().get::<MatchedPath>();
    let pattern = pattern.and_then(|path| path.as_str().strip_prefix(routes::BASE));
    let lists = pattern.is_some_and(|pattern| LISTS.contains(&pattern));
    let response = next.run(request).await;
    if !asks || !lists || !response.status().is_success() {
        return response;
    }
    changed(response, &control.foundation.config.address).await
}

async fn changed(response: Response, address: &Address) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, MAX_REPLY).await else {
        return Error::new(Kind::Internal, "reply-too-large", "the list is too long").into_response();
    };
    let Ok(mut reply) = serde_json::from_slice::<Value>(&bytes) else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    let (one, many) = (reply.get("endpoint").is_some(), reply.get("endpoints").is_some());
    if one {
        host(&mut reply["endpoint"], address);
    }
    if many {
        for endpoint in reply["endpoints"].as_array_mut().into_iter().flatten() {
            host(endpoint, address);
        }
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(reply.to_string()))
}

fn host(endpoint: &mut Value, address: &Address) {
    let id = endpoint["id"].as_str().and_then(|id| id.parse().ok());
    if let Some(id) = id {
        endpoint["host"] = address.authority_and_more(&id).into();
    }
}
