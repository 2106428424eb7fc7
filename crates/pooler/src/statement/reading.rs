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
//! The planner has a say, too. What it can compute it computes once, with the output format of that moment, and which
//! functions may be called then is up to the role. What the role may look up in a schema is asked when a text is
//! analysed, and never again. And a plan that is kept stays as the planner's settings made it. In a session of one's own
//! all of this is as when *its* client prepared the statement, and for an unnamed one as it is now.
//!
//! `jit` does not belong here: asyncpg sets it back and forth, and would have each of its statements twice.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::settings::{NO_ROLE, ROLE, Reported, SESSION_AUTHORIZATION, Settings};

/// The settings, as PostgreSQL spells them, and the roles.
const SETTINGS: [&str; 17] = [
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "array_nulls",
    "backslash_quote",
    "bytea_output",
    "client_encoding",
    "extra_float_digits",
    "lc_monetary",
    "quote_all_identifiers",
    ROLE,
    "search_path",
    SESSION_AUTHORIZATION,
    "standard_conforming_strings",
    "timezone_abbreviations",
    "transform_null_equals",
    "xmloption",
];

/// Settings of the planner that are not told by their names ([`is_planned`]).
const PLANNER: [&str; 13] = [
    "constraint_exclusion",
    "cursor_tuple_fraction",
    "effective_cache_size",
    "from_collapse_limit",
    "hash_mem_multiplier",
    "join_collapse_limit",
    "max_parallel_workers_per_gather",
    "min_parallel_index_scan_size",
    "min_parallel_table_scan_size",
    "parallel_leader_participation",
    "plan_cache_mode",
    "recursive_worktable_factor",
    "work_mem",
];

/// Whether a setting has a say in how texts are read or planned.
pub(crate) fn is_read(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.eq_ignore_ascii_case(name)) || is_planned(name)
}

/// Whether it is one of the planner's: `enable_…`, `geqo…`, `…_cost`, and those of the list.
fn is_planned(name: &str) -> bool {
    let (bytes, is) = (name.as_bytes(), |part: &[u8], like: &str| part.eq_ignore_ascii_case(like.as_bytes()));
    let begins = |with: &str| bytes.get(..with.len()).is_some_and(|part| is(part, with));
    let ends = |with: &str| bytes.len().checked_sub(with.len()).is_some_and(|at| is(&bytes[at..], with));
    begins("enable_")
        || begins("geqo")
        || (ends("_cost") && !begins("jit"))
        || PLANNER.iter().any(|setting| setting.eq_ignore_ascii_case(name))
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
            // To play no role is what it is without one.
            let value = reported.get(name).or_else(|| wanted.get(name)).filter(|value| *value != NO_ROLE);
            any |= value.is_some();
            value.hash(&mut hasher);
        }
        for (name, value) in wanted.iter().filter(|(name, _)| is_planned(name)) {
            any = true;
            (name.to_ascii_lowercase(), value).hash(&mut hasher);
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
        let usual = Reading::of(&reported, &Settings::new());
        for (name, value) in
            [("statement_timeout", "1s"), ("jit", "off"), ("jit_above_cost", "1"), ("role", "none")]
        {
            assert_eq!(of(&reported, name, value), usual, "{name}");
        }
        for (name, value) in [
            ("role", "low"),
            ("bytea_output", "escape"),
            ("Enable_SeqScan", "off"),
            ("random_page_cost", "1.1"),
            ("geqo", "off"),
            ("work_mem", "1MB"),
        ] {
            assert!(is_read(name));
            assert_ne!(of(&reported, name, value), usual, "{name}");
        }
        reported.note("TimeZone", "UTC");
        assert_eq!(of(&reported, "timezone", "utc"), of(&reported, "timezone", "Etc/UTC"));
        let utc = of(&reported, "search_path", "a");
        reported.note("TimeZone", "Asia/Tokyo");
        assert_ne!(utc, of(&reported, "search_path", "a"));
        assert_ne!(utc.after("x"), utc);
        assert_eq!(utc.after("x"), utc.after("x"));
    }
}
