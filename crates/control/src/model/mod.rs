//! The rules of the domain as plain functions and plain data: no database, no clock, no files.
//!
//! * [`record`]: what the metadata keeps about each thing.
//! * [`name`]: which names are allowed, and why the others are not.
//! * [`settings`]: which endpoint and PostgreSQL settings are allowed.
//! * [`defaults`]: what a project gets when the request leaves things open.
//! * [`branch`]: which branches may be deleted, reset and expire.
//! * [`allow`]: which client addresses may connect.
//! * [`token`]: what a login token says, and how it is signed.
//! * [`meta`]: what storage keeps, so that all rows can be made again from it.
//! * [`sql`]: the SQL text that turns a wish into roles and databases.
//! * [`cron`]: when pg_cron next wants to run something.
//!
//! A new rule starts here, with a test; the HTTP layer only calls it.

pub mod record;
pub mod name;
pub mod locale;
pub mod settings;
pub mod defaults;
pub mod branch;
pub mod allow;
pub mod quota;
pub mod token;
pub mod meta;
pub mod sql;
pub mod cron;
pub mod warm;

use dormouse_base::Kind;

/// A request that breaks a rule. The text is for the caller: what is wrong, then what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// What to do about it.
    pub kind: Kind,
    /// A kebab-case stem for programs, such as `bad-name`.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

impl Refused {
    /// A request that is wrong in itself.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { kind: Kind::Invalid, code, message: message.into() }
    }

    /// A request that what exists does not allow.
    pub(crate) fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self { kind: Kind::Conflict, code, message: message.into() }
    }
}
