//! Finds equal statements of one pool.

use std::collections::HashMap;
use std::sync::Arc;

use super::Statement;
use crate::link::Stateful;

/// Statements that nobody holds are forgotten when the registry has grown by so many since the last time.
const SWEEP_AFTER: usize = 1024;

/// Statements with longer text are not looked for: finding them would cost more than parsing them again.
const MAX_SHARED: usize = 64 * 1024;

/// Text and types → statement.
#[derive(Debug, Default)]
pub struct Registry {
    known: HashMap<Box<[u8]>, Arc<Statement>>,
    next: u32,
    sweep_at: usize,
}

impl Registry {
    /// The statement with this body (of a Parse message, behind the name); `look` tells what executing a new one
    /// may do.
    pub fn intern(&mut self, body: &[u8], look: impl FnOnce(&[u8]) -> Stateful) -> Arc<Statement> {
        if let Some(known) = self.known.get(body) {
            known.note_again();
            return Arc::clone(known);
        }
        let new = Arc::new(Statement::new(self.next, body, look(super::text_of(body))));
        self.next = self.next.wrapping_add(1);
        if body.len() <= MAX_SHARED {
            self.sweep();
            self.known.insert(body.into(), Arc::clone(&new));
        }
        new
    }

    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Bytes of all their texts.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.known.keys().map(|body| 2 * body.len()).sum()
    }

    fn sweep(&mut self) {
        if self.known.len() < self.sweep_at.max(SWEEP_AFTER) {
            return;
        }
        // What a client or a backend holds stays: there each has a limit.
        self.known.retain(|_, statement| Arc::strong_count(statement) > 1);
        self.sweep_at = self.known.len() + SWEEP_AFTER;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ones_are_found_and_unused_ones_forgotten() {
        let mut registry = Registry::default();
        let none = |_: &[u8]| Stateful::default();
        let a = registry.intern(b"select 1\0\0\0", none);
        assert!(!a.is_used_again());
        let b = registry.intern(b"select 1\0\0\0", none);
        assert!(Arc::ptr_eq(&a, &b) && a.is_used_again());
        let other = registry.intern(b"select 1\0\0\x01\0\0\0\x17", none);
        assert_ne!(a.id(), other.id(), "other types are another statement");
        drop(other);
        for n in 0..2 * SWEEP_AFTER {
            registry.intern(format!("select {n} + 1\0\0\0").as_bytes(), none);
        }
        assert!(registry.len() <= SWEEP_AFTER + 2, "{}", registry.len());
        assert!(Arc::ptr_eq(&a, &registry.intern(b"select 1\0\0\0", none)));
    }

    #[test]
    fn long_ones_are_not_shared() {
        let mut registry = Registry::default();
        let body = vec![b'x'; MAX_SHARED + 1];
        let one = registry.intern(&body, |_| Stateful::default());
        let two = registry.intern(&body, |_| Stateful::default());
        assert!(!Arc::ptr_eq(&one, &two));
    }
}
