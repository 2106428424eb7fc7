//! Under which settings a text is read.
//!
//! PostgreSQL turns a literal into a value when it analyses a statement: `'2024-06-01'` becomes the midnight of one
//! time zone, and stays that. So a text means one thing to a client in Berlin and another to one in Tokyo, and what a
//! backend has parsed for one of them is of no use to the other. A [`Reading`] stands for all settings that have a
//! say in this; two statements are equal when text, types and reading are.
//!
//! ```text
//!  reported by the backend   TimeZone, DateStyle, …  as they are, whoever set them   ┐
//!  wanted by the client      search_path, …          those that are not reported     ├─► one number
//!  since the last answer     SET LOCAL, in this transaction                          ┘
//! ```
//!
//! What only the planner or the execution looks at does not belong here: a plan is made anew when such a setting
//! changes, or does not depend on it. Nor does the role: PostgreSQL itself analyses again where it matters
//! (row-level security, `"$user"` in a search path).

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::settings::{Reported, Settings};

/// The settings, as PostgreSQL spells them.
const SETTINGS: [&str; 12] = [
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "array_nulls",
    "backslash_quote",
    "client_encoding",
    "lc_monetary",
    "search_path",
    "standard_conforming_strings",
    "timezone_abbreviations",
    "transform_null_equals",
    "xmloption",
];

/// Whether a setting has a say in how texts are read.
pub(crate) fn is_read(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.eq_ignore_ascii_case(name))
}

/// The settings with which a text is read, as one number: equal ones are equal, others hardly ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reading(u64);

impl Reading {
    /// On a backend that reported this, for a client that wants that.
    #[must_use]
    pub fn of(reported: &Reported, wanted: &Settings) -> Self {
        let (mut hasher, mut any) = (DefaultHasher::new(), false);
        for name in SETTINGS {
            let value = reported.get(name).or_else(|| wanted.get(name));
            any |= value.is_some();
            value.hash(&mut hasher);
        }
        if any { Self(hasher.finish()) } else { Self::default() }
    }

    /// As a number.
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// The same after a statement that changed some of them.
    #[must_use]
    pub fn after(self, change: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        (self.0, change).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// What a client's reading was told from, and what it is: as long as that is the same, so is this.
#[derive(Debug, Default)]
pub(crate) struct ReadAs {
    pub(crate) wanted: Settings,
    pub(crate) reported: Reported,
    pub(crate) reading: Reading,
}

impl ReadAs {
    /// Something changed.
    #[cold]
    pub(crate) fn renew(&mut self, wanted: &Settings, reported: &Reported) {
        self.reading = Reading::of(reported, wanted);
        (self.wanted, self.reported) = (wanted.clone(), reported.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reported_counts_and_else_what_is_wanted() {
        let wanted = |name: &str, value: &str| {
            let mut settings = Settings::new();
            settings.set(name, value).unwrap();
            settings
        };
        let mut reported = Reported::new();
        let of = |reported: &Reported, name, value| Reading::of(reported, &wanted(name, value));
        let path = of(&reported, "search_path", "a");
        assert_eq!(path, of(&reported, "Search_Path", "a"));
        assert_ne!(path, of(&reported, "search_path", "b"));
        assert_eq!(of(&reported, "work_mem", "1MB"), Reading::of(&reported, &Settings::new()));
        reported.note("TimeZone", "UTC");
        assert_eq!(of(&reported, "timezone", "utc"), of(&reported, "timezone", "Etc/UTC"));
        let utc = of(&reported, "search_path", "a");
        reported.note("TimeZone", "Asia/Tokyo");
        assert_ne!(utc, of(&reported, "search_path", "a"));
        assert_ne!(utc.after("x"), utc);
        assert_eq!(utc.after("x"), utc.after("x"));
    }
}
