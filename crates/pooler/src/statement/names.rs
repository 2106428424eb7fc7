//! One client's prepared statements: its names, and what they mean.

use std::collections::HashMap;
use std::sync::Arc;

use super::Statement;

/// Names one client may have at the same time. Whoever prepares more without closing any has a leak, and would
/// have it without a pooler too.
const MAX_NAMES: usize = 10_000;

/// Bytes that they may have together.
const MAX_BYTES: usize = 64 << 20;

/// Those that have a name.
#[derive(Debug, Default)]
struct Named {
    all: HashMap<Box<[u8]>, Arc<Statement>>,
    bytes: usize,
}

impl Named {
    fn put(&mut self, name: &[u8], statement: Option<Arc<Statement>>) -> Option<Arc<Statement>> {
        self.bytes += statement.as_ref().map_or(0, |new| name.len() + new.bytes());
        let old = match statement {
            Some(statement) => self.all.insert(name.into(), statement),
            None => self.all.remove(name),
        };
        self.bytes -= old.as_ref().map_or(0, |old| name.len() + old.bytes());
        old
    }
}

/// What the names meant.
#[derive(Debug, Default)]
pub struct Forgotten(Option<Box<Named>>);

impl Forgotten {
    /// Corrects what a name meant, and tells what that was; the empty one is never among them.
    pub(crate) fn put(&mut self, name: &[u8], statement: Option<Arc<Statement>>) -> Option<Arc<Statement>> {
        match statement {
            Some(statement) => self.0.get_or_insert_default().put(name, Some(statement)),
            None => self.0.as_mut().and_then(|named| named.put(name, None)),
        }
    }

    /// What they meant.
    pub(crate) fn statements(&self) -> impl Iterator<Item = &Arc<Statement>> {
        self.0.iter().flat_map(|named| named.all.values())
    }
}

/// Name → statement. The unnamed one has the empty name.
#[derive(Debug, Default)]
pub struct Names {
    unnamed: Option<Arc<Statement>>,
    named: Option<Box<Named>>,
}

impl Names {
    /// What a name means.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&Arc<Statement>> {
        match name {
            b"" => self.unnamed.as_ref(),
            name => self.named.as_ref()?.all.get(name),
        }
    }

    /// Gives a name a meaning, or takes it; returns what it meant before.
    pub fn put(&mut self, name: &[u8], statement: Option<Arc<Statement>>) -> Option<Arc<Statement>> {
        match (name, statement) {
            (b"", statement) => std::mem::replace(&mut self.unnamed, statement),
            (name, Some(statement)) => self.named.get_or_insert_default().put(name, Some(statement)),
            (name, None) => self.named.as_mut()?.put(name, None),
        }
    }

    /// A name that means one statement means another with the same text from now on; it may mean neither by now.
    pub(crate) fn replace(&mut self, name: &[u8], old: &Arc<Statement>, new: &Arc<Statement>) {
        if self.get(name).is_some_and(|meant| Arc::ptr_eq(meant, old)) {
            self.put(name, Some(Arc::clone(new)));
        }
    }

    /// Forgets all that have a name, as `DEALLOCATE ALL` does; it may be that that fails.
    pub fn forget(&mut self) -> Forgotten {
        Forgotten(self.named.take())
    }

    /// It failed.
    pub fn remember(&mut self, forgotten: Forgotten) {
        self.named = forgotten.0;
    }

    /// Those that have a name, in no order.
    pub fn named(&self) -> impl Iterator<Item = (&[u8], &Arc<Statement>)> {
        self.named.iter().flat_map(|named| named.all.iter()).map(|(name, statement)| (&**name, statement))
    }

    /// Whether there is no room for another name.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len() >= MAX_NAMES || self.named.as_ref().is_some_and(|named| named.bytes >= MAX_BYTES)
    }

    /// How many have a name.
    #[must_use]
    pub fn len(&self) -> usize {
        self.named.as_ref().map_or(0, |named| named.all.len())
    }

    /// Whether none has a name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
