//! Memory that requests and answers hold, all together.
//!
//! An answer is held back until it is whole, so that an error in its last row is still an error with a status and an
//! SQLSTATE. That has a limit, and what is larger is sent while it comes ([`super::run`]): then only what is under way
//! to the client is held. A body is always held whole, and so is a row.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of one request's body.
pub(crate) const MAX_REQUEST: usize = 64 << 20;

/// Bytes of an answer that are held back before the first one is sent.
pub(crate) const HELD_BACK: usize = 8 << 20;

/// Bytes of one answer: the official driver reads a document as one string, and JavaScript has no longer ones.
pub(crate) const MAX_ANSWER: usize = 512 << 20;

/// Bytes of one message of PostgreSQL, such as a row.
pub(crate) const MAX_MESSAGE: usize = 64 << 20;

/// Bytes of all requests and answers together, of those that are larger than [`UNCOUNTED`].
pub(crate) const MAX_HELD: usize = 512 << 20;

/// So much each may hold without being counted.
pub(crate) const UNCOUNTED: usize = 256 << 10;

/// What is counted at once.
const UNIT: usize = 256 << 10;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_HELD / UNIT)))
    }
}

/// What one request or answer holds.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Budget,
    permits: Vec<OwnedSemaphorePermit>,
}

impl Budget {
    /// For one more.
    pub(crate) fn open(&self) -> Held {
        Held { budget: self.clone(), permits: Vec::new() }
    }
}

impl Held {
    /// Whether it may hold so many bytes in all.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let units = units(bytes);
        while self.permits.len() < units {
            match Arc::clone(&self.budget.0).try_acquire_owned() {
                Ok(permit) => self.permits.push(permit),
                Err(_) => return false,
            }
        }
        true
    }

    /// It holds no more than so many bytes now.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        self.permits.truncate(units(bytes));
    }
}

fn units(bytes: usize) -> usize {
    bytes.saturating_sub(UNCOUNTED).div_ceil(UNIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_ones_are_free_and_all_together_have_a_limit() {
        let budget = Budget::default();
        let mut many: Vec<_> = (0..MAX_HELD / MAX_MESSAGE + 2).map(|_| budget.open()).collect();
        let granted =
            many.iter_mut().map(|held| held.grow_to(MAX_MESSAGE)).filter(|granted| *granted).count();
        assert_eq!(granted, MAX_HELD / MAX_MESSAGE);
        let mut small = budget.open();
        assert!(small.grow(UNCOUNTED) && !small.grow(UNCOUNTED + 9 * UNIT));
        many[0].shrink(MAX_MESSAGE / 2);
        assert!(small.grow(MAX_MESSAGE / 2) && !small.grow(MAX_MESSAGE));
        drop(many);
        assert!(budget.open().grow(MAX_MESSAGE));
    }

    impl Held {
        fn grow_to(&mut self, bytes: usize) -> bool {
            let grown = self.grow(bytes);
            if !grown {
                self.permits.clear();
            }
            grown
        }
    }
}
