//! Reads what a request says, with errors in our own words.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use dormouse_api::PageQuery;
use dormouse_api::body::MAX_REQUEST_BODY;
use dormouse_api::openapi::unknown::{self, Unknown};
use dormouse_api::page::MAX_LIMIT;
use dormouse_base::Kind;
use serde::de::DeserializeOwned;

use super::auth::route_of;
use super::error::Error;

/// A JSON body; an empty one counts as `{}`.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let kind = request.headers().get(header::CONTENT_TYPE).cloned();
        let route = route_of(&request).and_then(Result::ok);
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| unreadable(&rejection))?;
        if !bytes.is_empty() && !kind.as_ref().is_none_or(is_json) {
            return Err(Error {
                status: StatusCode::UNSUPPORTED_MEDIA_TYPE.as_u16(),
                code: "wrong-content-type".into(),
                message: "the request body must be JSON".to_owned(),
                hint: Some("send `Content-Type: application/json`".to_owned()),
            });
        }
        let value = dormouse_api::body::read(&bytes)
            .map_err(|error| Error::new(Kind::Invalid, "bad-body", error.to_string()))?;
        // Only now: what cannot be read at all has a better error.
        if let (Some(route), Ok(json)) = (route, serde_json::from_slice(&bytes))
            && let Some(found) = unknown::find(route.id, &json)
        {
            return Err(nobody_knows(&found));
        }
        Ok(Self(value))
    }
}

fn is_json(kind: &HeaderValue) -> bool {
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

fn unreadable(rejection: &BytesRejection) -> Error {
    let too_large = rejection.status() == StatusCode::PAYLOAD_TOO_LARGE;
    Error {
        status: rejection.status().as_u16(),
        code: if too_large { "body-too-large" } else { "bad-body" }.into(),
        message: if too_large {
            format!("the request body is larger than {MAX_REQUEST_BODY} bytes")
        } else {
            "the request body ended before it was complete".to_owned()
        },
        hint: None,
    }
}

fn nobody_knows(found: &Unknown) -> Error {
    let message = format!("the request body has a field `{}`, which does not exist here", found.field);
    let error = Error::new(Kind::Invalid, "unknown-field", message);
    if found.known.is_empty() { error } else { error.hint(format!("there are: {}", found.known.join(", "))) }
}

/// The query string.
#[derive(Debug)]
pub struct Asked<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Error> {
        let Query(value) = Query::try_from_uri(&parts.uri)
            .map_err(|rejection| Error::new(Kind::Invalid, "bad-query", rejection.body_text()))?;
        Ok(Self(value))
    }
}

/// A page: what to list, and one more to see whether there is a next one.
#[derive(Debug)]
pub struct Window {
    /// Items on the page.
    pub limit: usize,
    /// The ID of the last item of the page before.
    pub after: Option<String>,
    /// Only items with this in their name.
    pub search: Option<String>,
}

impl Window {
    /// Reads a page request.
    ///
    /// # Errors
    /// When the limit is out of range.
    pub fn of(query: PageQuery) -> Result<Self, Error> {
        let limit = query.checked_limit().ok_or_else(|| {
            Error::new(Kind::Invalid, "bad-query", format!("`limit` must be a number from 1 to {MAX_LIMIT}"))
        })?;
        let not_empty = |text: Option<String>| text.filter(|t| !t.is_empty());
        Ok(Self {
            limit: usize::try_from(limit).unwrap_or(1),
            after: not_empty(query.cursor),
            search: not_empty(query.search),
        })
    }

    /// Cuts off the one more. Returns where the next page starts, if there is one.
    pub fn cut<T>(&self, items: &mut Vec<T>, id: impl Fn(&T) -> String) -> Option<String> {
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        items.last().filter(|_| more).map(id)
    }
}
