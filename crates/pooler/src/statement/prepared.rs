//! Which of a pool's statements one backend has.

use std::collections::HashMap;
use std::sync::Arc;

use super::Statement;

#[derive(Debug)]
struct Known {
    statement: Arc<Statement>,
    used: u64,
    /// How often the pool's tables had changed when it was parsed.
    generation: u64,
}

/// The statements that a backend has, or will have when it has read what was sent to it.
#[derive(Debug, Default)]
pub struct Prepared {
    known: HashMap<u32, Known>,
    clock: u64,
    unnamed: Option<Arc<Statement>>,
}

/// What using a statement needs.
#[derive(Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it is there.
    Nothing,
    /// It must be parsed.
    Parse,
    /// It is there, but was parsed before tables changed: close it, then parse it.
    Renew,
}

impl Prepared {
    /// A statement is about to be used. Unless the answer is [`Need::Nothing`] the caller sends what is needed,
    /// and from now on the statement counts as there.
    pub fn want(&mut self, statement: &Arc<Statement>, generation: u64) -> Need {
        self.clock += 1;
        if let Some(known) = self.known.get_mut(&statement.id()) {
            known.used = self.clock;
            if known.generation >= generation {
                return Need::Nothing;
            }
            known.generation = generation;
            return Need::Renew;
        }
        self.add(statement, generation);
        Need::Parse
    }

    /// It is there.
    pub fn add(&mut self, statement: &Arc<Statement>, generation: u64) {
        self.clock += 1;
        let known = Known { statement: Arc::clone(statement), used: self.clock, generation };
        self.known.insert(statement.id(), known);
    }

    /// Whether it is there.
    #[must_use]
    pub fn has(&self, statement: &Statement, generation: u64) -> bool {
        self.known.get(&statement.id()).is_some_and(|known| known.generation >= generation)
    }

    /// It is not there (any more).
    pub fn remove(&mut self, id: u32) {
        self.known.remove(&id);
    }

    /// The one to close so that no more than `max` are there: the one that was not used for the longest time.
    pub fn surplus(&mut self, max: usize) -> Option<Arc<Statement>> {
        if self.known.len() <= max {
            return None;
        }
        let id = *self.known.iter().min_by_key(|(_, known)| known.used)?.0;
        self.known.remove(&id).map(|known| known.statement)
    }

    /// What the backend's unnamed statement is.
    #[must_use]
    pub fn unnamed_is(&self, statement: &Statement) -> bool {
        self.unnamed.as_ref().is_some_and(|unnamed| unnamed.id() == statement.id())
    }

    /// The backend's unnamed statement becomes another one, or none.
    pub fn set_unnamed(&mut self, statement: Option<Arc<Statement>>) {
        self.unnamed = statement;
    }

    /// Nothing is there any more.
    pub fn clear(&mut self) {
        self.known.clear();
        self.unnamed = None;
    }

    /// How many are there, without the unnamed one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Registry;
    use super::*;
    use crate::link::Stateful;

    #[test]
    fn the_least_recently_used_goes_first_and_old_ones_are_renewed() {
        let mut registry = Registry::default();
        let mut of = |n: u8| registry.intern(&[n, 0, 0, 0], |_| Stateful::default());
        let (a, b, c) = (of(b'a'), of(b'b'), of(b'c'));
        let mut prepared = Prepared::default();
        assert_eq!(prepared.want(&a, 0), Need::Parse);
        assert_eq!(prepared.want(&b, 0), Need::Parse);
        assert_eq!(prepared.want(&a, 0), Need::Nothing);
        assert_eq!(prepared.want(&c, 0), Need::Parse);
        assert_eq!(prepared.surplus(2).map(|s| s.id()), Some(b.id()));
        assert_eq!(prepared.surplus(2), None::<Arc<Statement>>.map(|s| s));
        assert_eq!(prepared.want(&a, 1), Need::Renew);
        assert_eq!(prepared.want(&a, 1), Need::Nothing);
    }
}
