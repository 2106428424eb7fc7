//! The error that a command ends with: what is wrong, what to do about it, and an exit class that
//! scripts can test.
//!
//! ```text
//!  0  done                         3  it does not exist
//!  1  failed                       4  the server cannot be reached
//!  2  the command line is wrong    5  not allowed
//! ```
//!
//! A new kind of failure takes one of these classes; scripts depend on the numbers.

use std::fmt;
use std::process::ExitCode;

use dormouse_api::client::Failure;

/// How a command ended, as the exit status tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// It was tried and did not work.
    Failed,
    /// The command line, or a value on it, is wrong.
    Usage,
    /// The thing does not exist.
    NotFound,
    /// No server answers.
    Unreachable,
    /// The key is wrong, or may not do this.
    Refused,
}

impl Class {
    /// The exit status.
    pub(crate) fn status(self) -> u8 {
        match self {
            Class::Failed => 1,
            Class::Usage => 2,
            Class::NotFound => 3,
            Class::Unreachable => 4,
            Class::Refused => 5,
        }
    }

    fn of_http(status: u16) -> Self {
        match status {
            400 => Class::Usage,
            401 | 403 => Class::Refused,
            404 => Class::NotFound,
            _ => Class::Failed,
        }
    }
}

impl From<Class> for ExitCode {
    fn from(class: Class) -> Self {
        ExitCode::from(class.status())
    }
}

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Error {
    class: Class,
    message: String,
    /// The server's own word for it.
    code: Option<String>,
    hints: Vec<String>,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of any class.
    pub(crate) fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), code: None, hints: Vec::new(), source: None }
    }

    /// It was tried and did not work.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Class::Failed, message)
    }

    /// The command line, or a value on it, is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Class::Usage, message)
    }

    /// The thing does not exist.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Class::NotFound, message)
    }

    /// No server answers.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(Class::Unreachable, message)
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds what caused it.
    pub(crate) fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// The server's code, if the server refused.
    pub(crate) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// What the exit status tells.
    pub(crate) fn class(&self) -> Class {
        self.class
    }

    /// The whole text for standard error: message, causes, hints.
    pub(crate) fn report(&self) -> impl fmt::Display + '_ {
        Report(self)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused { status, error } => {
                let class = Class::of_http(status);
                let mut made = Error::new(class, error.message);
                made.code = Some(error.code);
                if let Some(hint) = error.hint {
                    made = made.hint(hint);
                } else if status == 401 {
                    made = made.hint("Check DORMOUSE_API_KEY, or use `--data` with the server's data directory.");
                }
                if status >= 500 && !error.request_id.is_empty() {
                    made = made.hint(format!("The server's log has more about request {}.", error.request_id));
                }
                made
            }
            unreadable @ Failure::Unreadable { .. } => {
                Error::failed("the reply is not one that this version of Dormouse understands")
                    .hint("Check that the address belongs to a Dormouse server, and compare `dormouse --version` on both sides.")
                    .because(unreadable)
            }
        }
    }
}

struct Report<'a>(&'a Error);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.0.message)?;
        let mut cause = std::error::Error::source(self.0);
        let mut said = self.0.message.clone();
        while let Some(error) = cause {
            // Some libraries repeat their cause in their own text; say it once.
            let text = error.to_string();
            if !said.contains(&text) {
                write!(f, "\n  caused by: {text}")?;
                said.push_str(&text);
            }
            cause = error.source();
        }
        for hint in &self.0.hints {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dormouse_api::client;
    use insta::assert_snapshot;

    use super::*;

    fn refused(status: u16, body: &str) -> Error {
        client::server::status().decode(status, body.as_bytes()).unwrap_err().into()
    }

    #[test]
    fn each_http_status_has_its_class() {
        let class = |status| refused(status, r#"{"message":"no"}"#).class().status();
        assert_eq!([400, 401, 403, 404, 409, 423, 429, 500, 503].map(class), [2, 5, 5, 3, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn texts() {
        let body = r#"{"message":"there is no project `shop`","code":"project-not-found","hint":"List them with `dormouse project list`.","request_id":"r1"}"#;
        assert_snapshot!(refused(404, body).report(), @r"
        error: there is no project `shop`
        hint: List them with `dormouse project list`.
        ");
        assert_snapshot!(refused(401, r#"{"message":"the API key is not valid"}"#).report(), @r"
        error: the API key is not valid
        hint: Check DORMOUSE_API_KEY, or use `--data` with the server's data directory.
        ");
        assert_snapshot!(refused(503, r#"{"message":"PostgreSQL did not start","request_id":"r7"}"#).report(), @r"
        error: PostgreSQL did not start
        hint: The server's log has more about request r7.
        ");
        assert_snapshot!(refused(502, "<html>").report(), @r"
        error: the reply is not one that this version of Dormouse understands
          caused by: the reply (HTTP 502) is not one of Dormouse's
          caused by: expected value at line 1 column 1
        hint: Check that the address belongs to a Dormouse server, and compare `dormouse --version` on both sides.
        ");
    }
}
