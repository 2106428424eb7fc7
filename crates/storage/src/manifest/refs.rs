//! Lists of chunk references as bytes.
//!
//! The hash is 16 bytes that nothing compresses; so everything else is made small: packs are numbers of a
//! table, and a chunk that follows its predecessor in the same pack (nearly all do) needs no offset.
//!
//! ```text
//!  reference = number t; then, by t:
//!     t = 0                    zeros, nothing follows
//!     t = 2 × (pack + 1)       offset, length, hash
//!     t = 2 × (pack + 1) + 1   length, hash: it begins where the one before ended, in the same pack
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use super::wire::{Reader, Short, put_bytes, put_number};
use crate::chunk::{ChunkRef, Hash};
use crate::key::Key;

/// The packs of a list of references.
#[derive(Default)]
pub(super) struct Packs {
    known: HashMap<Arc<Key>, u64>,
    order: Vec<Arc<Key>>,
}

impl Packs {
    fn number(&mut self, pack: &Arc<Key>) -> u64 {
        if let Some(number) = self.known.get(pack) {
            return *number;
        }
        let number = self.order.len() as u64;
        self.known.insert(Arc::clone(pack), number);
        self.order.push(Arc::clone(pack));
        number
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_number(out, self.order.len() as u64);
        for pack in &self.order {
            put_bytes(out, pack.as_str().as_bytes());
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Vec<Arc<Key>>, Short> {
        (0..reader.count(1)?).map(|_| Ok(Arc::new(Key::from_store(reader.text()?)))).collect()
    }
}

/// Where the reference before ended.
type Previous = Option<(u64, u32)>;

pub(super) fn put(out: &mut Vec<u8>, packs: &mut Packs, refs: &[ChunkRef]) {
    put_number(out, refs.len() as u64);
    let mut previous: Previous = None;
    for at in refs {
        if at.is_zeros() {
            put_number(out, 0);
            continue;
        }
        let pack = packs.number(&at.pack);
        let follows = previous == Some((pack, at.offset));
        put_number(out, 2 * (pack + 1) + u64::from(follows));
        if !follows {
            put_number(out, u64::from(at.offset));
        }
        put_number(out, u64::from(at.len));
        out.extend_from_slice(&at.hash.0);
        previous = Some((pack, at.offset + at.len));
    }
}

pub(super) fn get(reader: &mut Reader<'_>, packs: &[Arc<Key>]) -> Result<Vec<ChunkRef>, Short> {
    let count = reader.count(1)?;
    let mut refs = Vec::with_capacity(count);
    let mut previous: Previous = None;
    for _ in 0..count {
        let tag = reader.number()?;
        if tag == 0 {
            refs.push(ChunkRef::zeros());
            continue;
        }
        let number = (tag / 2).checked_sub(1).ok_or(Short)?;
        let pack = usize::try_from(number).ok().and_then(|n| packs.get(n)).ok_or(Short)?;
        let offset = match (tag % 2, previous) {
            (0, _) => reader.small()?,
            (_, Some((before, end))) if before == number => end,
            _ => return Err(Short),
        };
        let len: u32 = reader.small()?;
        let end = offset.checked_add(len).filter(|_| len > 0).ok_or(Short)?;
        refs.push(ChunkRef { pack: Arc::clone(pack), offset, len, hash: Hash(reader.array()?) });
        previous = Some((number, end));
    }
    Ok(refs)
}
