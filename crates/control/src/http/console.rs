//! Signing browsers in and out. What a session is, is in [`crate::identity::session`]; the list of them is
//! [`super::console_sessions`].

use std::net::{IpAddr, Ipv4Addr};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use dormouse_api::audit::{Actor, ActorKind, AuditEntry};
use dormouse_api::{ConsoleLink, ConsoleSession, SessionReply, SignIn, console};
use dormouse_base::clock::Mono;
use dormouse_base::{Kind, clock};

use super::audit;
use super::auth::{OverTls, Peer};
use super::envelope::RequestId;
use super::error::Error;
use super::extract::Body;
use crate::api_key;
use crate::control::Control;
use crate::db::{api_keys, sessions};
use crate::identity::Caller;
use crate::identity::session::{self, Browser, MAX_SESSIONS, Session};

/// What a proxy that ends TLS says.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// `POST /console_link`.
pub(super) async fn link(
    State(control): State<Control>,
    Extension(caller): Extension<Caller>,
) -> Result<(StatusCode, Json<ConsoleLink>), Error> {
    let key = match caller.actor.kind {
        ActorKind::ApiKey => caller.actor.id.parse().ok(),
        ActorKind::Oidc => None,
    };
    let key = key.ok_or_else(|| {
        Error::new(Kind::Forbidden, "not-allowed", "a browser is signed in with an API key, not with a token")
            .hint("use an API key: `dormouse api-key create NAME` makes one")
    })?;
    let (code, expires_at) = control.doorman.issue(key, clock::now());
    Ok((StatusCode::CREATED, Json(ConsoleLink { code, expires_at })))
}

/// `GET /console/session`. Nobody being signed in is an answer, not an error.
pub(super) async fn show(State(control): State<Control>, headers: HeaderMap) -> Result<Response, Error> {
    let found = current(&control, &headers)?;
    Ok(reply(&control, found.as_ref().map(|(_, session)| session)).into_response())
}

/// `POST /console/session`.
pub(super) async fn sign_in(
    State(control): State<Control>,
    visit: Visit,
    Body(shown): Body<SignIn>,
) -> Result<Response, Error> {
    if !visit.from_console {
        return Err(not_from_console());
    }
    if !control.doorman.may_try(visit.from, Mono::now()) {
        return Err(Error::new(
            Kind::Limit,
            "too-many-sign-ins",
            "too many failures to sign in from this address",
        )
        .hint("wait a minute"));
    }
    let key = match (&shown.key, &shown.code) {
        (Some(key), None) => api_key::check(&control.foundation.db, key.expose())?,
        (None, Some(code)) => {
            let id = control.doorman.redeem(code.expose(), clock::now());
            let rows = control.foundation.db.read("list API keys", api_keys::all)?;
            rows.into_iter().find(|row| Some(&row.id) == id.as_ref())
        }
        _ => return Err(Error::new(Kind::Invalid, "bad-body", "the request body needs `key` or `code`")),
    };
    let Some(key) = key else {
        control.doorman.failed(visit.from, Mono::now());
        tracing::warn!(from = %visit.from, "somebody could not sign in to the console");
        return Err(refused(shown.code.is_some()));
    };
    let now = clock::now();
    let (token, until) = (session::token(), now + session::LIFE);
    let (old, new, id) = (visit.token.clone(), session::hash(token.expose()), key.id.clone());
    let browser = visit.browser.clone();
    let add = move |db: &rusqlite::Transaction<'_>| {
        if let Some(old) = old {
            sessions::delete(db, &session::hash(&old))?;
        }
        sessions::insert(db, &new, &id, &browser, (now, until), MAX_SESSIONS)
    };
    control.foundation.db.write("open a session", add).await?;
    let opened =
        Session { key: key.id, name: key.name, project: key.project_id, used_at: now, expires_at: until };
    record(&control, &visit, &opened, "signIn").await;
    let cookie = control.doorman.set_cookie(Some(&token), visit.over_tls);
    Ok((cookie_header(&cookie), reply(&control, Some(&opened))).into_response())
}

/// `DELETE /console/session`. Signing out twice is as good as once.
pub(super) async fn sign_out(
    State(control): State<Control>,
    visit: Visit,
    headers: HeaderMap,
) -> Result<Response, Error> {
    if !visit.from_console {
        return Err(not_from_console());
    }
    if let Some((token, session)) = current(&control, &headers)? {
        let hash = session::hash(&token);
        control.foundation.db.write("end a session", move |db| sessions::delete(db, &hash)).await?;
        record(&control, &visit, &session, "signOut").await;
    }
    let cookie = control.doorman.set_cookie(None, visit.over_tls);
    Ok((StatusCode::NO_CONTENT, cookie_header(&cookie)).into_response())
}

/// What signing in and out looks at besides the body.
pub(super) struct Visit {
    from: IpAddr,
    over_tls: bool,
    from_console: bool,
    browser: Browser,
    token: Option<String>,
    request_id: String,
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Visit {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        _: &S,
    ) -> Result<Self, Self::Rejection> {
        let forwarded = parts.headers.get(FORWARDED_PROTO).is_some_and(|proto| proto == "https");
        let peer = parts.extensions.get::<Peer>();
        let from = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address());
        Ok(Self {
            from,
            browser: Browser::of(from, &parts.headers),
            over_tls: forwarded || parts.extensions.get::<OverTls>().is_some(),
            from_console: session::is_from_console(&parts.headers),
            token: token_of(&parts.headers),
            request_id: parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default(),
        })
    }
}

/// The token that was lent from the cookie, or shown.
pub(super) fn token_of(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let token = text.strip_prefix("Bearer ")?;
    token.starts_with(session::START).then(|| token.to_owned())
}

fn current(control: &Control, headers: &HeaderMap) -> Result<Option<(String, Session)>, Error> {
    let Some(token) = token_of(headers) else { return Ok(None) };
    let found = control.session(&token)?;
    Ok(found.map(|session| (token, session)))
}

fn reply(control: &Control, session: Option<&Session>) -> impl IntoResponse + use<> {
    let version = session.map(|_| control.foundation.config.version.clone());
    let session = session.map(|session| ConsoleSession {
        name: session.name.clone(),
        project_id: session.project.clone(),
        expires_at: session.expires_at,
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(SessionReply { session, version }))
}

fn cookie_header(cookie: &str) -> [(HeaderName, HeaderValue); 1] {
    let value = HeaderValue::from_str(cookie).expect("a cookie of ours is ASCII without control characters");
    [(header::SET_COOKIE, value)]
}

fn refused(code: bool) -> Error {
    if code {
        return Error::new(
            Kind::Unauthenticated,
            "bad-console-code",
            "this link was used already, or is too old",
        )
        .hint("`dormouse console` makes a new one");
    }
    Error::new(Kind::Unauthenticated, "bad-api-key", "this API key is not known")
        .hint("`dormouse api-key create NAME` makes one")
}

fn not_from_console() -> Error {
    let message = format!("this address is for the console, which sends `{}`", console::HEADER);
    Error::new(Kind::Forbidden, "not-allowed", message)
        .hint("programs use the API with `Authorization: Bearer <key>`")
}

async fn record(control: &Control, visit: &Visit, session: &Session, action: &str) {
    let entry = AuditEntry {
        id: 0,
        at: clock::now(),
        actor: Actor { kind: ActorKind::ApiKey, id: session.key.to_string(), name: session.name.clone() },
        action: action.to_owned(),
        path: console::SESSION_PATH.to_owned(),
        project_id: session.project.clone(),
        from: Some(visit.from.to_string()),
        status: Some(StatusCode::OK.as_u16()),
        error: None,
        request_id: visit.request_id.clone(),
    };
    audit::write(control, entry).await;
}

/// The cookie becomes what the rest of the API looks at.
pub(super) async fn lend(
    State(control): State<Control>,
    mut request: Request,
    next: axum::middleware::Next,
) -> Response {
    control.doorman.lend(request.headers_mut());
    next.run(request).await
}
