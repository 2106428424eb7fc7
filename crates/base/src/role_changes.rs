//! A sign that roles may have changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what may have changed the roles of one database cluster. What was learnt of a role while the count was another
/// one may be wrong. Whoever sees such a change counts it before its author is told that it is done.
#[derive(Debug, Clone, Default)]
pub struct RoleChanges(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    all: AtomicU64,
    names: AtomicU64,
}

impl RoleChanges {
    /// Roles may have changed.
    pub fn happened(&self) {
        self.0.all.fetch_add(1, Ordering::AcqRel);
    }

    /// The same, and a name may be another role's now: one was altered or dropped.
    pub fn renamed(&self) {
        self.0.names.fetch_add(1, Ordering::AcqRel);
        self.happened();
    }

    /// How often they may have.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.all.load(Ordering::Acquire)
    }

    /// How often names may have become those of others.
    #[must_use]
    pub fn names(&self) -> u64 {
        self.0.names.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_handle_sees_it() {
        let (one, other) = (RoleChanges::default(), RoleChanges::default());
        let same = one.clone();
        same.happened();
        assert_eq!((one.count(), same.count(), other.count()), (1, 1, 0));
        same.renamed();
        assert_eq!((one.count(), one.names(), other.names()), (2, 1, 0));
    }
}
