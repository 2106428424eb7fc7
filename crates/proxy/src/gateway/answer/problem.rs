//! What a client is told when it does not get a result.
//!
//! ```text
//!  who refuses                     status       body
//!  PostgreSQL, login, wake, pool   400          every field of the error, with its SQLSTATE
//!  this module: the request itself 400 … 503    the same fields, with a help page in `hint`
//! ```
//!
//! The official driver reads SQLSTATEs of answers with status 400 only, so whatever has one that a program could act
//! on is a 400: also an endpoint that does not wake. All keys are always there, as the original has them.

use axum::http::StatusCode;
use dormouse_pgwire::ClientError;
use dormouse_pgwire::backend::{ErrorResponse, Fields, Severity};
use dormouse_pgwire::sqlstate::SqlState;

use super::json;
use crate::session::help;

/// Keys of the body and the fields of PostgreSQL's errors that they show.
const KEYS: [(&str, u8); 17] = [
    ("message", b'M'),
    ("code", b'C'),
    ("severity", b'V'),
    ("detail", b'D'),
    ("hint", b'H'),
    ("position", b'P'),
    ("internalPosition", b'p'),
    ("internalQuery", b'q'),
    ("where", b'W'),
    ("schema", b's'),
    ("table", b't'),
    ("column", b'c'),
    ("dataType", b'd'),
    ("constraint", b'n'),
    ("file", b'F'),
    ("line", b'L'),
    ("routine", b'R'),
];

/// An answer that is no result.
#[derive(Debug)]
pub(crate) struct Problem {
    /// The status.
    pub(crate) status: StatusCode,
    /// What is told.
    pub(crate) error: Box<ErrorResponse>,
}

impl Problem {
    /// The request is not one, or is too much.
    pub(crate) fn request(status: StatusCode, code: SqlState, page: &str, text: impl Into<String>) -> Self {
        let error = ClientError::error(code, text).with_hint(help(page));
        Self { status, error: Box::new(error.to_response()) }
    }

    /// The request is malformed.
    pub(crate) fn malformed(text: impl Into<String>) -> Self {
        Self::request(StatusCode::BAD_REQUEST, SqlState::PROTOCOL_VIOLATION, "http-request", text)
    }

    /// The connection string does not do.
    pub(crate) fn connection_string(text: impl Into<String>) -> Self {
        Self::request(StatusCode::BAD_REQUEST, SqlState::UNABLE_TO_CONNECT, "connection-string", text)
    }

    /// It is more than fits; `code` says into what.
    pub(crate) fn too_large(status: StatusCode, text: impl Into<String>) -> Self {
        Self::request(status, SqlState::PROGRAM_LIMIT_EXCEEDED, "http-too-large", text)
    }

    /// The connection to the pool broke in the middle.
    pub(crate) fn lost() -> Self {
        Self::from(ClientError::connection_lost())
    }

    /// The body.
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        write(&mut out, &self.error.fields);
        out
    }
}

/// Writes an error or a notice with all its fields.
pub(crate) fn write(out: &mut Vec<u8>, fields: &Fields) {
    for (n, (key, kind)) in KEYS.into_iter().enumerate() {
        out.extend_from_slice(if n == 0 { b"{\"" } else { b",\"" });
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\":");
        match kind {
            b'V' => json::string(out, fields.severity().as_bytes()),
            kind => json::string_or_null(out, fields.get(kind)),
        }
    }
    out.push(b'}');
}

impl From<ErrorResponse> for Problem {
    fn from(error: ErrorResponse) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error: Box::new(error) }
    }
}

impl From<ClientError> for Problem {
    /// What ends a connection only ends a request here.
    fn from(mut error: ClientError) -> Self {
        error.severity = Severity::Error;
        Self::from(error.to_response())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_are_there() {
        let error = ErrorResponse::new(Severity::Error, SqlState::INSUFFICIENT_PRIVILEGE, "no")
            .field(b'P', "7")
            .field(b'n', "t_pkey")
            .field(b'L', "12");
        let body: serde_json::Value = serde_json::from_slice(&Problem::from(error).body()).unwrap();
        let body = body.as_object().unwrap();
        assert_eq!(body.len(), KEYS.len());
        assert_eq!((&body["code"], &body["position"]), (&"42501".into(), &"7".into()));
        assert_eq!((&body["constraint"], &body["line"]), (&"t_pkey".into(), &"12".into()));
        assert_eq!((&body["severity"], &body["hint"]), (&"ERROR".into(), &serde_json::Value::Null));
    }
}
