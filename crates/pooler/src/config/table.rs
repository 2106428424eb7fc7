//! The table of all settings: what SHOW CONFIG lists, and where a name leads.

use std::fmt;
use std::time::Duration;

use super::known::KNOWN;
use super::settings::{Settings, USED};
use super::value::{PoolMode, Value};

/// What a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A number that is not negative.
    Int,
    /// One that is not larger than this.
    UpTo(u32),
    /// A time in seconds, with a fraction; units (`ms`, `m`, `h`, `d`) are understood.
    Seconds,
    /// A size in bytes.
    Bytes,
    /// 0 or 1; `on` and `off` are understood.
    Bool,
    /// A pool mode.
    PoolMode,
    /// One of a few words, in any case; kept in lower case.
    Word,
    /// Any text.
    Text,
}

impl Kind {
    /// A value as SHOW CONFIG has it; none when it does not fit. Of text nothing is known here.
    pub(super) fn read(self, value: &str) -> Option<String> {
        fn of<T: Value>(value: &str) -> Option<String> {
            T::read(value).map(|value| value.show())
        }
        match self {
            Self::Int | Self::Bytes => of::<u32>(value),
            Self::UpTo(most) => u32::read(value).filter(|number| *number <= most).map(|number| number.show()),
            Self::Seconds => of::<Duration>(value),
            Self::Bool => of::<bool>(value),
            Self::PoolMode => of::<PoolMode>(value),
            Self::Word => Some(value.to_ascii_lowercase()),
            Self::Text => Some(value.to_owned()),
        }
    }
}

impl fmt::Display for Kind {
    /// As the end of the sentence "it takes …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int => "a whole number from 0 to 4294967295",
            Self::UpTo(most) => return write!(f, "a whole number from 0 to {most}"),
            Self::Seconds => "seconds (`5`, `0.5`) or a number with a unit (`500ms`, `5m`)",
            Self::Bytes => "a number of bytes",
            Self::Bool => "0 or 1",
            Self::PoolMode => "`session`, `transaction` or `statement`",
            Self::Word => "a word",
            Self::Text => "a text",
        })
    }
}

/// Where a setting can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// For the whole pooler only.
    Global,
    /// Also per endpoint, database or role.
    Pool,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Global => "the whole pooler",
            Self::Pool => "a pool",
        })
    }
}

/// One setting of PgBouncer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// PgBouncer's name.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// PgBouncer's default.
    pub pgbouncer: &'static str,
    /// Dormouse's default.
    pub default: &'static str,
    /// Whether SET and RELOAD can change it while the pooler runs.
    pub changeable: bool,
    /// Where it can be set.
    pub scope: Scope,
    /// Whether Dormouse does what it says. The others are accepted and kept.
    pub used: bool,
    /// One line: what it does; for the others, what Dormouse has instead.
    pub note: &'static str,
}

impl Setting {
    /// What holds when nobody sets it: as in PgBouncer, where its file is the ground, else as here.
    #[must_use]
    pub const fn unset(&self, stands_in: bool) -> &'static str {
        if stands_in { self.pgbouncer } else { self.default }
    }
}

/// All settings: used ones, then those that are only accepted.
pub fn table() -> impl Iterator<Item = &'static Setting> {
    USED.iter().chain(KNOWN)
}

/// The setting of this name, also by the names that it has in `[databases]` and `[users]`
/// (`pool_size`, `reserve_pool`) or had (`service_name`).
#[must_use]
pub fn find(name: &str) -> Option<&'static Setting> {
    let name = name.to_ascii_lowercase();
    let name = match name.as_str() {
        "pool_size" => "default_pool_size",
        "reserve_pool" => "reserve_pool_size",
        "service_name" => "job_name",
        other => other,
    };
    table().find(|setting| setting.name == name)
}

/// The rows of SHOW CONFIG: name, value, default, whether it can be changed; sorted by name as PgBouncer's. The defaults
/// are PgBouncer's where its file is the ground (`stands_in`), else ours.
#[must_use]
pub fn shown(settings: &Settings, stands_in: bool) -> Vec<(&'static str, String, &'static str, bool)> {
    let mut rows: Vec<_> = table()
        .map(|setting| {
            let default = setting.unset(stands_in);
            let value = settings.get(setting.name).unwrap_or_else(|| default.to_owned());
            (setting.name, value, default, setting.changeable)
        })
        .collect();
    rows.sort_by_key(|row| row.0);
    rows
}
