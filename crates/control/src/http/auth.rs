//! Who a request comes from, and whether they may. What is not in the table of routes is refused, so a route
//! that somebody mounts and forgets there is closed, not open.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dormouse_api::audit::{Actor, ActorKind};
use dormouse_api::routes::{self, Access, Method, Route};
use dormouse_base::{Kind, ProjectId, Secret, Timestamp, clock};
use jiff::SignedDuration;
use percent_encoding::percent_decode_str;

use super::audit::Record;
use super::error::Error;
use crate::api_key;
use crate::control::Control;
use crate::db::{api_keys, projects, sessions};
use crate::identity::oidc::OidcError;
use crate::identity::session::{self, Session};
use crate::identity::{Caller, Refusal, may};
use crate::model::record::ApiKey;

/// `last_used_at` is kept to this precision, so that a busy key does not cost a write a request.
const TOUCH_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// Where a request comes from; the server puts it into the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

impl Peer {
    /// The address, IPv4 as such even when it came through an IPv6 socket.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.0.ip().to_canonical()
    }
}

/// A request came over TLS; the server puts it into the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverTls;

/// The row of the table of routes that a request's path and method mean.
pub(super) fn route_of(request: &Request) -> Option<Result<&'static Route, &'static str>> {
    let pattern = request.extensions().get::<MatchedPath>()?.as_str().strip_prefix(routes::BASE)?;
    let pattern = routes::ALL.iter().find(|route| route.pattern == pattern)?.pattern;
    let method = method_of(request.method());
    Some(method.and_then(|method| routes::find(method, pattern)).ok_or(pattern))
}

fn method_of(method: &axum::http::Method) -> Option<Method> {
    // axum answers HEAD by what GET says.
    let name = if method == axum::http::Method::HEAD { "GET" } else { method.as_str() };
    [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete]
        .into_iter()
        .find(|known| known.as_str() == name)
}

/// Lets a request through that comes from somebody who may make it, and records what it changes.
pub(super) async fn admit(State(control): State<Control>, mut request: Request, next: Next) -> Response {
    let route = route_of(&request);
    if let Some(Ok(route)) = route
        && route.access == Access::Anybody
    {
        request.extensions_mut().insert(Caller::nobody());
        return next.run(request).await;
    }
    let caller = match authenticate(&control, bearer(&request), from(&request)).await {
        Ok(caller) => caller,
        Err(error) => return error.into_response(),
    };
    let route = match route {
        Some(Ok(route)) => route,
        Some(Err(pattern)) => return not_allowed(pattern),
        None => return next.run(request).await,
    };
    let named = if caller.project.is_some() || route.is_audited() {
        match named_project(&control, route, request.uri().path()) {
            Ok(named) => named,
            Err(error) => return error.into_response(),
        }
    } else {
        None
    };
    let record =
        route.is_audited().then(|| Record::begin(&control, &caller, route, &request, named.as_ref()));
    let response = match may(&caller, route.access, named.as_ref()) {
        Ok(()) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) => forbidden(refusal).into_response(),
    };
    if let Some(record) = record {
        record.end(&response).await;
    }
    response
}

fn forbidden(refusal: Refusal) -> Error {
    let message = match refusal {
        Refusal::WholeServer => "this key is for one project, and this request is about the whole server",
        Refusal::OtherProject => "this key is for another project",
    };
    Error::new(Kind::Forbidden, "not-allowed", message)
        .hint("use a key for every project: `dormouse api-key create NAME` makes one")
}

fn not_allowed(pattern: &str) -> Response {
    let methods: Vec<&str> = routes::ALL
        .iter()
        .filter(|route| route.pattern == pattern)
        .map(|route| route.method.as_str())
        .collect();
    let allowed = methods.join(", ");
    let mut response = Error {
        status: StatusCode::METHOD_NOT_ALLOWED.as_u16(),
        code: "method-not-allowed".into(),
        message: "this address does not take this method".to_owned(),
        hint: Some(format!("it takes {allowed}")),
    }
    .into_response();
    if let Ok(value) = HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

/// The living project that the path names, by ID or name.
fn named_project(control: &Control, route: &Route, path: &str) -> Result<Option<ProjectId>, Error> {
    let path = path.strip_prefix(routes::BASE).unwrap_or(path);
    let mut parts = route.pattern.split('/').zip(path.split('/'));
    let Some((_, text)) = parts.find(|(name, _)| *name == "{project_id}") else { return Ok(None) };
    let Ok(text) = percent_decode_str(text).decode_utf8() else { return Ok(None) };
    let found = control.foundation.db.read("find a project", |db| projects::find(db, &text))?;
    Ok(match found.as_slice() {
        [only] => Some(only.id.clone()),
        _ => None,
    })
}

fn bearer(request: &Request) -> Option<Secret<String>> {
    let text = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(key.trim().to_owned()))
}

fn from(request: &Request) -> String {
    request.extensions().get::<Peer>().map(|peer| peer.address().to_string()).unwrap_or_default()
}

async fn authenticate(
    control: &Control,
    shown: Option<Secret<String>>,
    from: String,
) -> Result<Caller, Error> {
    let refused = |message: &str| {
        Error::new(Kind::Unauthenticated, "bad-api-key", message)
            .hint("send `Authorization: Bearer <key>`; `dormouse api-key create` makes a key")
    };
    let Some(shown) = &shown else { return Err(refused("this request needs an API key")) };
    let shown = shown.expose();
    if shown.starts_with(session::START) {
        let ended = || {
            Error::new(Kind::Unauthenticated, "session-ended", "this session has ended").hint("sign in again")
        };
        let session = control.session(shown)?.ok_or_else(ended)?;
        note_session(control, shown, &session, from, clock::now()).await;
        let actor = Actor { kind: ActorKind::ApiKey, id: session.key.to_string(), name: session.name };
        return Ok(Caller { actor, project: session.project });
    }
    if let (false, Some(oidc)) = (shown.starts_with(api_key::START), &control.identities) {
        return oidc.verify(shown).await.map_err(Error::from);
    }
    let row = api_key::check(&control.foundation.db, shown)?;
    let row = row.ok_or_else(|| refused("this API key is not known"))?;
    note_use(control, &row, from, clock::now()).await;
    let actor = Actor { kind: ActorKind::ApiKey, id: row.id.to_string(), name: row.name };
    Ok(Caller { actor, project: row.project_id })
}

impl From<OidcError> for Error {
    fn from(error: OidcError) -> Self {
        match error {
            OidcError::Refused(why) => Self::new(Kind::Unauthenticated, "bad-bearer-token", why),
            OidcError::NoKeys(_) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot verify a bearer token");
                let message = "the identity provider's keys cannot be read, so no token can be verified now";
                Self::new(Kind::Unavailable, "identity-provider-unavailable", message)
                    .hint("try again in a moment, or use an API key")
            }
        }
    }
}

async fn note_session(control: &Control, token: &str, session: &Session, from: String, now: Timestamp) {
    if now.duration_since(session.used_at) < TOUCH_AFTER {
        return;
    }
    let hash = session::hash(token);
    let db = &control.foundation.db;
    let touched = db.write("note the use of a session", move |db| sessions::touch(db, &hash, now, &from));
    if let Err(error) = touched.await {
        tracing::warn!(error = &error as &dyn std::error::Error, "cannot note the use of a session");
    }
}

async fn note_use(control: &Control, row: &ApiKey, from: String, now: Timestamp) {
    let is_fresh = row.last_used_at.is_some_and(|last| now.duration_since(last) < TOUCH_AFTER);
    if is_fresh && row.last_used_from == from {
        return;
    }
    let id = row.id.clone();
    let db = &control.foundation.db;
    let touched = db.write("note the use of a key", move |db| api_keys::touch(db, &id, now, &from)).await;
    if let Err(error) = touched {
        tracing::warn!(error = &error as &dyn std::error::Error, "cannot note the use of an API key");
    }
}
