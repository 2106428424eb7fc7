//! One client's prepared statements: its names, and what they mean.

use std::collections::HashMap;
use std::sync::Arc;

use super::Statement;

/// Names one client may have at the same time. Whoever prepares more without closing any has a leak, and would
/// have it without a pooler too.
const MAX_NAMES: usize = 10_000;

/// Those that have a name.
type Named = HashMap<Box<[u8]>, Arc<Statement>>;

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
            name => self.named.as_ref()?.get(name),
        }
    }

    /// Gives a name a meaning, or takes it; returns what it meant before.
    pub fn put(&mut self, name: &[u8], statement: Option<Arc<Statement>>) -> Option<Arc<Statement>> {
        match (name, statement) {
            (b"", statement) => std::mem::replace(&mut self.unnamed, statement),
            (name, Some(statement)) => self.named.get_or_insert_default().insert(name.into(), statement),
            (name, None) => self.named.as_mut()?.remove(name),
        }
    }

    /// Those that have a name, in no order.
    pub fn named(&self) -> impl Iterator<Item = (&[u8], &Arc<Statement>)> {
        self.named.iter().flat_map(|named| named.iter()).map(|(name, statement)| (&**name, statement))
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether there is no room for another name.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len() >= MAX_NAMES
    }

    /// How many have a name.
    #[must_use]
    pub fn len(&self) -> usize {
        self.named.as_ref().map_or(0, |named| named.len())
    }

    /// Whether none has a name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
