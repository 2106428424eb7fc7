//! The only thing that may be sent to a client as an error.
//!
//! Internal errors have paths, host names and other tenants' names in them. They are logged; a client gets
//! a [`ClientError`], which somebody wrote on purpose for that reader: what is wrong in `message`, what was seen
//! in `detail`, what to do in `hint`. A type that does not convert to this one cannot reach a client.
//!
//! ```text
//!  FATAL:  28P01  password authentication failed for user "alice"        ◄ message: one line, no full stop
//!  DETAIL:  …                                                            ◄ facts, a sentence
//!  HINT:  …                                                              ◄ advice, a sentence
//! ```
//!
//! Where the next change goes: an error that several places send gets a constructor here, so that its text
//! and code are the same everywhere.

use std::fmt;

use crate::backend::{ErrorResponse, Severity};
use crate::encode::Encode as _;
use crate::limit::MAX_QUOTED_NAME;
use crate::sqlstate::SqlState;

/// An error that a client may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientError {
    /// How bad: [`Severity::Fatal`] ends the connection, [`Severity::Error`] only the command.
    pub severity: Severity,
    /// What drivers go by.
    pub code: SqlState,
    /// One line: what is wrong.
    pub message: String,
    /// More facts.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl ClientError {
    /// An error that ends the connection: the usual case before a session is there.
    #[must_use]
    pub fn fatal(code: SqlState, message: impl Into<String>) -> Self {
        Self { severity: Severity::Fatal, code, message: message.into(), detail: None, hint: None }
    }

    /// An error that ends only the current command.
    #[must_use]
    pub fn error(code: SqlState, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, ..Self::fatal(code, message) }
    }

    /// The same error with facts.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same error with advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Bytes that the protocol does not allow.
    #[must_use]
    pub fn protocol_violation(message: impl Into<String>) -> Self {
        Self::fatal(SqlState::PROTOCOL_VIOLATION, message)
    }

    /// A protocol version that nobody speaks any more, or not yet.
    #[must_use]
    pub fn unsupported_protocol(major: u16, minor: u16) -> Self {
        let newest = crate::startup::NEWEST_MINOR;
        Self::fatal(
            SqlState::FEATURE_NOT_SUPPORTED,
            format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{newest}"),
        )
    }

    /// A startup packet without a role.
    #[must_use]
    pub fn no_user() -> Self {
        Self::fatal(SqlState::INVALID_AUTHORIZATION, "no PostgreSQL user name specified in startup packet")
    }

    /// A wrong password or an unknown role: deliberately the same text for both.
    #[must_use]
    pub fn invalid_password(user: &str) -> Self {
        Self::fatal(
            SqlState::INVALID_PASSWORD,
            format!("password authentication failed for user {}", quoted(user)),
        )
    }

    /// A connection without TLS where TLS is required.
    #[must_use]
    pub fn tls_required() -> Self {
        Self::fatal(SqlState::INVALID_AUTHORIZATION, "this server accepts only encrypted connections")
            .with_hint("Add sslmode=require to the connection string.")
    }

    /// A client address that the project does not allow.
    #[must_use]
    pub fn address_not_allowed(address: &str) -> Self {
        Self::fatal(SqlState::INVALID_AUTHORIZATION, format!("connections from {address} are not allowed"))
            .with_hint("Add the address to the project's list of allowed addresses.")
    }

    /// Too many failed attempts from one place.
    #[must_use]
    pub fn too_many_failures() -> Self {
        Self::fatal(SqlState::INVALID_AUTHORIZATION, "too many failed authentication attempts")
            .with_hint("Wait a minute, check the password, and try again.")
    }

    /// No such database, branch or endpoint.
    #[must_use]
    pub fn no_such_database(name: &str) -> Self {
        Self::fatal(SqlState::INVALID_CATALOG_NAME, format!("database {} does not exist", quoted(name)))
    }

    /// A connection limit is reached.
    #[must_use]
    pub fn too_many_connections() -> Self {
        Self::fatal(SqlState::TOO_MANY_CONNECTIONS, "sorry, too many clients already")
            .with_hint("Close connections that are not needed, or use the pooled connection string.")
    }

    /// A quota of the project is used up.
    #[must_use]
    pub fn quota_exceeded(what: &str) -> Self {
        Self::fatal(SqlState::CONFIGURATION_LIMIT_EXCEEDED, format!("the project's {what} quota is used up"))
    }

    /// Starting, stopping or otherwise not there at the moment; trying again will help.
    #[must_use]
    pub fn cannot_connect_now(message: impl Into<String>) -> Self {
        Self::fatal(SqlState::CANNOT_CONNECT_NOW, message).with_hint("Try again in a few seconds.")
    }

    /// The server is going away.
    #[must_use]
    pub fn shutting_down() -> Self {
        Self::fatal(SqlState::ADMIN_SHUTDOWN, "terminating connection because the server is shutting down")
    }

    /// The connection to the database broke in the middle.
    #[must_use]
    pub fn connection_lost() -> Self {
        Self::fatal(SqlState::CONNECTION_FAILURE, "the connection to the database was lost")
            .with_hint("Reconnect. A transaction that was open has been rolled back; one that was committing may have succeeded.")
    }

    /// No space left where the database lives.
    #[must_use]
    pub fn disk_full() -> Self {
        Self::fatal(SqlState::DISK_FULL, "no space left on the server's disk")
    }

    /// Storage could not be read or written.
    #[must_use]
    pub fn storage() -> Self {
        Self::fatal(SqlState::IO_ERROR, "the database's storage cannot be reached")
            .with_hint("Try again; if it stays, ask the administrator to look at the server's log.")
    }

    /// Something took too long.
    #[must_use]
    pub fn timed_out(message: impl Into<String>) -> Self {
        Self::fatal(SqlState::QUERY_CANCELED, message)
    }

    /// A mistake of ours. The number is in the log beside the real story, so the two can be put together.
    #[must_use]
    pub fn internal(reference: &str) -> Self {
        Self::fatal(SqlState::INTERNAL_ERROR, "internal error")
            .with_detail(format!("The server's log has it under {reference}."))
    }

    /// The error as an ErrorResponse message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.to_response().encode()
    }

    /// The error as a message that can still be changed.
    #[must_use]
    pub fn to_response(&self) -> ErrorResponse {
        let mut response = ErrorResponse::new(self.severity, self.code, &self.message);
        if let Some(detail) = &self.detail {
            response = response.detail(detail);
        }
        if let Some(hint) = &self.hint {
            response = response.hint(hint);
        }
        response
    }
}

impl fmt::Display for ClientError {
    /// `FATAL 28P01: message`, for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.severity.as_str(), self.code, self.message)
    }
}

impl std::error::Error for ClientError {}

/// A name from a client, in quotes, not longer than it needs to be to be recognised, on one line.
#[must_use]
pub fn quoted(name: &str) -> String {
    let clean = |c: char| if c.is_control() { '?' } else { c };
    let mut out: String = name.chars().take(MAX_QUOTED_NAME).map(clean).collect();
    if out.len() < name.len() && name.chars().nth(MAX_QUOTED_NAME).is_some() {
        out.push('…');
    }
    format!("\"{out}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_what_it_says() {
        let error = ClientError::invalid_password("alice").with_detail("d").with_hint("h");
        let bytes = error.encode();
        assert_eq!(
            bytes,
            b"E\x00\x00\x00\x51SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"alice\"\0Dd\0Hh\0\0"
        );
        assert_eq!(ErrorResponse::decode(&bytes[5..]).unwrap(), error.to_response());
        assert_eq!(error.to_string(), "FATAL 28P01: password authentication failed for user \"alice\"");
    }

    #[test]
    fn unknown_roles_and_wrong_passwords_read_alike() {
        let (a, b) = (ClientError::invalid_password("x"), ClientError::invalid_password("x"));
        assert_eq!(a, b);
        assert!(a.detail.is_none() && a.hint.is_none());
    }

    #[test]
    fn quoted_names_stay_short_and_on_one_line() {
        assert_eq!(quoted("a\nb\u{1b}[31m"), "\"a?b?[31m\"");
        assert_eq!(quoted(&"ä".repeat(200)).chars().count(), 2 + MAX_QUOTED_NAME + 1);
        assert_eq!(quoted(&"ä".repeat(MAX_QUOTED_NAME)).chars().count(), 2 + MAX_QUOTED_NAME);
    }
}
