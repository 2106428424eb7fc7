//! What an API caller sees of an error. Only texts made for callers get in here; causes are logged.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use dormouse_base::Kind;

use crate::computes::ComputeError;
use crate::db::DbError;
use crate::model::Refused;
use crate::operation::StepFailure;
use crate::vault::VaultError;

/// An error as a reply. [`super::envelope`] writes its body, because that needs the request's ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The HTTP status.
    pub status: u16,
    /// A kebab-case stem; its page is `docs/errors/<code>.md`.
    pub code: Cow<'static, str>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Error {
    /// An error of this kind.
    pub fn new(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        Self { status: kind.http_status(), code: Cow::Borrowed(code), message: message.into(), hint: None }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// `what` (such as `role`) named `name` does not exist.
    #[must_use]
    pub fn not_found(what: &'static str, code: &'static str, name: &str) -> Self {
        let name: String = name.chars().take(80).collect();
        Self::new(Kind::NotFound, code, format!("there is no {what} `{name}`"))
    }

    /// `what` named `name` exists already.
    #[must_use]
    pub fn taken(what: &'static str, code: &'static str, name: &str) -> Self {
        Self::new(
            Kind::Conflict,
            code,
            format!("a {what} named `{name}` exists already: choose another name"),
        )
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = axum::http::StatusCode::from_u16(self.status);
        let mut response = status.unwrap_or(axum::http::StatusCode::INTERNAL_SERVER_ERROR).into_response();
        if self.status == axum::http::StatusCode::UNAUTHORIZED.as_u16() {
            let scheme = axum::http::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(axum::http::header::WWW_AUTHENTICATE, scheme);
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<DbError> for Error {
    fn from(error: DbError) -> Self {
        if error.conflicts_in("operations") {
            return Self::new(
                Kind::Locked,
                "project-busy",
                "another operation of this project is under way: wait for it to finish, then try again",
            );
        }
        tracing::error!(error = &error as &dyn std::error::Error, "metadata");
        if error.is_disk_full() {
            return Self::new(
                Kind::Unavailable,
                "storage-full",
                "the server's disk is full: make room and try again",
            );
        }
        Self::new(
            Kind::Internal,
            "metadata-failed",
            "the metadata cannot be read or written: see the server's log",
        )
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::new(refused.kind, refused.code, refused.message)
    }
}

impl From<StepFailure> for Error {
    fn from(failure: StepFailure) -> Self {
        Self { status: failure.status, code: Cow::Owned(failure.code), message: failure.message, hint: None }
    }
}

impl From<VaultError> for Error {
    fn from(error: VaultError) -> Self {
        StepFailure::from(error).into()
    }
}

impl From<ComputeError> for Error {
    fn from(error: ComputeError) -> Self {
        StepFailure::from(error).into()
    }
}

/// No such route.
pub(super) async fn no_route(uri: axum::http::Uri) -> Error {
    Error::new(Kind::NotFound, "no-such-route", format!("there is nothing at `{}`", uri.path()))
}
