//! What a statement may do to its session, as a small set.

use super::watch;
use crate::settings::{DATE_STYLE, is_whole_style};
use crate::sql::{Effect, Given, Value, classify};
use crate::statement::{is_others, is_read};

/// A set of things that outlive a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stateful(u32);

impl Stateful {
    /// A setting of the session changes in a way that its text tells.
    pub const SETTING: Self = Self(1);
    /// Settings may change in a way that only the backend knows.
    pub const UNKNOWN_SETTING: Self = Self(1 << 1);
    /// A transaction begins or ends, or goes back to a savepoint.
    pub const TRANSACTION: Self = Self(1 << 2);
    /// A statement is prepared by SQL.
    pub const PREPARE: Self = Self(1 << 3);
    /// Prepared statements are dropped by SQL.
    pub const DEALLOCATE: Self = Self(1 << 4);
    /// `LISTEN`.
    pub const LISTEN: Self = Self(1 << 5);
    /// A temporary table or the like.
    pub const TEMP: Self = Self(1 << 6);
    /// A cursor that outlives its transaction.
    pub const HOLD: Self = Self(1 << 7);
    /// An advisory lock of the session.
    pub const ADVISORY: Self = Self(1 << 8);
    /// Something that a client was pinned for may be over.
    pub const RELEASE: Self = Self(1 << 9);
    /// `DISCARD ALL`.
    pub const DISCARD_ALL: Self = Self(1 << 10);
    /// The backend is changed for good (`LOAD`): it is not used for others.
    pub const SPOILS: Self = Self(1 << 11);

    /// A setting whose name the text does not tell. Those that PostgreSQL does not list are only found by name.
    pub const HIDDEN_SETTING: Self = Self(1 << 12);
    /// All prepared statements are dropped by SQL.
    pub const DEALLOCATE_ALL: Self = Self(1 << 13);
    /// Settings go back to what the session began with.
    pub const RESET: Self = Self(1 << 14);
    /// A statement that SQL prepared is executed: what that one may do counts.
    pub const EXECUTES: Self = Self(1 << 15);
    /// SQL prepares a statement that may leave something behind when it is executed.
    pub const LATENT: Self = Self(1 << 16);
    /// It may commit what it has done before it fails.
    pub const COMMITS: Self = Self(1 << 17);

    /// Tables, types or the like may change, and with them what other statements return.
    pub const DEFINES: Self = Self(1 << 18);

    /// A cursor is read, which may be a portal of the protocol's: then its statement is executed.
    pub const FETCHES: Self = Self(1 << 20);

    /// Texts are read in another way from now on, if only up to the end of the transaction.
    pub const READS: Self = Self(1 << 30);

    /// What keeps a client on its backend, if it is really there.
    pub const PINS: Self =
        Self(Self::PREPARE.0 | Self::LISTEN.0 | Self::TEMP.0 | Self::HOLD.0 | Self::ADVISORY.0);

    /// What a client has from then on, if it is really there: a backend that ends before it was asked takes that along.
    pub const LASTING: Self = Self(Self::PINS.0 | Self::SETTING.0 | Self::UNKNOWN_SETTING.0);

    /// All that code may do of which the text is not known: there is nothing that needs not be asked.
    pub const ANYTHING: Self =
        Self(Self::PINS.0 | Self::UNKNOWN_SETTING.0 | Self::HIDDEN_SETTING.0 | Self::LATENT.0);

    /// What is not undone when its transaction fails.
    const SURVIVES_ERRORS: Self =
        Self(Self::PREPARE.0 | Self::ADVISORY.0 | Self::SPOILS.0 | Self::EXECUTES.0 | Self::LATENT.0);

    /// Nothing.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it holds more than the beginning or end of a transaction and definitions, which replies tell, and reading
    /// from a cursor, which was noted when that was made.
    #[must_use]
    pub const fn outlives(self) -> bool {
        self.0 & !(Self::TRANSACTION.0 | Self::DEFINES.0 | Self::FETCHES.0) != 0
    }

    /// Whether the two have something in common.
    #[must_use]
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this one only.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What may be left of it when it fails.
    #[must_use]
    pub const fn surviving(self) -> Self {
        let committed = if self.any(Self::COMMITS) { Self::ANYTHING.0 } else { 0 };
        self.and(Self(Self::SURVIVES_ERRORS.0 | committed))
    }

    /// What executing a text may do.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        let mut found = Self::default();
        let shape = classify(text, &mut |effect| {
            found = found.with(of_effect(&effect)).with(reads(&effect)).with(of_value(&effect));
        });
        if shape.defines { found.with(Self::DEFINES) } else { found }
    }
}

fn of_effect(effect: &Effect<'_>) -> Stateful {
    match effect {
        Effect::Set { local: true, .. }
        | Effect::SetRole { local: true, .. }
        | Effect::SetSessionAuthorization { local: true, .. }
        | Effect::SetConfig { local: Some(true), .. } => Stateful::default(),
        Effect::Set { name, value: Value::Plain(value), .. }
        | Effect::SetConfig { name: Some(name), value: Some(Given::Text(value)), local: Some(false) }
            if name.eq_ignore_ascii_case(DATE_STYLE) && !is_whole_style(value) =>
        {
            // The other half stays as it is.
            Stateful::UNKNOWN_SETTING
        }
        // A custom setting is an empty text from now on, and not unknown again.
        Effect::Reset(name) | Effect::Set { name, value: Value::Default, .. } if name.contains('.') => {
            Stateful::UNKNOWN_SETTING.with(Stateful::RESET)
        }
        Effect::Set { value: Value::Default, .. } | Effect::Reset(_) | Effect::ResetAll => {
            Stateful::SETTING.with(Stateful::RESET)
        }
        // It has a name that nobody could read.
        Effect::Set { name, .. } if name.is_empty() => {
            Stateful::HIDDEN_SETTING.with(Stateful::UNKNOWN_SETTING)
        }
        Effect::Set { value: Value::Plain(_), .. } => Stateful::SETTING,
        Effect::Set { .. } => Stateful::UNKNOWN_SETTING,
        // That of the session comes with the role that it began with.
        Effect::SetRole { value: None, .. } | Effect::SetSessionAuthorization { value: None, .. } => {
            Stateful::SETTING.with(Stateful::RESET)
        }
        Effect::SetRole { .. } | Effect::SetSessionAuthorization { .. } => Stateful::SETTING,
        Effect::SetConfig { name: Some(_), value: Some(Given::Text(_)), local: Some(false) } => {
            Stateful::SETTING
        }
        Effect::SetConfig { name: Some(_), .. } => Stateful::UNKNOWN_SETTING,
        Effect::SetConfig { name: None, .. } => Stateful::HIDDEN_SETTING.with(Stateful::UNKNOWN_SETTING),
        Effect::Prepare(_) => Stateful::PREPARE,
        Effect::Latent => Stateful::LATENT,
        // What that is, only the client that prepared it by the protocol knows.
        Effect::Execute(name) if is_others(name.as_bytes()) => Stateful::ANYTHING,
        Effect::Execute(_) => Stateful::EXECUTES,
        Effect::Deallocate(_) => Stateful::DEALLOCATE.with(Stateful::RELEASE),
        Effect::DeallocateAll => Stateful::DEALLOCATE_ALL.with(Stateful::DEALLOCATE).with(Stateful::RELEASE),
        Effect::Listen(_) => Stateful::LISTEN,
        Effect::TempObject => Stateful::TEMP,
        Effect::HoldCursor => Stateful::HOLD,
        Effect::AdvisoryLock => Stateful::ADVISORY,
        Effect::Unlisten(_)
        | Effect::UnlistenAll
        | Effect::CloseCursor(_)
        | Effect::AdvisoryUnlock
        | Effect::AdvisoryUnlockAll
        | Effect::Discard(_) => Stateful::RELEASE,
        Effect::DiscardAll => Stateful::DISCARD_ALL.with(Stateful::RELEASE).with(Stateful::RESET),
        Effect::Begin
        | Effect::Commit
        | Effect::Rollback
        | Effect::Savepoint(_)
        | Effect::RollbackTo(_)
        | Effect::Release(_) => Stateful::TRANSACTION,
        Effect::Load => Stateful::SPOILS,
        Effect::Fetch => Stateful::FETCHES,
        Effect::Do | Effect::Call => Stateful::ANYTHING.with(Stateful::COMMITS),
        Effect::NextStatement | Effect::Notify | Effect::Copy => Stateful::default(),
    }
}

/// What an effect does to the reading of texts.
fn reads(effect: &Effect<'_>) -> Stateful {
    let changes = match effect {
        Effect::Set { name, .. } | Effect::Reset(name) | Effect::SetConfig { name: Some(name), .. } => {
            // A SET that could not be read has no name.
            name.is_empty() || is_read(name)
        }
        Effect::SetConfig { name: None, .. } | Effect::ResetAll | Effect::DiscardAll => true,
        Effect::SetRole { .. } | Effect::SetSessionAuthorization { .. } => true,
        Effect::Do | Effect::Call | Effect::Execute(_) => true,
        _ => false,
    };
    if changes { Stateful::READS } else { Stateful::default() }
}

/// What the value of a setting does to the statements that follow, up to the end of the transaction or longer.
fn of_value(effect: &Effect<'_>) -> Stateful {
    let (name, value) = match effect {
        Effect::Set { name, value: Value::Plain(value), .. } => (name, Some(&**value)),
        Effect::Set { name, value: Value::Text(_), .. } => (name, None),
        Effect::SetConfig { name: Some(name), value, .. } => (name, value.as_ref().and_then(Given::text)),
        _ => return Stateful::default(),
    };
    if name.eq_ignore_ascii_case(watch::STRINGS) && !value.is_some_and(watch::is_on) {
        return Stateful::ANYTHING;
    }
    if name.eq_ignore_ascii_case(watch::ENCODING) && value.is_none_or(watch::is_mixed) {
        return Stateful::ANYTHING;
    }
    if name.eq_ignore_ascii_case(watch::PATH) && value.is_some_and(watch::creates_temporary) {
        return Stateful::TEMP;
    }
    Stateful::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_text_does_not_tell_is_asked() {
        for (text, asked) in [
            ("set datestyle = ymd", true),
            ("set DateStyle to 'ISO, DMY'", false),
            ("set datestyle = 'iso, iso'", true),
            ("set datestyle = german, ymd", false),
            ("set datestyle = ymd, sql", false),
            ("execute dormouse_0", true),
            ("execute mine", false),
            ("set names 'utf8'", false),
            ("set local client_encoding = 'sjis'", true),
            ("select set_config('client_encoding', 'GB' || 'K', true)", true),
            ("select set_config('datestyle', 'iso', false)", true),
            ("set datestyle = default", false),
            ("reset my.name", true),
            ("set my.name to default", true),
            ("set my.name = 'x'", false),
            ("reset work_mem", false),
            ("set standard_conforming_strings = on", false),
            ("set local standard_conforming_strings = off", true),
        ] {
            assert_eq!(Stateful::of(text.as_bytes()).any(Stateful::UNKNOWN_SETTING), asked, "{text}");
        }
    }

    #[test]
    fn what_may_change_tables_is_known_by_what_certainly_does_not() {
        let defines = |text: &str| Stateful::of(text.as_bytes()).any(Stateful::DEFINES);
        for text in [
            "alter table t add b int",
            " /* x */ CREATE view v as select 1",
            "select 1; drop table t",
            "do $$ begin end $$",
            "call f()",
            "explain analyze create table t as select 1",
            "commit prepared 'x'",
            "import foreign schema s from server x into y",
        ] {
            assert!(defines(text), "{text}");
        }
        for text in
            ["", "insert into t values ('; drop table t')", "COMMIT", "begin; update t set a = 1", "show all"]
        {
            assert!(!defines(text), "{text}");
        }
    }
}
