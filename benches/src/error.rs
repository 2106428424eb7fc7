//! What can break. A figure that misses its target is not an error.

use std::io;

/// Why a part of the benchmark could not be finished.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Ctrl-C or SIGTERM.
    #[error("interrupted")]
    Interrupted,
    /// The operating system refused something.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Something did not behave as it must; the text says what.
    #[error("{0}")]
    Unexpected(String),
    /// The API could not be reached.
    #[error("cannot call the API: {what}")]
    Http {
        /// Which call.
        what: String,
        /// The cause.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The API said no.
    #[error("the API refused {what}")]
    Refused {
        /// Which call.
        what: String,
        /// The cause.
        #[source]
        source: Box<dormouse_api::client::Failure>,
    },
    /// PostgreSQL or the proxy sent an error.
    #[error("{what}: {code} {message}")]
    Postgres {
        /// What was tried.
        what: &'static str,
        /// SQLSTATE.
        code: String,
        /// What it said.
        message: String,
    },
}

impl Error {
    /// For `map_err` on input and output.
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::System { what: what.into(), source }
    }

    /// Something did not behave as it must.
    pub(crate) fn unexpected(what: impl Into<String>) -> Error {
        Error::Unexpected(what.into())
    }
}
