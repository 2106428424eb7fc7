//! `Idempotency-Key`: whoever does not know whether a change was made sends it again, with the same key, and gets the
//! reply of the first time. [`crate::replies`] remembers.
//!
//! A request with a key is carried out in a task of its own, so it is not given up half-way when its client goes: that
//! is when a client sends it again. Only success is kept. A request that was refused or failed has changed
//! nothing, so the next one with its key is carried out; "another operation is under way" must not last a day.

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dormouse_api::body::MAX_REQUEST_BODY;
use dormouse_api::idempotency::{HEADER, MAX_KEY, REPLAYED, is_key};
use dormouse_base::Kind;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use tokio::sync::{oneshot, watch};
use tracing::Instrument;

use super::error::Error;
use crate::control::Control;
use crate::identity::Caller;
use crate::replies::{Claim, Turn, Wanted};

/// The largest body of a reply that is taken together to be kept, bytes; replies to changes are far below.
const MAX_REPLY: usize = 16 << 20;

/// Carries out a request with a key only once.
pub(super) async fn once(State(control): State<Control>, request: Request, next: Next) -> Response {
    let Some(key) = request.headers().get(HEADER) else { return next.run(request).await };
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let key = key.as_bytes().to_vec();
    match one(&control, key, request, next).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn one(control: &Control, key: Vec<u8>, request: Request, next: Next) -> Result<Response, Error> {
    if !is_key(&key) {
        let message = format!("`Idempotency-Key` must be 1 to {MAX_KEY} visible ASCII characters");
        return Err(Error::new(Kind::Invalid, "bad-idempotency-key", message).hint(
            "a random UUID is a good key: a new one for each request, the same one when it is sent again",
        ));
    }
    let (parts, body) = request.into_parts();
    let body = read(body, MAX_REQUEST_BODY).await?;
    let caller = parts.extensions.get::<Caller>().cloned().unwrap_or_else(Caller::nobody);
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let wanted = Wanted {
        id: hash(&[format!("{:?}", caller.actor.kind).as_bytes(), caller.actor.id.as_bytes(), &key]),
        request: hash(&[parts.method.as_str().as_bytes(), path.as_bytes(), &body]),
    };
    let mut asked = (Request::from_parts(parts, Body::from(body)), next);
    loop {
        let (told, answer) = oneshot::channel();
        let (control_, (request, next)) = (control.clone(), asked);
        let attempt = async move {
            // The client may have gone; its reply is kept.
            let _gone = told.send(attempt(&control_, wanted, request, next).await);
        };
        control.scope.spawn("request with a key", attempt.instrument(tracing::Span::current()));
        let stopped = |_| Error::new(Kind::Unavailable, "stopping", "the server is being stopped: try again");
        match answer.await.map_err(stopped)? {
            Attempt::Over(response) => return response,
            Attempt::UnderWay(mut first, request, next) => {
                // It ends by being dropped.
                while first.changed().await.is_ok() {}
                asked = (request, next);
            }
        }
    }
}

/// What came of a request's attempt to be carried out.
enum Attempt {
    Over(Result<Response, Error>),
    /// The same request is being carried out: wait for that, and try again.
    UnderWay(watch::Receiver<()>, Request, Next),
}

async fn attempt(control: &Control, wanted: Wanted, request: Request, next: Next) -> Attempt {
    let claim = match control.replies.claim(wanted).await {
        Ok(claim) => claim,
        Err(error) => return Attempt::Over(Err(error.into())),
    };
    Attempt::Over(match claim {
        Claim::UnderWay(first) => return Attempt::UnderWay(first, request, next),
        Claim::Ours(turn) => Ok(end(turn, next.run(request).await).await),
        Claim::Kept { status, body } => replay(status, body),
        Claim::Other => Err(other()),
        Claim::CutOff => Err(cut_off()),
        Claim::TooMany => Err(too_many()),
    })
}

/// Keeps the reply, if it is one to be kept.
async fn end(turn: Turn, response: Response) -> Response {
    if !response.status().is_success() {
        return match turn.forget().await {
            Ok(()) => response,
            Err(error) => Error::from(error).into_response(),
        };
    }
    let (parts, body) = response.into_parts();
    let body = match read(body, MAX_REPLY).await {
        Ok(body) => body,
        Err(error) => return error.into_response(),
    };
    if let Err(error) = turn.keep(parts.status.as_u16(), &body).await {
        // The change is made; refusing it now would be a lie.
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "cannot keep the reply to a request with a key"
        );
    }
    Response::from_parts(parts, Body::from(body))
}

fn replay(status: u16, body: Option<Vec<u8>>) -> Result<Response, Error> {
    let body = body.ok_or_else(|| {
        let message = "this request was carried out before, and its reply was too large to be kept";
        Error::new(Kind::Conflict, "reply-not-kept", message)
            .hint("look at what it made; it was not made again")
    })?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(HeaderName::from_static(REPLAYED), HeaderValue::from_static("true"));
    Ok(response)
}

async fn read(body: Body, most: usize) -> Result<Bytes, Error> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        let broken =
            |_| Error::new(Kind::Invalid, "bad-body", "the request body ended before it was complete");
        let piece = piece.map_err(broken)?;
        if bytes.len() + piece.len() > most {
            return Err(Error {
                status: StatusCode::PAYLOAD_TOO_LARGE.as_u16(),
                code: "body-too-large".into(),
                message: format!("the request body is larger than {most} bytes"),
                hint: None,
            });
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

/// Of parts that cannot be mistaken for others.
fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn other() -> Error {
    Error {
        status: StatusCode::UNPROCESSABLE_ENTITY.as_u16(),
        code: "idempotency-key-reused".into(),
        message: "this `Idempotency-Key` was sent before with another request".to_owned(),
        hint: Some("send a new key with each new request".to_owned()),
    }
}

fn cut_off() -> Error {
    let message =
        "the first request with this `Idempotency-Key` was cut off, and what came of it is not known";
    Error::new(Kind::Conflict, "idempotency-key-cut-off", message)
        .hint("look whether the change was made; if not, send the request again with a new key")
}

fn too_many() -> Error {
    Error::new(
        Kind::Unavailable,
        "too-many-requests",
        "too many requests with a key are under way: try again",
    )
}
