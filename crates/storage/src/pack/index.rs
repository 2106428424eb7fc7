//! The end of a pack: what is in it, for tools that have only the pack.

use bytes::Bytes;

use super::{DataError, MAGIC, PACK_MAX};
use crate::Store;
use crate::chunk::{self, CHUNK, Hash};
use crate::key::Key;
use crate::manifest::segment;
use crate::manifest::wire::{Reader, Short};

/// The last bytes of a pack.
const END: [u8; 8] = *b"DMPACKIX";

/// Bytes of the footer.
const FOOTER: usize = 4 + 4 + 16 + 8;

/// Bytes of one entry of the index.
const ENTRY: usize = 1 + 4 + 4 + 4 + 16;

/// The longest plain form of an entry of a pack, bytes: a segment map of 4096 references.
pub const MAX_PLAIN: u32 = 1024 * 1024;

/// What an entry of a pack is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 256 KiB of a file.
    Chunk,
    /// References of up to 4096 chunks.
    Map,
}

/// One entry of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Its first byte in the pack.
    pub offset: u32,
    /// Stored bytes.
    pub len: u32,
    /// Plain bytes.
    pub plain: u32,
    /// Hash of the plain bytes.
    pub hash: Hash,
}

/// Index and footer of a pack whose entries end at `offset`.
pub(super) fn encode(entries: &[Entry], offset: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * ENTRY + FOOTER);
    for entry in entries {
        out.push(match entry.kind {
            Kind::Chunk => 0,
            Kind::Map => 1,
        });
        for number in [entry.offset, entry.len, entry.plain] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&entry.hash.0);
    }
    let hash = Hash::of(&out);
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&u32::try_from(entries.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&hash.0);
    out.extend_from_slice(&END);
    out
}

/// Bytes that index and footer of so many entries take.
pub(super) fn encoded_len(entries: usize) -> usize {
    entries * ENTRY + FOOTER
}

/// The entries of a whole pack in memory.
///
/// # Errors
/// When it is not a pack, or its index is damaged.
pub fn parse(key: &Key, pack: &[u8]) -> Result<Vec<Entry>, DataError> {
    let bad = |what: &str| DataError::damaged(key, pack.len() as u64, what);
    if !pack.starts_with(&MAGIC) || !pack.ends_with(&END) || pack.len() > PACK_MAX {
        return Err(bad("it is not a pack of a version that is known here"));
    }
    let (body, footer) = pack.split_last_chunk::<FOOTER>().ok_or_else(|| bad("it is too short"))?;
    let mut footer = Reader::new(footer);
    let mut fields = || Ok::<_, Short>((footer.u32()?, footer.u32()?, footer.array::<16>()?));
    let (offset, count, hash) = fields().map_err(|_| bad("it is too short"))?;
    let index = body.get(offset as usize..).filter(|index| index.len() == count as usize * ENTRY);
    let index = index.filter(|index| Hash::of(index).0 == hash).ok_or_else(|| bad("its index is damaged"))?;
    let mut reader = Reader::new(index);
    let entries: Result<Vec<Entry>, Short> = (0..count).map(|_| entry(&mut reader)).collect();
    let entries = entries.map_err(|_| bad("its index is damaged"))?;
    let sound = |e: &Entry| {
        e.plain <= MAX_PLAIN && e.offset.checked_add(e.len).is_some_and(|end| end <= offset) && e.len > 0
    };
    if entries.iter().all(sound) { Ok(entries) } else { Err(bad("its index is damaged")) }
}

fn entry(reader: &mut Reader<'_>) -> Result<Entry, Short> {
    let kind = match reader.u8()? {
        0 => Kind::Chunk,
        1 => Kind::Map,
        _ => return Err(Short),
    };
    let (offset, len, plain) = (reader.u32()?, reader.u32()?, reader.u32()?);
    Ok(Entry { kind, offset, len, plain, hash: Hash(reader.array()?) })
}

/// Reads a whole pack and proves every entry. For fsck and for rewriting.
///
/// # Errors
/// When it cannot be read or anything in it is damaged.
pub async fn prove(store: &Store, key: &Key) -> Result<(Vec<Entry>, Bytes), DataError> {
    let pack = store.get(key).await.map_err(DataError::Store)?;
    let entries = parse(key, &pack)?;
    for entry in &entries {
        let stored = &pack[entry.offset as usize..(entry.offset + entry.len) as usize];
        let plain = match entry.kind {
            Kind::Chunk => chunk::expand(stored, entry.plain as usize, entry.hash),
            Kind::Map => segment::expand(stored, entry.hash),
        };
        plain.map_err(|damage| DataError::chunk(key, entry.offset, damage))?;
        if entry.kind == Kind::Chunk && u64::from(entry.plain) > CHUNK {
            return Err(DataError::chunk(key, entry.offset, chunk::Damage::Length));
        }
    }
    Ok((entries, pack))
}
