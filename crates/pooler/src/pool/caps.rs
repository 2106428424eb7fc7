//! Caps that several pools share: `max_db_connections`, `max_user_connections`, and one per endpoint.
//!
//! PgBouncer looks at its pools in the order of their names, so that under a full cap the first ones take
//! whatever becomes free and the last ones starve. Here pools that were refused stand in line by how long their
//! first client has waited:
//!
//! ```text
//!   line of pools, longest wait first     A (db, alice)   B (db, bob)   C (other, alice)
//!   a slot of `db` is free         ───►   A may open; B must not overtake it
//!   A lacks a slot of `alice`      ───►   the slot of `db` is kept for A, or two caps could starve it
//! ```
//!
//! Slots become free when backends close, and a busy pool never closes one. So a pool that gets a backend back
//! asks [`Caps::must_yield`] first: it gives it up when the client of another pool has waited for longer, and
//! that pool has none at all, or less than its equal share and has waited for [`YIELD_AFTER`]. The share keeps
//! two busy pools from opening and closing for each other at every transaction.
//!
//! What a caller does: pass [`Caps::gate`] to every call of the books; when a pool is in line after its tick, have
//! others `evict` the idle backends that [`Caps::lacks`] chooses, and tick it at [`Caps::look_again`]; tick it also
//! when a call of its books brought it into line ([`Caps::is_in_line`]); after every call, tick the pools that
//! [`Caps::take_turns`] names, with no lock held.
//!
//! Pools live on several threads, so a `Caps` is behind a mutex of its own, taken while a pool's books are
//! locked, never the other way round. Pools without a cap do not come here.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

use dormouse_base::clock::Mono;

use super::gate::Gate;

/// How long a pool that has backends waits before others give up theirs. About what opening one costs, some
/// times over: shorter, and pools would spend their time on opening.
pub(super) const YIELD_AFTER: Duration = Duration::from_millis(100);

/// Names one pool among those under caps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(u64);

/// Names one cap. None is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct CapId(u64);

#[derive(Debug)]
pub(super) struct Cap<K> {
    key: K,
    /// Zero is no limit.
    limit: u32,
    held: u32,
    /// Who is under it. Without any it is forgotten: names of databases are whatever clients say.
    pub(super) members: BTreeSet<MemberId>,
    /// Members that hold or wait.
    busy: u32,
}

impl<K> Cap<K> {
    fn spare(&self) -> u32 {
        if self.limit == 0 { u32::MAX } else { self.limit.saturating_sub(self.held) }
    }

    /// How many backends must go until there are so many slots.
    pub(super) fn short_of(&self, slots: u32) -> u32 {
        if self.limit == 0 { 0 } else { self.held.saturating_add(slots).saturating_sub(self.limit) }
    }

    fn share(&self) -> u32 {
        if self.limit == 0 { u32::MAX } else { self.limit / self.busy.max(1) }
    }
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) caps: Vec<CapId>,
    pub(super) held: u32,
    /// Since when its first client waits, if it was refused.
    pub(super) waits: Option<Mono>,
}

/// The caps and the pools under them. `K` names what is capped: an endpoint, a database, a role.
#[derive(Debug)]
pub struct Caps<K> {
    index: HashMap<K, CapId>,
    pub(super) caps: HashMap<CapId, Cap<K>>,
    pub(super) members: HashMap<MemberId, Member>,
    /// Pools that were refused, longest wait first.
    pub(super) line: BTreeSet<(Mono, MemberId)>,
    next: u64,
    /// A slot became free since [`Caps::take_turns`] was called.
    freed: bool,
}

impl<K> Default for Caps<K> {
    fn default() -> Self {
        Self {
            index: HashMap::new(),
            caps: HashMap::new(),
            members: HashMap::new(),
            line: BTreeSet::new(),
            next: 0,
            freed: false,
        }
    }
}

impl<K: Clone + Eq + Hash> Caps<K> {
    /// Sets a cap; zero is no limit. What is above a lower one closes as it becomes free.
    pub fn set_limit(&mut self, key: &K, limit: u32) {
        self.cap(key).1.limit = limit;
        self.freed = true;
    }

    /// How many backends are held under a cap.
    #[must_use]
    pub fn held(&self, key: &K) -> u32 {
        self.index.get(key).map_or(0, |place| self.caps[place].held)
    }

    /// A pool comes under these caps.
    pub fn join(&mut self, keys: &[K]) -> MemberId {
        let id = MemberId(self.next());
        let mut caps: Vec<_> = Vec::with_capacity(keys.len());
        for key in keys {
            let (place, cap) = self.cap(key);
            if cap.members.insert(id) {
                caps.push(place);
            }
        }
        self.members.insert(id, Member { caps, held: 0, waits: None });
        id
    }

    /// A pool goes; what it held is free.
    pub fn leave(&mut self, id: MemberId) {
        while self.members.get(&id).is_some_and(|member| member.held > 0) {
            self.release(id);
        }
        self.set_wait(id, None);
        for place in self.members.remove(&id).map(|member| member.caps).unwrap_or_default() {
            let Some(cap) = self.caps.get_mut(&place) else { continue };
            cap.members.remove(&id);
            if cap.members.is_empty()
                && let Some(cap) = self.caps.remove(&place)
            {
                self.index.remove(&cap.key);
            }
        }
    }

    /// The gate of one pool.
    pub fn gate(&mut self, id: MemberId) -> CapsGate<'_, K> {
        CapsGate { caps: self, id }
    }

    /// After slots became free: pools that may open now. Tick each of them, without a lock held.
    pub fn take_turns(&mut self) -> Vec<MemberId> {
        if std::mem::take(&mut self.freed) { self.plan() } else { Vec::new() }
    }

    fn cap(&mut self, key: &K) -> (CapId, &mut Cap<K>) {
        let place = match self.index.get(key) {
            Some(place) => *place,
            None => CapId(self.next()),
        };
        let cap = self.caps.entry(place).or_insert_with(|| {
            self.index.insert(key.clone(), place);
            Cap { key: key.clone(), limit: 0, held: 0, busy: 0, members: BTreeSet::new() }
        });
        (place, cap)
    }

    /// How much it remembers.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        assert_eq!(self.index.len(), self.caps.len());
        self.caps.len() + self.members.len() + self.line.len()
    }

    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl<K> Caps<K> {
    fn acquire(&mut self, id: MemberId, since: Option<Mono>) -> bool {
        if since.is_some() {
            self.set_wait(id, since);
        }
        let granted = match since {
            Some(_) => self.plan().contains(&id),
            None => self.left_over(id),
        };
        if granted {
            self.set_wait(id, None);
            self.hold(id, true);
        }
        granted
    }

    fn release(&mut self, id: MemberId) {
        self.hold(id, false);
        self.freed = true;
    }

    fn hold(&mut self, id: MemberId, one_more: bool) {
        self.update(id, |member| {
            member.held = if one_more { member.held + 1 } else { member.held.saturating_sub(1) };
        });
    }

    fn set_wait(&mut self, id: MemberId, since: Option<Mono>) {
        let Some(before) = self.members.get(&id).map(|member| member.waits) else {
            return;
        };
        if before == since {
            return;
        }
        if let Some(before) = before {
            self.line.remove(&(before, id));
            // Others may have been kept back for it.
            self.freed = true;
        }
        if let Some(since) = since {
            self.line.insert((since, id));
        }
        self.update(id, |member| member.waits = since);
    }

    /// Changes a member and keeps its caps' sums.
    fn update(&mut self, id: MemberId, change: impl FnOnce(&mut Member)) {
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        let (held, busy) = (member.held, member.held > 0 || member.waits.is_some());
        change(member);
        let is_busy = member.held > 0 || member.waits.is_some();
        for place in &member.caps {
            let Some(cap) = self.caps.get_mut(place) else { continue };
            cap.held = cap.held + member.held - held;
            cap.busy = cap.busy + u32::from(is_busy) - u32::from(busy);
        }
    }

    /// Who may open now.
    fn plan(&self) -> Vec<MemberId> {
        let entitled = |(id, secured): &(MemberId, usize)| *secured == self.members[id].caps.len();
        self.secured(None).into_iter().filter(entitled).map(|(id, _)| id).collect()
    }

    /// In the order of the line, how many of the slots that it needs each pool has: it takes one of every cap
    /// that has any, or keeps it back until it has all. With `released`, as if that pool gave a backend up.
    fn secured(&self, released: Option<MemberId>) -> Vec<(MemberId, usize)> {
        let released = released.and_then(|id| self.members.get(&id)).map_or(&[][..], |member| &member.caps);
        let spare_at_first =
            |place: &CapId| self.caps[place].spare().saturating_add(u32::from(released.contains(place)));
        // Only of those that somebody in line is under: there may be very many.
        let mut spare = HashMap::new();
        let mut secured = Vec::with_capacity(self.line.len());
        for (_, id) in &self.line {
            let mut has = 0;
            for place in &self.members[id].caps {
                let spare = spare.entry(*place).or_insert_with(|| spare_at_first(place));
                has += usize::from(*spare > 0);
                *spare = spare.saturating_sub(1);
            }
            secured.push((*id, has));
        }
        secured
    }

    /// Whether there is a slot that nobody in line needs.
    fn left_over(&self, id: MemberId) -> bool {
        self.members.get(&id).is_none_or(|member| {
            member.caps.iter().all(|place| {
                let waiting =
                    self.line.iter().filter(|(_, other)| self.members[other].caps.contains(place)).count();
                self.caps[place].spare() as usize > waiting
            })
        })
    }

    /// Whether a backend of this pool that is free now should be closed for another pool.
    fn must_yield(&self, id: MemberId, own: Option<Mono>, now: Mono) -> bool {
        if self.line.is_empty() {
            return false;
        }
        let Some(me) = self.members.get(&id) else {
            return false;
        };
        // Above a cap that was lowered: nobody else gets it, but it is too much.
        if me.caps.iter().any(|place| self.caps[place].short_of(0) > 0) {
            return true;
        }
        let without = self.secured(None);
        let with = self.secured(Some(id)).into_iter().zip(without);
        with.filter(|((other, with), (_, without))| *other != id && with > without).any(|((other, _), _)| {
            let member = &self.members[&other];
            let Some(since) = member.waits.filter(|since| own.is_none_or(|own| *since < own)) else {
                return false;
            };
            let share = member
                .caps
                .iter()
                .filter(|cap| me.caps.contains(cap))
                .map(|cap| self.caps[cap].share())
                .min();
            let below_share = own.is_none() || share.is_some_and(|share| member.held < share);
            member.held == 0 || (below_share && now.since(since) >= YIELD_AFTER)
        })
    }
}

/// [`Caps`] as one pool sees them.
#[derive(Debug)]
pub struct CapsGate<'a, K> {
    caps: &'a mut Caps<K>,
    id: MemberId,
}

impl<K> Gate for CapsGate<'_, K> {
    fn acquire(&mut self, since: Option<Mono>) -> bool {
        self.caps.acquire(self.id, since)
    }

    fn hold(&mut self) {
        self.caps.hold(self.id, true);
    }

    fn release(&mut self) {
        self.caps.release(self.id);
    }

    fn waiting(&mut self, since: Option<Mono>) {
        // Only a pool that was refused is in line; others have what they need, or wait for their own.
        if self.caps.members.get(&self.id).is_some_and(|member| member.waits.is_some()) {
            self.caps.set_wait(self.id, since);
        }
    }

    fn must_yield(&mut self, own: Option<Mono>, now: Mono) -> bool {
        self.caps.must_yield(self.id, own, now)
    }
}
