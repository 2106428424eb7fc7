//! What can be wrong with a setting, wherever it is written.

use dormouse_pgwire::client_error::quoted;
use dormouse_pgwire::{ClientError, SqlState};

use super::table::{Kind, Scope};

/// A setting that cannot be set like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No setting has this name.
    #[error("unknown setting {}", quoted(.0))]
    UnknownName(String),
    /// The value does not fit the setting.
    #[error("{} is not a value for {name}: it takes {kind}", quoted(value))]
    BadValue {
        /// The setting.
        name: &'static str,
        /// What was given, shortened. Not for settings that can hold a secret: none can.
        value: String,
        /// What it takes.
        kind: Kind,
    },
    /// It can be set, but not here.
    #[error("{name} cannot be set per endpoint, database or role: it holds for {scope}")]
    WrongPlace {
        /// The setting.
        name: &'static str,
        /// Where it can be set.
        scope: Scope,
    },
    /// It can be set, but not while the server runs.
    #[error("{0} can only be changed by a restart")]
    NeedsRestart(&'static str),
    /// Too many endpoints, databases and roles have settings of their own.
    #[error("settings for parts of the pools may be kept for {0} places: take some back")]
    TooManyLayers(usize),
}

impl ConfigError {
    /// The error as an administrator's connection gets it.
    #[must_use]
    pub fn client_error(&self) -> ClientError {
        let error = ClientError::error(SqlState::INVALID_PARAMETER_VALUE, self.to_string());
        match self {
            Self::UnknownName(_) => error.with_hint("SHOW CONFIG lists the settings."),
            _ => error,
        }
    }
}
