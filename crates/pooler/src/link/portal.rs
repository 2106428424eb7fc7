//! Portals of the protocol: what a client has bound on its backend.

use std::collections::HashMap;
use std::sync::Arc;

use crate::statement::Statement;

/// Portals by name.
pub(super) type Portals = HashMap<Box<[u8]>, Portal>;

/// A portal whose statement may leave something behind.
#[derive(Debug, Clone)]
pub(super) struct Portal {
    pub(super) statement: Arc<Statement>,
    /// What it does to how texts are read, with its parameters, as a number, if that is known.
    pub(super) told: Option<u64>,
}

/// The portal that was bound last.
#[derive(Debug, Default)]
pub(super) struct Bound {
    /// Its statement, if there is one.
    pub(super) statement: Option<Arc<Statement>>,
    /// Its name and its client's name of the statement, each with a zero byte behind it.
    pub(super) names: Vec<u8>,
}

impl Bound {
    /// It is this one now, or none that matters.
    pub(super) fn is(&mut self, statement: Option<&Arc<Statement>>, names: &[u8]) {
        if statement.is_some() || self.statement.is_some() {
            self.statement = statement.map(Arc::clone);
            self.names.clear();
            self.names.extend_from_slice(names);
        }
    }

    /// The statement of this portal and what its client calls it, if that is the one.
    pub(super) fn of(&self, portal: &[u8]) -> Option<(&Arc<Statement>, &[u8])> {
        let statement = self.statement.as_ref()?;
        let name = self.names.strip_prefix(portal)?.strip_prefix(&[0])?.strip_suffix(&[0])?;
        Some((statement, name))
    }
}
