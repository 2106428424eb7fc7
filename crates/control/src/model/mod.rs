//! The rules of the domain as plain functions and plain data: no database, no clock, no files.
//!
//! * [`record`]: what the metadata keeps about each thing.
//! * [`name`]: which names are allowed, and why the others are not.
//! * [`settings`]: which endpoint and PostgreSQL settings are allowed.
//! * [`defaults`]: what a project gets when the request leaves things open.
//! * [`sql`]: the SQL text that turns a wish into roles and databases.
//! * [`cron`]: when pg_cron next wants to run something.
//!
//! A new rule starts here, with a test; the HTTP layer only calls it.

pub mod record;
pub mod name;
pub mod settings;
pub mod defaults;
pub mod sql;
pub mod cron;

/// A request that breaks a rule. The text is for the caller: what is wrong, then what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// A kebab-case stem for programs, such as `bad-name`.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

impl Refused {
    /// A refusal with a code and a text.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}
