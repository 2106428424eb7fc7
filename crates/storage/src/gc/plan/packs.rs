//! Which packs are dead, and which are mostly dead.
//!
//! The references of all live manifests are added up part by part ([`Live::add`]), so that a chunk that ten
//! snapshots share counts once, and no more than the sum of what is live is in memory.

use std::collections::{BTreeMap, HashMap};

use dormouse_base::Timestamp;

use super::{Dead, Kind, Limits, Look, Strange, age};
use crate::key::{self, Key};

/// Bytes that a part takes besides itself: its entry in the index.
const PART_COST: u64 = 29;

/// Bytes that a pack takes besides its parts.
const PACK_COST: u64 = 40;

/// The live parts of packs.
#[derive(Debug, Default)]
pub struct Live {
    packs: BTreeMap<Key, HashMap<u32, u32>>,
}

impl Live {
    /// One part of a pack is needed. Parts never overlap unless they are the same.
    pub fn add(&mut self, pack: &Key, offset: u32, len: u32) {
        if let Some(parts) = self.packs.get_mut(pack) {
            let known = parts.entry(offset).or_default();
            *known = len.max(*known);
        } else {
            self.packs.insert(pack.clone(), HashMap::from([(offset, len)]));
        }
    }

    /// Bytes of a pack that are live.
    #[must_use]
    pub fn bytes(&self, pack: &Key) -> u64 {
        self.packs.get(pack).map_or(0, |parts| parts.values().map(|len| u64::from(*len)).sum())
    }

    /// What a pack with only the live parts of this one would take.
    fn dense(&self, pack: &Key) -> u64 {
        let parts = self.packs.get(pack).map_or(0, HashMap::len) as u64;
        self.bytes(pack) + parts * PART_COST + PACK_COST
    }

    /// The packs with live parts.
    pub fn packs(&self) -> impl Iterator<Item = &Key> {
        self.packs.keys()
    }

    /// Whether a pack has a live part.
    #[must_use]
    pub fn contains(&self, pack: &Key) -> bool {
        self.packs.contains_key(pack)
    }
}

/// A pack that is worth rewriting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sparse {
    /// Its key.
    pub key: Key,
    /// Its bytes.
    pub size: u64,
    /// Its live bytes.
    pub live: u64,
}

/// What is to be done with the packs of a project.
#[derive(Debug, Clone, Default)]
pub struct Packs {
    /// Packs that nothing reaches.
    pub dead: Vec<Dead>,
    /// Packs that nothing reaches but that are too young.
    pub waiting: Vec<Dead>,
    /// Packs that are mostly dead, the deadest first.
    pub sparse: Vec<Sparse>,
    /// Objects among the packs that were not understood.
    pub strange: Vec<Strange>,
}

/// Sorts the packs of a project. `live` holds the references of *all* live manifests, or nothing may be
/// deleted.
#[must_use]
pub fn packs(look: &Look, live: &Live, limits: &Limits, now: Timestamp) -> Packs {
    let mut found = Packs::default();
    let prefix = format!("{}/", key::packs(&look.project));
    for object in &look.objects {
        let Some(name) = object.key.as_str().strip_prefix(&prefix) else { continue };
        if !name.ends_with(".pack") || name.contains('/') {
            found.strange.push(Strange { key: object.key.clone(), why: "not a pack" });
            continue;
        }
        let (key, size, bytes) = (object.key.clone(), object.size, live.bytes(&object.key));
        let waits = age(now, object.modified) < limits.grace || look.is_in_upload(object.modified);
        if live.contains(&key) {
            if !waits && live.dense(&object.key) * 100 < size * limits.sparse_percent {
                found.sparse.push(Sparse { key, size, live: bytes });
            }
            continue;
        }
        let dead = Dead { kind: Kind::Pack, key, size };
        if waits { found.waiting.push(dead) } else { found.dead.push(dead) }
    }
    found.sparse.sort_by_key(|sparse| (sparse.live * 1000 / sparse.size.max(1), sparse.key.clone()));
    found
}
