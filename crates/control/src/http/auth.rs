//! Every request shows an API key.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dormouse_base::{Kind, clock};
use jiff::SignedDuration;

use super::error::Error;
use crate::api_key;
use crate::control::Control;
use crate::db::api_keys;
use crate::model::record::ApiKey;

/// `last_used_at` is kept to this precision, so that a busy key does not cost a write a request.
const TOUCH_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// Lets a request through that has a known key.
pub(super) async fn require_key(State(control): State<Control>, request: Request, next: Next) -> Response {
    match check(&control, &request) {
        Ok(row) => {
            note_use(&control, &row).await;
            next.run(request).await
        }
        Err(error) => {
            let mut response = error.into_response();
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        }
    }
}

fn check(control: &Control, request: &Request) -> Result<ApiKey, Error> {
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let key = header.and_then(|text| {
        let (scheme, key) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    let refused = |message: &str| {
        Error::new(Kind::Unauthenticated, "bad-api-key", message)
            .hint("send `Authorization: Bearer <key>`; `dormouse api-key create` makes a key")
    };
    let Some(key) = key else { return Err(refused("this request needs an API key")) };
    api_key::check(&control.foundation.db, key)?.ok_or_else(|| refused("this API key is not known"))
}

async fn note_use(control: &Control, row: &ApiKey) {
    let now = clock::now();
    if row.last_used_at.is_some_and(|last| now.duration_since(last) < TOUCH_AFTER) {
        return;
    }
    let id = row.id.clone();
    let touched =
        control.foundation.db.write("note the use of a key", move |db| api_keys::touch(db, &id, now)).await;
    if let Err(error) = touched {
        tracing::warn!(error = &error as &dyn std::error::Error, "cannot note the use of an API key");
    }
}
