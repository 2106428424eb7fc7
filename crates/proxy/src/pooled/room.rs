//! Caps that several pools share: `max_db_connections` and `max_user_connections`.
//!
//! Who may open a backend when is `dormouse_pooler::pool::Caps`'s decision. Pools live on several threads, so the
//! caps have a lock of their own, which is taken while a pool's books are locked, never the other way round. It is
//! taken when backends are opened and closed, which is rare; with each statement only while a cap is set.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use dormouse_base::clock::Mono;
use dormouse_pooler::config::Settings;
use dormouse_pooler::pool::{Caps, Gate, Lacks, MemberId};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::pool::Pool;
use super::pools::PoolKey;
use super::seats::Seat;
use crate::traffic;

/// All pools under their caps.
#[derive(Default)]
pub(super) struct Room {
    /// Whether any cap is set.
    capped: AtomicBool,
    /// The number that was given last to a client or backend.
    last_number: AtomicU32,
    /// What their clients do.
    pub(super) traffic: Arc<traffic::Ledger>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    caps: Caps<Seat>,
    members: HashMap<MemberId, Member>,
}

struct Member {
    /// Has it look at its books.
    poke: Arc<Notify>,
    pool: Weak<Pool>,
}

impl Inner {
    /// Pools that may open a backend now are told so.
    fn tell(&mut self) {
        for id in self.caps.take_turns() {
            self.poke(id);
        }
    }

    fn poke(&self, id: MemberId) {
        if let Some(member) = self.members.get(&id) {
            member.poke.notify_one();
        }
    }
}

impl Room {
    /// A number that no other client or backend has.
    pub(super) fn number(&self) -> u32 {
        self.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A pool comes under its caps.
    pub(super) fn join(&self, key: &PoolKey, poke: &Arc<Notify>, pool: &Weak<Pool>) -> MemberId {
        let mut inner = self.inner.lock();
        let id = inner.caps.join(&[key.database_seat(), key.role_seat()]);
        inner.members.insert(id, Member { poke: Arc::clone(poke), pool: Weak::clone(pool) });
        id
    }

    /// A pool is forgotten.
    pub(super) fn leave(&self, id: MemberId) {
        let mut inner = self.inner.lock();
        inner.members.remove(&id);
        inner.caps.leave(id);
        inner.tell();
    }

    /// Sets a pool's caps.
    pub(super) fn limit(&self, key: &PoolKey, settings: &Settings) {
        let limits = (settings.max_db_connections, settings.max_user_connections);
        // Once one has a cap, all look: another pool's settings say nothing about this one's.
        self.capped.fetch_or(limits != (0, 0), Ordering::Relaxed);
        let mut inner = self.inner.lock();
        inner.caps.set_limit(&key.database_seat(), limits.0);
        inner.caps.set_limit(&key.role_seat(), limits.1);
        inner.tell();
    }

    /// What a pool in line lacks, and the pools that hold it.
    pub(super) fn lacks(&self, id: MemberId) -> (Lacks, Vec<(MemberId, Arc<Pool>)>) {
        let inner = self.inner.lock();
        let lacks = inner.caps.lacks(id);
        let pool = |id: MemberId| Some((id, inner.members.get(&id)?.pool.upgrade()?));
        let holders = lacks.holders().into_iter().filter_map(pool).collect();
        (lacks, holders)
    }

    /// When a pool that stands in line is to look at its books again.
    pub(super) fn look_again(&self, id: MemberId, now: Mono) -> Option<Mono> {
        if self.is_capped() { self.inner.lock().caps.look_again(id, now) } else { None }
    }

    pub(super) fn is_capped(&self) -> bool {
        self.capped.load(Ordering::Relaxed)
    }
}

/// The caps as one pool's books see them.
pub(super) struct Door<'a> {
    pub(super) room: &'a Room,
    pub(super) id: MemberId,
}

impl Gate for Door<'_> {
    fn acquire(&mut self, since: Option<Mono>) -> bool {
        let mut inner = self.room.inner.lock();
        let stood = inner.caps.is_in_line(self.id);
        let granted = inner.caps.gate(self.id).acquire(since);
        if !stood && inner.caps.is_in_line(self.id) {
            inner.poke(self.id);
        }
        granted
    }

    fn hold(&mut self) {
        self.room.inner.lock().caps.gate(self.id).hold();
    }

    fn release(&mut self) {
        let mut inner = self.room.inner.lock();
        inner.caps.gate(self.id).release();
        inner.tell();
    }

    fn waiting(&mut self, since: Option<Mono>) {
        if self.room.is_capped() {
            let mut inner = self.room.inner.lock();
            inner.caps.gate(self.id).waiting(since);
            inner.tell();
        }
    }

    fn must_yield(&mut self, own: Option<Mono>, now: Mono) -> bool {
        self.room.is_capped() && self.room.inner.lock().caps.gate(self.id).must_yield(own, now)
    }
}
