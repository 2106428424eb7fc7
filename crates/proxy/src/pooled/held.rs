//! One backend of a pool, whoever has it.

use std::sync::Arc;

use dormouse_pooler::link::Server;
use dormouse_pooler::pool::Receipt;
use dormouse_runtime::gate::{Closing, Gate};

use super::io::Outbox;
use crate::backend_stream::BackendStream;
use crate::wake::{Compute, WakeTicket};

/// What a cancel request for a backend needs.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) pid: u32,
    pub(crate) secret: Vec<u8>,
    pub(crate) compute: Arc<dyn Compute>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// A backend.
pub(crate) struct Held {
    pub(super) stream: BackendStream,
    pub(super) server: Server,
    pub(super) gate: Arc<Gate>,
    /// Whether it counts as work.
    pub(super) inside: bool,
    /// Not yet taken by it.
    pub(super) outbox: Outbox,
    /// What a cancel request for it says.
    pub(super) key: Arc<Key>,
    /// Present when the wake of its compute is being measured and no row has come.
    pub(super) ticket: Option<Box<dyn WakeTicket>>,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("key", &self.key).field("server", &self.server).finish_non_exhaustive()
    }
}

impl Held {
    /// Whether it still waits for a command, as one that nobody uses should. Costs no system call while
    /// nothing has come from it.
    pub(super) fn is_fresh(&self) -> bool {
        if self.key.compute.closing().borrow().is_some_and(|closing| closing != Closing::Draining) {
            return false;
        }
        self.stream.is_silent()
    }

    /// Begins to count as work, if the compute is awake.
    pub(super) fn enter(&mut self) -> bool {
        self.inside = self.inside || self.gate.try_enter();
        self.inside
    }

    /// Does not count as work any more.
    pub(super) fn leave(&mut self) {
        if std::mem::take(&mut self.inside) {
            self.gate.leave();
        }
    }

    /// Whether two backends are of the same run of a compute.
    pub(super) fn is_of(&self, compute: &Arc<dyn Compute>) -> bool {
        Arc::ptr_eq(&self.key.compute, compute)
    }
}

/// A backend that is lent to a client.
#[derive(Debug)]
pub(super) struct Leased {
    pub(super) held: Box<Held>,
    pub(super) receipt: Receipt,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.leave();
    }
}
