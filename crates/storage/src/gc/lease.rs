//! What this process uses of the past, so that the collector leaves it alone for longer than the grace
//! period.
//!
//! A lease is taken *before* the registers are read that say what will be used. So what it covers is
//! either still listed when it is taken, or its reader does not find it and says so. A lease lives in
//! memory: when the process dies, what it was doing dies too, and the grace period covers other processes.

use std::collections::BTreeMap;
use std::sync::Arc;

use dormouse_base::{BranchId, ProjectId, clock};
use parking_lot::Mutex;
use tokio::sync::{RwLock, RwLockWriteGuard};

use super::plan::Pin;

/// The most leases at once; each incomplete directory and each upload holds one.
pub const MAX_LEASES: usize = 100_000;

/// Too many leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_LEASES} leases of stored data are held at once")]
pub struct TooManyLeases;

#[derive(Debug, Default)]
struct State {
    next: u64,
    held: BTreeMap<u64, (ProjectId, Pin)>,
}

/// All leases of this process. Cheap to clone; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Leases {
    state: Arc<Mutex<State>>,
    /// Held for writing while unlisted snapshots are deleted, see [`Leases::upload`].
    gate: Arc<RwLock<()>>,
}

/// One lease; ends when it is dropped.
#[derive(Debug)]
pub struct Lease {
    state: Arc<Mutex<State>>,
    number: u64,
}

impl Leases {
    /// Pins something of a project.
    ///
    /// # Errors
    /// When [`MAX_LEASES`] are held.
    pub fn pin(&self, project: &ProjectId, pin: Pin) -> Result<Lease, TooManyLeases> {
        let mut state = self.state.lock();
        if state.held.len() >= MAX_LEASES {
            return Err(TooManyLeases);
        }
        let number = state.next;
        state.next += 1;
        state.held.insert(number, (project.clone(), pin));
        Ok(Lease { state: Arc::clone(&self.state), number })
    }

    /// A snapshot of a branch begins to be written. A second try takes the boot pack of the first, if it
    /// finds one, and the collector deletes boot packs that are not listed; so this waits while it does.
    /// Take the lease before the first request, and choose the base of the snapshot after that: it has to
    /// be one that the registers list *now*, because a manifest may have been rewritten.
    ///
    /// # Errors
    /// When [`MAX_LEASES`] are held.
    pub async fn upload(&self, project: &ProjectId, branch: &BranchId) -> Result<Lease, TooManyLeases> {
        let _open = self.gate.read().await;
        self.pin(project, Pin::Upload { branch: branch.clone(), since: clock::now() })
    }

    /// Keeps uploads from beginning until it is dropped.
    pub(crate) async fn close_uploads(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().await
    }

    /// What is pinned of a project.
    #[must_use]
    pub fn of(&self, project: &ProjectId) -> Vec<Pin> {
        let state = self.state.lock();
        state.held.values().filter(|(of, _)| of == project).map(|(_, pin)| pin.clone()).collect()
    }

    /// How many are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state.lock().held.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Lease {
    /// Pins something else instead: from the point that was asked for to the snapshot that was chosen.
    pub fn change(&self, pin: Pin) {
        if let Some((_, held)) = self.state.lock().held.get_mut(&self.number) {
            *held = pin;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.state.lock().held.remove(&self.number);
    }
}
