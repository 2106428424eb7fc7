//! A chunk: 256 KiB of a file of the cluster, compressed and hashed, inside a pack.
//!
//! Every file of a snapshot (relations, transaction status, everything) is a list of chunks. A reference
//! names the pack object, the place in it, and the hash of the *plain* bytes, which is checked whenever
//! they are read.

use serde::{Deserialize, Serialize};

use crate::key::Key;

/// Plain bytes in a chunk; the last chunk of a file may be shorter.
pub const CHUNK: u64 = 256 * 1024;

/// Bytes in one file of a relation, as PostgreSQL cuts them.
pub const SEGMENT: u64 = 1024 * 1024 * 1024;

/// The hash of a chunk's plain bytes: BLAKE3, cut to 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Hash(pub [u8; 16]);

impl Hash {
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
    pub pack: std::sync::Arc<Key>,
    /// The first byte in the pack.
    pub offset: u32,
    /// Stored (compressed) bytes.
    pub len: u32,
    /// The hash of the plain bytes.
    pub hash: Hash,
}

/// How many chunks a file of `size` bytes has.
#[must_use]
pub fn count(size: u64) -> u32 {
    u32::try_from(size.div_ceil(CHUNK)).unwrap_or(u32::MAX)
}
