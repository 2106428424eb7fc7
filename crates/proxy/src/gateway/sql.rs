//! `POST /sql`: one statement, or a batch that is one transaction, as `@neondatabase/serverless` sends it.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, Response};
use dormouse_base::Secret;

use super::answer::problem::Problem;
use super::body;
use super::request::connection_string::ConnectionString;
use super::request::headers::{self, Output, Transaction};
use super::request::statement::{self, Work};
use super::run::Wish;
use super::{Gateway, Visitor, cors, run, upload};
use crate::session::shown::{self, Entered, Wanted};

/// Answers a request.
pub(super) async fn serve(gateway: &Gateway, request: Request<Body>, visitor: &Visitor) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let id = super::request_id();
    let mut response = match work(gateway, &parts.headers, body, visitor, &id).await {
        Ok(response) => response,
        Err(problem) => {
            tracing::debug!(
                request = id,
                code = problem.error.fields.code(),
                message = problem.error.fields.message(),
                "a request over HTTP has no result"
            );
            body::json(problem.status, problem.body())
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
    request: &str,
) -> Result<Response<Body>, Problem> {
    let output = Output::read(headers);
    let transaction = Transaction::read(headers).map_err(|bad| Problem::malformed(bad.to_string()))?;
    let asker = asker(headers, visitor)?;
    let (entered, (body, _held)) = tokio::try_join!(
        login(gateway, &asker, headers, visitor),
        upload::read(headers, body, &gateway.budget),
    )?;
    let work = statement::read(&body).map_err(|bad| Problem::malformed(bad.to_string()))?;
    let lease = gateway.clients.take(entered, &asker.wanted.startup, visitor)?;
    let wish = Wish { output, timing: None, gzip: headers::takes_gzip(headers), request };
    let mut response = run::run(lease, &work, transaction, wish, &gateway.budget).await?;
    if matches!(work, Work::Batch(_)) {
        echo(headers, response.headers_mut());
    }
    Ok(response)
}

/// Who asks, as the connection string says, which is read once for all equal ones of a connection.
fn asker(headers: &HeaderMap, visitor: &Visitor) -> Result<Arc<Asker>, Problem> {
    let text = headers
        .get(headers::CONNECTION_STRING)
        .ok_or_else(|| Problem::connection_string("the header Neon-Connection-String is missing"))?;
    let mut last = visitor.last.lock();
    if let Some(asker) = last.as_ref().filter(|asker| asker.text == *text) {
        return Ok(Arc::clone(asker));
    }
    let string = text
        .to_str()
        .map_err(|_| Problem::connection_string("the header Neon-Connection-String is not text"))?;
    let read = ConnectionString::read(string)
        .map_err(|bad| Problem::connection_string(format!("the connection string cannot be used: {bad}")))?;
    let wanted = Wanted::read(read.startup, &read.host)?;
    let mut text = text.clone();
    text.set_sensitive(true);
    let asker = Arc::new(Asker { text, wanted, password: read.password });
    *last = Some(Arc::clone(&asker));
    Ok(asker)
}

/// What the last connection string of a connection said.
#[derive(Debug)]
pub(super) struct Asker {
    text: HeaderValue,
    wanted: Wanted,
    password: Option<Secret<Vec<u8>>>,
}

/// Proves who asks, and tells which endpoint it is for.
async fn login(
    gateway: &Gateway,
    asker: &Asker,
    headers: &HeaderMap,
    visitor: &Visitor,
) -> Result<Entered, Problem> {
    let shown = match (headers::bearer(headers), &asker.password) {
        (Some(token), _) => token.as_bytes(),
        (None, Some(password)) => password.expose(),
        (None, None) => {
            return Err(Problem::connection_string("the connection string has neither password nor token"));
        }
    };
    let who = shown::enter(&gateway.clients.shared, &asker.wanted, shown, visitor.peer).await;
    who.map_err(Problem::from)
}

/// The answer to a batch repeats what kind of transaction it was.
fn echo(asked: &HeaderMap, told: &mut HeaderMap) {
    for name in [headers::ISOLATION_LEVEL, headers::READ_ONLY, headers::DEFERRABLE] {
        if let Some(value) = asked.get(&name) {
            told.insert(name, value.clone());
        }
    }
}
