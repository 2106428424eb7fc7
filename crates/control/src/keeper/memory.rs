//! What is known of each endpoint while this server lives.

use std::collections::HashMap;
use std::sync::Arc;

use dormouse_base::EndpointId;
use dormouse_base::clock::Mono;
use dormouse_compute::State;
use parking_lot::Mutex;
use tokio::sync::Mutex as TurnLock;

/// One entry for each endpoint that was ever touched; deleted ones are forgotten.
#[derive(Debug, Default)]
pub(super) struct Memory {
    known: Mutex<HashMap<EndpointId, Known>>,
}

#[derive(Debug)]
struct Known {
    pending: bool,
    exact: bool,
    state: State,
    since: Mono,
    /// Held while changes are applied, so that two appliers take turns.
    turn: Arc<TurnLock<()>>,
}

impl Default for Known {
    fn default() -> Self {
        let turn = Arc::default();
        Self { pending: false, exact: false, state: State::Stopped, since: Mono::now(), turn }
    }
}

impl Memory {
    fn with<T>(&self, endpoint: &EndpointId, change: impl FnOnce(&mut Known) -> T) -> T {
        change(self.known.lock().entry(endpoint.clone()).or_default())
    }

    fn ask<T>(&self, endpoint: &EndpointId, ask: impl FnOnce(&Known) -> T) -> Option<T> {
        self.known.lock().get(endpoint).map(ask)
    }

    pub(super) fn set_pending(&self, endpoint: &EndpointId, pending: bool) {
        self.with(endpoint, |known| known.pending = pending);
    }

    pub(super) fn has_pending(&self, endpoint: &EndpointId) -> bool {
        self.ask(endpoint, |known| known.pending).unwrap_or(false)
    }

    pub(super) fn pending(&self) -> Vec<EndpointId> {
        let known = self.known.lock();
        known.iter().filter(|(_, known)| known.pending).map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn set_exact(&self, endpoint: &EndpointId, exact: bool) {
        self.with(endpoint, |known| known.exact = exact);
    }

    pub(super) fn is_exact(&self, endpoint: &EndpointId) -> bool {
        self.ask(endpoint, |known| known.exact).unwrap_or(false)
    }

    /// Stores a state and returns the one before.
    pub(super) fn set_state(&self, endpoint: &EndpointId, state: State) -> State {
        self.with(endpoint, |known| {
            if known.state != state {
                known.since = Mono::now();
            }
            std::mem::replace(&mut known.state, state)
        })
    }

    pub(super) fn paused(&self) -> Vec<EndpointId> {
        let known = self.known.lock();
        let mut paused: Vec<_> = known.iter().filter(|(_, k)| k.state == State::Paused).collect();
        paused.sort_by_key(|(_, known)| known.since);
        paused.into_iter().map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn lock_of(&self, endpoint: &EndpointId) -> Arc<TurnLock<()>> {
        self.with(endpoint, |known| Arc::clone(&known.turn))
    }

    pub(super) fn forget(&self, endpoint: &EndpointId) {
        self.known.lock().remove(endpoint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_paused_comes_first() {
        let memory = Memory::default();
        let ids: Vec<EndpointId> = (0..3).map(|_| EndpointId::generate()).collect();
        for id in &ids {
            memory.set_state(id, State::Paused);
        }
        memory.set_state(&ids[0], State::Active);
        memory.set_state(&ids[0], State::Paused);
        // Hearing the same state again does not make it younger.
        memory.set_state(&ids[1], State::Paused);
        assert_eq!(memory.paused(), vec![ids[1].clone(), ids[2].clone(), ids[0].clone()]);
    }

    #[test]
    fn what_was_forgotten_has_nothing_pending() {
        let (memory, id) = (Memory::default(), EndpointId::generate());
        memory.set_pending(&id, true);
        assert!(memory.has_pending(&id));
        memory.forget(&id);
        assert!(!memory.has_pending(&id) && memory.pending().is_empty());
    }
}
