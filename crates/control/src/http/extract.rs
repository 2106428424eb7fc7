//! Reads what a request says, with errors in our own words.

use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use dormouse_api::PageQuery;
use dormouse_api::page::MAX_LIMIT;
use dormouse_base::Kind;
use serde::de::DeserializeOwned;

use super::error::Error;

/// A JSON body; an empty one counts as `{}`.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let bytes = axum::body::Bytes::from_request(request, state).await.map_err(|rejection| Error {
            status: rejection.status().as_u16(),
            code: "bad-body".into(),
            message: format!(
                "the request body cannot be read, or is larger than {} bytes",
                dormouse_api::body::MAX_REQUEST_BODY
            ),
            hint: None,
        })?;
        let value = dormouse_api::body::read(&bytes)
            .map_err(|error| Error::new(Kind::Invalid, "bad-body", error.to_string()))?;
        Ok(Self(value))
    }
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
