//! `POST /v1/queries`: one statement with an API key instead of a password, for scripts and for languages without a
//! driver. The answer is one document, or a stream of events while the statement runs.
//!
//! A key speaks for the operator of the server, who may look up every password anyway; which endpoints it opens is
//! decided behind [`crate::Wake`].

mod ask;
mod events;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use dormouse_base::clock::Mono;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::startup::Startup;

use super::answer::problem::Problem;
use super::answer::timing::Timing;
use super::body;
use super::request::headers::{self, Transaction};
use super::request::messages;
use super::request::statement::Work;
use super::run::Wish;
use super::{Gateway, Visitor, cors, run, upload};
use crate::session::shown::{self, Entered};
use ask::{Ask, What};

/// Answers a request.
pub(super) async fn serve(gateway: &Gateway, request: Request<Body>) -> Response<Body> {
    let start = Mono::now();
    let visitor = Visitor::of(&request);
    let (parts, body) = request.into_parts();
    let id = super::request_id();
    let mut response = match work(gateway, &parts.headers, body, &visitor, start, &id).await {
        Ok(response) => response,
        Err(problem) => {
            let mut response = body::json(problem.status, problem.body());
            if problem.status == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            response
        }
    };
    cors::allow(response.headers_mut());
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(headers::REQUEST_ID, id);
    }
    response
}

async fn work(
    gateway: &Gateway,
    headers: &HeaderMap,
    body: Body,
    visitor: &Visitor,
    start: Mono,
    request: &str,
) -> Result<Response<Body>, Problem> {
    let shared = &gateway.clients.shared;
    // Looked at before the body is: whoever has no key shall not make us read 64 MiB.
    let key = headers::bearer(headers).filter(|key| shared.wake.key_opens(key, None));
    let key = key.ok_or_else(no_key)?;
    let (body, held) = upload::read(headers, body, &gateway.budget).await?;
    let ask = Ask::read(&body)?;
    let (entered, startup) = enter(gateway, key, &ask, visitor).await?;
    let asleep = !shared.wake.is_awake(&entered.endpoint);
    let timing = Timing { start, asleep };
    let lease = gateway.clients.take(entered, &startup, visitor)?;
    let statement = match ask.what {
        What::Statement(statement) if !ask.stream && !wants_events(headers) => statement,
        what => {
            let script = script(&what, ask.max_rows, ask.output)?;
            return Ok(events::serve(gateway, lease, script, timing));
        }
    };
    let work = Work::Single(statement);
    let wish = Wish { output: ask.output, timing: Some(timing), gzip: headers::takes_gzip(headers), request };
    let response = run::run(lease, &work, Transaction::default(), wish, &gateway.budget).await?;
    drop(held);
    Ok(response)
}

/// What is sent when the answer comes as events.
fn script(what: &What<'_>, max_rows: u32, output: headers::Output) -> Result<events::Script, Problem> {
    let statements = what.statements();
    let texts = statements.iter().map(|statement| messages::of_limited(statement, max_rows));
    Ok(events::Script {
        statements: texts.collect::<Result<_, _>>().map_err(|bad| Problem::malformed(bad.to_string()))?,
        is_one: matches!(what, What::Statement(_)),
        clean: run::leave_nothing(statements),
        output,
    })
}

/// Where the key's holder goes, and as which role.
async fn enter(
    gateway: &Gateway,
    key: &str,
    ask: &Ask<'_>,
    visitor: &Visitor,
) -> Result<(Entered, Startup), Problem> {
    let shared = &gateway.clients.shared;
    let endpoint = shared.wake.locate(&ask.route)?;
    shared.wake.admit(&endpoint, visitor.peer.ip())?;
    if !shared.wake.key_opens(key, Some(&endpoint)) {
        return Err(no_key());
    }
    let role = match &ask.role {
        Some(role) => role.clone(),
        None => shared
            .wake
            .owner_of(&endpoint, &ask.database)?
            .ok_or_else(|| Problem::malformed("the database has no owner that is known: name a \"role\""))?,
    };
    Ok(shown::enter_by_key(shared, endpoint, &role, &ask.database).await?)
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|list| list.to_ascii_lowercase().contains("text/event-stream"))
}

fn no_key() -> Problem {
    Problem::request(
        StatusCode::UNAUTHORIZED,
        SqlState::INVALID_AUTHORIZATION,
        "query-key",
        "this request needs an API key that is known: send `Authorization: Bearer dm_…`",
    )
}
