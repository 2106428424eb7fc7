//! What a pool that stands in line lacks, and which idle backends of other pools make room for it.
//!
//! ```text
//!   Caps::lacks       the caps that are full for it: so many slots short, held by these pools
//!   Books::idle_since since when backends of those are idle
//!   Lacks::choose     whose go: the longest idle; none, if they would not be enough
//!   Books::evict      closed, and the pool in line is told that it may open
//! ```
//!
//! When to ask: after each tick of a pool that stays in line, and at [`Caps::look_again`]. A backend that becomes idle
//! later goes by itself ([`Caps`], `must_yield`), but not in the first moment of a wait, so somebody has to look again.

use std::collections::BTreeSet;
use std::hash::Hash;
use std::time::Duration;

use dormouse_base::clock::Mono;

use super::caps::{Caps, MemberId, YIELD_AFTER};

/// How often a pool that has stood in line for longer than [`YIELD_AFTER`] looks for idle backends of others. Most
/// are given up without that; another client may be its first by now, though, whose wait has only begun.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A cap that is full for a pool.
#[derive(Debug, PartialEq, Eq)]
struct Lack {
    /// So many backends must go, for this pool and those that are before it in line.
    short: u32,
    holders: BTreeSet<MemberId>,
}

/// What a pool in line lacks.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lacks(Vec<Lack>);

impl Lacks {
    /// The pools that hold any of it.
    #[must_use]
    pub fn holders(&self) -> BTreeSet<MemberId> {
        self.0.iter().flat_map(|lack| lack.holders.iter().copied()).collect()
    }

    /// Of these idle backends, whose they are and since when, those that make room: for each one that pool is to
    /// `evict` one.
    #[must_use]
    pub fn choose(&self, mut idle: Vec<(MemberId, Mono)>) -> Vec<MemberId> {
        idle.sort_by_key(|(id, since)| (*since, *id));
        let mut chosen = Vec::new();
        for Lack { short, holders } in &self.0 {
            let have = chosen.iter().filter(|id| holders.contains(id)).count();
            for _ in have..*short as usize {
                let Some(at) = idle.iter().position(|(id, _)| holders.contains(id)) else {
                    // One cap would have room, and another not: closed for nothing.
                    return Vec::new();
                };
                chosen.push(idle.remove(at).0);
            }
        }
        chosen
    }
}

impl<K: Clone + Eq + Hash> Caps<K> {
    /// What this pool lacks; nothing when it is not in line, or may open.
    #[must_use]
    pub fn lacks(&self, id: MemberId) -> Lacks {
        let Some(me) = self.members.get(&id).filter(|member| member.waits.is_some()) else {
            return Lacks::default();
        };
        let before: Vec<_> = self.line.iter().map(|(_, other)| *other).take_while(|it| *it != id).collect();
        let full = me.caps.iter().filter_map(|place| {
            let cap = &self.caps[place];
            let needed = 1 + before.iter().filter(|other| cap.members.contains(other)).count();
            let short = cap.short_of(u32::try_from(needed).unwrap_or(u32::MAX));
            let holds = |other: &MemberId| *other != id && self.members[other].held > 0;
            (short > 0).then(|| Lack { short, holders: cap.members.iter().copied().filter(holds).collect() })
        });
        Lacks(full.collect())
    }

    /// When a pool that stands in line is to look again for idle backends of others.
    #[must_use]
    pub fn look_again(&self, id: MemberId, now: Mono) -> Option<Mono> {
        let yields = self.members.get(&id)?.waits?.plus(YIELD_AFTER);
        Some(if yields > now { yields } else { now.plus(LOOK_EVERY) })
    }

    /// Whether this pool was refused a backend and has not got one since.
    #[must_use]
    pub fn is_in_line(&self, id: MemberId) -> bool {
        self.members.get(&id).is_some_and(|member| member.waits.is_some())
    }
}
