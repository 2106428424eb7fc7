//! What a client has been told by ParameterStatus, so that it is told again only what has changed.
//!
//! A dozen values per client, the same for nearly all: clones share one list, and each text in it.

use std::sync::Arc;

/// How many parameters are remembered; PostgreSQL 18 reports 15. Further ones are passed on each time.
pub const MAX_REPORTED: usize = 64;

/// Parameters as they were last reported. Names as PostgreSQL writes them (`TimeZone`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reported(Option<Arc<Vec<Entry>>>);

/// Sorted by name.
type Entry = (Arc<str>, Arc<str>);

impl Reported {
    /// Nothing was reported yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    /// Notes a report. Returns whether it was news.
    pub fn note(&mut self, name: &str, value: &str) -> bool {
        let place = self.place(name);
        if place.is_ok_and(|at| &*self.entries()[at].1 == value) {
            return false;
        }
        if place.is_err() && self.len() == MAX_REPORTED {
            return true;
        }
        let entries = Arc::make_mut(self.0.get_or_insert_default());
        match place {
            Ok(at) => entries[at].1 = value.into(),
            Err(at) => entries.insert(at, (name.into(), value.into())),
        }
        true
    }

    /// The value that was last reported.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.place(name).ok()?;
        Some(&self.entries()[at].1)
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries().iter().map(|(name, value)| (&**name, &**value))
    }

    /// Whether both are one list.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        }
    }

    /// What this one must be told to believe the same as another. Nothing when they share their list.
    pub fn news<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let same = self.is(other);
        other.iter().filter(move |(name, value)| !same && self.get(name) != Some(value))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn entries(&self) -> &[Entry] {
        self.0.as_ref().map_or(&[], |entries| entries)
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.entries().binary_search_by(|(known, _)| (**known).cmp(name))
    }
}
