//! Segment maps: the references of one gibibyte of a file, outside the manifest.
//!
//! A manifest of a 100 GiB database with all its references would be 10 MB, rewritten with every
//! snapshot. So the references of a larger file are cut at every gibibyte, and each part is an entry of a
//! pack with its own table of packs. An unchanged gibibyte keeps the reference of its map: what a snapshot
//! costs follows what changed, not the size of the database.

use bytes::Bytes;

use super::refs::{self, Packs};
use super::wire::{Reader, Short};
use crate::chunk::{self, CHUNK, ChunkRef, Damage, Hash, SEGMENT};
use crate::pack::index::MAX_PLAIN;

/// References in one map.
pub const MAP_CHUNKS: u32 = (SEGMENT / CHUNK) as u32;

/// A segment map that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// Damaged bytes.
    #[error("a segment map is damaged")]
    Damaged(#[source] Damage),
    /// Bytes that make no sense.
    #[error("a segment map makes no sense")]
    Malformed(#[source] Short),
}

/// A map as it goes into a pack.
pub(crate) struct Encoded {
    pub(crate) plain: u32,
    pub(crate) hash: Hash,
    pub(crate) stored: Vec<u8>,
}

/// Encodes up to [`MAP_CHUNKS`] references.
pub(crate) fn encode(list: &[ChunkRef]) -> Encoded {
    let (mut packs, mut body, mut plain) = (Packs::default(), Vec::new(), Vec::new());
    refs::put(&mut body, &mut packs, list);
    packs.encode(&mut plain);
    plain.append(&mut body);
    let stored = zstd::bulk::compress(&plain, 3).expect("compression into memory has no cause to fail");
    let len = u32::try_from(plain.len()).expect("4096 references are much less than 4 GiB");
    // The plain length is not in the reference, so it goes in front of the stored bytes.
    let stored = [&len.to_le_bytes()[..], &stored].concat();
    Encoded { plain: len, hash: Hash::of(&plain), stored }
}

/// Decodes what [`encode`] made.
pub(crate) fn decode(stored: &[u8], hash: Hash) -> Result<Vec<ChunkRef>, MapError> {
    let plain = expand(stored, hash).map_err(MapError::Damaged)?;
    let parse = || {
        let mut reader = Reader::new(&plain);
        let packs = Packs::decode(&mut reader)?;
        let list = refs::get(&mut reader, &packs)?;
        reader.end()?;
        if list.len() > MAP_CHUNKS as usize { Err(Short) } else { Ok(list) }
    };
    parse().map_err(MapError::Malformed)
}

/// The plain bytes of a stored map.
pub(crate) fn expand(stored: &[u8], hash: Hash) -> Result<Bytes, Damage> {
    let (len, stored) = stored.split_first_chunk::<4>().ok_or(Damage::Length)?;
    let len = u32::from_le_bytes(*len);
    if len > MAX_PLAIN {
        return Err(Damage::Length);
    }
    chunk::expand(stored, len as usize, hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;
    use std::sync::Arc;

    #[test]
    fn a_full_map_is_read_back_and_is_small() {
        let pack = |n: u32| Arc::new(Key::from_store(&format!("projects/p/packs/00000001-{n}.pack")));
        let mut list = Vec::new();
        let mut offset = 8;
        for i in 0..MAP_CHUNKS {
            if i % 100 == 7 {
                list.push(ChunkRef::zeros());
                continue;
            }
            let (len, hash) = (20_000 + i, Hash::of(&i.to_le_bytes()));
            list.push(ChunkRef { pack: pack(i / 1000), offset, len, hash });
            offset = if i % 1000 == 999 { 8 } else { offset + len };
        }
        let encoded = encode(&list);
        assert!(encoded.stored.len() < 22 * MAP_CHUNKS as usize, "{}", encoded.stored.len());
        assert_eq!(decode(&encoded.stored, encoded.hash).unwrap(), list);
        for at in [0, 3, 4, 100, encoded.stored.len() - 1] {
            let mut bad = encoded.stored.clone();
            bad[at] ^= 0x40;
            assert!(decode(&bad, encoded.hash).is_err(), "byte {at}");
        }
    }
}
