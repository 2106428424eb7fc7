//! A chunk: 256 KiB of a file of the cluster, compressed and hashed, inside a pack.
//!
//! Every file of a snapshot (relations, transaction status, everything) is a list of chunks. A reference
//! names the pack object, the place in it, and the hash of the *plain* bytes, which is checked whenever
//! they are read. Large parts of a database are zeros (new pages, tails of relations), so a chunk of zeros
//! is a reference of length 0 and costs nothing anywhere.
//!
//! The size is a compromise: a fault of the hydrator costs one chunk (smaller is better), a reference costs
//! 20 to 25 bytes in the manifest and a request to the store costs milliseconds (larger is better).

use std::cell::RefCell;
use std::io;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::key::Key;

/// Plain bytes in a chunk; the last chunk of a file may be shorter.
pub const CHUNK: u64 = 256 * 1024;

/// Bytes in one file of a relation, as PostgreSQL cuts them.
pub const SEGMENT: u64 = 1024 * 1024 * 1024;

/// How hard chunks are compressed, unless told otherwise. Level 3 costs a third more time for a few per cent.
pub const LEVEL: i32 = 1;

/// The hash of a chunk's plain bytes: BLAKE3, cut to 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Hash(pub [u8; 16]);

impl Hash {
    /// What stands for the hash of zeros, which are never stored and so need none.
    pub const ZEROS: Hash = Hash([0; 16]);

    /// The hash of these bytes.
    #[must_use]
    pub fn of(plain: &[u8]) -> Self {
        let full = blake3::hash(plain);
        let mut hash = [0; 16];
        hash.copy_from_slice(&full.as_bytes()[..16]);
        Self(hash)
    }
}

/// Where a chunk is. `len` 0 means that its plain bytes are all zero and nothing is stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChunkRef {
    /// The pack object.
    pub pack: Arc<Key>,
    /// The first byte in the pack.
    pub offset: u32,
    /// Stored (compressed) bytes.
    pub len: u32,
    /// The hash of the plain bytes.
    pub hash: Hash,
}

impl ChunkRef {
    /// The reference of a chunk of zeros.
    #[must_use]
    pub fn zeros() -> Self {
        static NOWHERE: LazyLock<Arc<Key>> = LazyLock::new(|| Arc::new(Key::from_store("")));
        Self { pack: Arc::clone(&NOWHERE), offset: 0, len: 0, hash: Hash::ZEROS }
    }

    /// Whether the plain bytes are all zero.
    #[must_use]
    pub fn is_zeros(&self) -> bool {
        self.len == 0
    }
}

/// How many chunks a file of `size` bytes has.
#[must_use]
pub fn count(size: u64) -> u32 {
    u32::try_from(size.div_ceil(CHUNK)).unwrap_or(u32::MAX)
}

/// Plain bytes of chunk `index` of a file of `size` bytes; 0 behind its end.
#[must_use]
pub fn plain_len(size: u64, index: u32) -> u32 {
    let start = u64::from(index) * CHUNK;
    u32::try_from(size.saturating_sub(start).min(CHUNK)).expect("a chunk's size fits")
}

/// Whether all bytes are zero.
#[must_use]
pub fn is_zeros(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<64>();
    words.iter().all(|word| word.iter().fold(0, |seen, byte| seen | byte) == 0)
        && rest.iter().all(|b| *b == 0)
}

/// Stored bytes that are not what their reference says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// They cannot be decompressed.
    #[error("the compressed bytes are damaged")]
    Compression,
    /// Their plain form has another length.
    #[error("the plain bytes have the wrong length")]
    Length,
    /// Their plain form has another hash.
    #[error("the plain bytes have the wrong hash")]
    Hash,
}

/// Compresses chunks; one for each thread that does so, because its tables are large.
pub struct Compressor(zstd::bulk::Compressor<'static>);

impl Compressor {
    /// A compressor of a zstd level.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(level: i32) -> io::Result<Self> {
        zstd::bulk::Compressor::new(level).map(Self)
    }

    /// The stored form of a chunk.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn compress(&mut self, plain: &[u8]) -> io::Result<Vec<u8>> {
        let mut stored = self.0.compress(plain)?;
        // The buffer was made for the worst case, and results wait in queues.
        stored.shrink_to_fit();
        Ok(stored)
    }
}

/// The plain form of stored bytes, checked.
///
/// # Errors
/// When they are not exactly what was stored.
pub fn expand(stored: &[u8], plain_len: usize, hash: Hash) -> Result<Bytes, Damage> {
    thread_local! {
        static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
    }
    let plain = DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor = match slot {
            Some(ready) => ready,
            None => slot.insert(zstd::bulk::Decompressor::new().map_err(|_| Damage::Compression)?),
        };
        decompressor.decompress(stored, plain_len).map_err(|_| Damage::Compression)
    })?;
    if plain.len() != plain_len {
        return Err(Damage::Length);
    }
    if Hash::of(&plain) != hash {
        return Err(Damage::Hash);
    }
    Ok(Bytes::from(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_add_up() {
        for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 8192] {
            let total: u64 = (0..count(size)).map(|i| u64::from(plain_len(size, i))).sum();
            assert_eq!(total, size);
            assert_eq!(plain_len(size, count(size)), 0);
        }
    }

    #[test]
    fn stored_bytes_are_checked() {
        let plain: Vec<u8> = (0..10_000u32).flat_map(u32::to_le_bytes).collect();
        let mut stored = Compressor::new(LEVEL).unwrap().compress(&plain).unwrap();
        let hash = Hash::of(&plain);
        assert_eq!(expand(&stored, plain.len(), hash).unwrap(), plain);
        assert_eq!(expand(&stored, plain.len() + 1, hash), Err(Damage::Length));
        assert_eq!(expand(&stored, plain.len(), Hash::of(b"else")), Err(Damage::Hash));
        let middle = stored.len() / 2;
        stored[middle] ^= 1;
        assert!(expand(&stored, plain.len(), hash).is_err());
    }

    #[test]
    fn zeros_are_seen_at_every_length() {
        for len in [0, 1, 63, 64, 65, 8192] {
            let mut bytes = vec![0; len];
            assert!(is_zeros(&bytes));
            if let Some(last) = bytes.last_mut() {
                *last = 1;
                assert!(!is_zeros(&bytes));
            }
        }
    }
}
