//! Why an endpoint could not be woken: client-safe, with the SQLSTATE and the page that explains it.

use std::time::Duration;

use dormouse_base::Kind;

use crate::postgres::admin::AdminError;

/// Why an endpoint could not be woken or reached. Texts name no file and no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WakeError {
    /// PostgreSQL did not come up. What its log says is for the operator (`endpoint events`).
    #[error("the endpoint could not be started: {reason}")]
    Start {
        /// A short reason.
        reason: String,
    },
    /// It failed a moment ago and is not tried again yet.
    #[error("the endpoint could not be started: {reason} (next try in {} s)", retry_in.as_secs().max(1))]
    BackedOff {
        /// The reason of the last failure.
        reason: String,
        /// The last failure was [`WakeError::Storage`].
        storage: bool,
        /// Time until the next try.
        retry_in: Duration,
    },
    /// What it needs of the object store could not be read or written.
    #[error("the endpoint could not be started: its storage cannot be reached")]
    Storage,
    /// The disk is full.
    #[error("the endpoint could not be started: no space left on the server's disk")]
    DiskFull,
    /// It is starting, but not done.
    #[error("the endpoint is still starting")]
    TooSlow,
    /// Too many are starting.
    #[error("too many endpoints are starting")]
    QueueFull,
    /// The session's compute has ended.
    #[error("the compute of this session has ended")]
    RunEnded,
    /// Asked something that only an Active endpoint can do.
    #[error("the endpoint is not active")]
    NotActive,
    /// Asked to pause something that works.
    #[error("the endpoint cannot be paused now: {0}")]
    Busy(String),
    /// PostgreSQL refused the administrative connection.
    #[error("the endpoint does not answer: {0}")]
    Admin(String),
    /// The server is stopping.
    #[error("the server is stopping")]
    ServerStopping,
    /// The project has used up what it may use.
    #[error("the project's {what} quota is used up")]
    Quota {
        /// What is limited, in words.
        what: String,
        /// What its owner can do.
        hint: String,
    },
}

impl WakeError {
    pub(super) fn admin(error: &AdminError) -> Self {
        Self::Admin(match error {
            AdminError::Refused { source, .. } => said(source),
            AdminError::Socket(_) => "its socket cannot be reached".to_owned(),
            AdminError::TooSlow(_) => "timed out".to_owned(),
        })
    }

    pub(super) fn query(error: &tokio_postgres::Error) -> Self {
        Self::Admin(said(error))
    }

    /// The SQLSTATE a client gets.
    #[must_use]
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Self::DiskFull => "53100",
            Self::Storage | Self::BackedOff { storage: true, .. } => "58030",
            Self::QueueFull => "53300",
            Self::Quota { .. } => "53400",
            Self::RunEnded => "57P01",
            Self::NotActive | Self::Busy(_) => "55000",
            Self::Start { .. }
            | Self::BackedOff { .. }
            | Self::TooSlow
            | Self::Admin(_)
            | Self::ServerStopping => "57P03",
        }
    }

    /// The page in `docs/errors/` that explains it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::DiskFull => "storage-full",
            Self::Storage | Self::BackedOff { storage: true, .. } => "storage-unavailable",
            Self::QueueFull => "too-many-connections",
            Self::Quota { .. } => "quota-exceeded",
            Self::RunEnded | Self::ServerStopping => "endpoint-is-stopping",
            Self::NotActive | Self::Busy(_) => "endpoint-state",
            Self::Start { .. } | Self::BackedOff { .. } | Self::TooSlow | Self::Admin(_) => {
                "compute-did-not-start"
            }
        }
    }

    /// What an API caller should do.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotActive | Self::Busy(_) | Self::RunEnded => Kind::Conflict,
            Self::QueueFull | Self::Quota { .. } => Kind::Limit,
            _ => Kind::Unavailable,
        }
    }
}

/// What PostgreSQL said, or what the connection met.
fn said(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), |db| format!("{} ({})", db.message(), db.code().code()))
}
