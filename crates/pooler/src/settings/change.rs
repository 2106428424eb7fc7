//! An effect on settings that can wait for its statement to succeed.
//!
//! The text of a statement is gone when its CommandComplete comes, so what matters of it is kept: nothing for
//! nearly all statements.

use super::{ROLE, SESSION_AUTHORIZATION};
use crate::sql::{Effect, Given, Value};

/// What a statement does to the settings of its session.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// A setting has a value. `role` is among them.
    Set {
        /// Which one.
        name: Box<str>,
        /// As `set_config` takes it.
        value: Box<str>,
    },
    /// A setting is as at the start of the session.
    Reset(Box<str>),
    /// All are, but for role and session authorization.
    ResetAll,
    /// All are, with those two.
    DiscardAll,
    /// `SET SESSION AUTHORIZATION`, which ends the role of `SET ROLE`; `None` is the one that logged in, with the role that
    /// the session began with.
    Authorization(Option<Box<str>>),
    /// Something became what the text does not say.
    Unknown {
        /// The setting, if at least that is known.
        name: Option<Box<str>>,
    },
    /// The transaction begins.
    Begin,
    /// It ends well, unless it had failed.
    Commit,
    /// It ends, and its changes with it.
    Rollback,
    /// A place to come back to.
    Savepoint(Box<str>),
    /// Back to it.
    RollbackTo(Box<str>),
    /// It is forgotten; what came after it stays.
    Release(Box<str>),
}

/// Settings that belong to the running transaction, and one that is no state but a random generator's seed.
const PASSING: [&str; 4] =
    ["transaction_isolation", "transaction_read_only", "transaction_deferrable", "seed"];

impl Change {
    /// What an effect changes in the settings; `None` when nothing that outlives its transaction.
    #[must_use]
    pub fn of(effect: &Effect<'_>) -> Option<Self> {
        Some(match effect {
            Effect::Set { local: true, .. }
            | Effect::SetRole { local: true, .. }
            | Effect::SetSessionAuthorization { local: true, .. }
            | Effect::SetConfig { local: Some(true), .. } => return None,
            Effect::Set { name, .. } | Effect::Reset(name) if passes(name) => return None,
            Effect::Set { name, value: Value::Plain(value), .. } => set(name, value),
            Effect::Set { name, value: Value::Default, .. } | Effect::Reset(name) => {
                Self::Reset((&**name).into())
            }
            Effect::Set { name, value: Value::Text(_), .. } => {
                Self::Unknown { name: (!name.is_empty()).then(|| (&**name).into()) }
            }
            Effect::SetRole { value, .. } => {
                value.as_ref().map_or_else(|| Self::Reset(ROLE.into()), |role| set(ROLE, role))
            }
            Effect::SetSessionAuthorization { value, .. } => {
                Self::Authorization(value.as_ref().map(|role| (&**role).into()))
            }
            Effect::SetConfig { name, value, local } => {
                return configured(name.as_deref(), value.as_ref().and_then(Given::text), *local);
            }
            Effect::ResetAll => Self::ResetAll,
            Effect::DiscardAll => Self::DiscardAll,
            Effect::Begin => Self::Begin,
            Effect::Commit => Self::Commit,
            Effect::Rollback => Self::Rollback,
            Effect::Savepoint(name) => Self::Savepoint((&**name).into()),
            Effect::RollbackTo(name) => Self::RollbackTo((&**name).into()),
            Effect::Release(name) => Self::Release((&**name).into()),
            // DO and CALL may do anything, and hardly ever do: who wants to be sure pins, or asks.
            _ => return None,
        })
    }
}

/// A call of `set_config` that is not known to be local.
fn configured(name: Option<&str>, value: Option<&str>, local: Option<bool>) -> Option<Change> {
    match (name, value, local) {
        (Some(name), ..) if passes(name) => None,
        (Some(name), Some(value), Some(false)) if name.eq_ignore_ascii_case(SESSION_AUTHORIZATION) => {
            Some(Change::Authorization(Some(value.into())))
        }
        (Some(name), Some(value), Some(false)) => Some(set(name, value)),
        (name, ..) => Some(Change::Unknown { name: name.map(Into::into) }),
    }
}

fn set(name: &str, value: &str) -> Change {
    Change::Set { name: name.into(), value: value.into() }
}

fn passes(name: &str) -> bool {
    PASSING.iter().any(|passing| name.eq_ignore_ascii_case(passing))
}

/// Values stay out of logs: a custom setting may be a token.
impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Set { name, .. } => write!(f, "Set({name})"),
            Self::Reset(name) => write!(f, "Reset({name})"),
            Self::Authorization(role) => write!(f, "Authorization({role:?})"),
            Self::Unknown { name } => write!(f, "Unknown({name:?})"),
            Self::Savepoint(name) => write!(f, "Savepoint({name})"),
            Self::RollbackTo(name) => write!(f, "RollbackTo({name})"),
            Self::Release(name) => write!(f, "Release({name})"),
            Self::ResetAll => f.write_str("ResetAll"),
            Self::DiscardAll => f.write_str("DiscardAll"),
            Self::Begin => f.write_str("Begin"),
            Self::Commit => f.write_str("Commit"),
            Self::Rollback => f.write_str("Rollback"),
        }
    }
}
