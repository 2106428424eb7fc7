//! What the console says no with. The texts are PgBouncer's, because scripts look for them.

use dormouse_pgwire::{ClientError, SqlState};

use crate::config::ConfigError;

/// A command that is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// Not a command.
    #[error("invalid command '{0}', use SHOW HELP;")]
    Invalid(String),
    /// A name or value in it is empty or too long.
    #[error("bad arguments")]
    BadArguments,
    /// The role may only look.
    #[error("admin access needed")]
    AdminNeeded,
    /// DISABLE and ENABLE take one.
    #[error("a database is required")]
    DatabaseRequired,
    /// No pool and no route has this name.
    #[error("no such database: {0}")]
    NoSuchDatabase(String),
    /// The console has no pool that could be paused and so on.
    #[error("cannot {verb} admin db: {name}")]
    AdminDatabase {
        /// What was to be done.
        verb: &'static str,
        /// What it was called.
        name: String,
    },
    /// RESUME of a database that runs.
    #[error("database {0} is not paused")]
    NotPaused(String),
    /// RESUME of a pooler that runs.
    #[error("pooler is not paused/suspended")]
    PoolerNotPaused,
    /// PAUSE, KILL or SUSPEND of a pooler that is paused.
    #[error("already suspended/paused")]
    AlreadyPaused,
    /// SUSPEND while a database is paused.
    #[error("cannot suspend with paused databases")]
    PausedDatabases,
    /// RESUME too late.
    #[error("pooler is shutting down")]
    ShuttingDown,
    /// KILL_CLIENT without a number.
    #[error("invalid client pointer supplied")]
    InvalidClient,
    /// KILL_CLIENT of nobody.
    #[error("client not found")]
    ClientNotFound,
    /// RELOAD that found a mistake.
    #[error("RELOAD failed, see logs for additional details")]
    ReloadFailed,
    /// A command of PgBouncer's that would do harm here; why, and what to do instead.
    #[error("{0}")]
    NotHere(&'static str),
    /// SET whose value could not be written to the metadata.
    #[error("the setting could not be kept: {0}")]
    NotKept(String),
    /// SET that found one.
    #[error("SET failed")]
    SetFailed(#[source] ConfigError),
    /// SET of what the rest of the configuration does not go with; why.
    #[error("SET failed")]
    SetRefused(String),
}

impl AdminError {
    /// The error as the console's client gets it.
    #[must_use]
    pub fn client_error(&self) -> ClientError {
        let code = match self {
            Self::ReloadFailed => SqlState::CONFIG_FILE_ERROR,
            Self::NotHere(_) => SqlState::FEATURE_NOT_SUPPORTED,
            Self::NotKept(_) => SqlState::INTERNAL_ERROR,
            // PgBouncer has this code for whatever a command is refused for, and scripts look for it.
            _ => SqlState::PROTOCOL_VIOLATION,
        };
        let error = ClientError::error(code, self.to_string());
        match self {
            Self::SetFailed(source) => error.with_detail(format!("{source}.")),
            Self::SetRefused(why) => error.with_detail(format!("{}.", why.trim_end_matches('.'))),
            Self::AdminNeeded => error.with_hint("The roles in admin_users may do this."),
            _ => error,
        }
    }
}
