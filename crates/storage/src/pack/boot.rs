//! Boot packs: everything that a start needs, in one object and so in one request.
//!
//! ```text
//!  DMBOOT\0\1 │ hash of all that follows │ length, manifest │ count │ (hash, length) … │ stored chunks …
//! ```
//!
//! A boot pack repeats: its chunks are in packs too, where the manifest says. So it can always be made
//! again, nothing refers into it, and it goes when its snapshot goes. Chunks that are unchanged since the
//! *template* are not repeated: a node has the template as a spare directory and does not read them at all,
//! and one that has not reads them with one more request. A branch that woke, worked a little and slept
//! again so costs some ten KiB here instead of two MiB, at no cost for the wake.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::DataError;
use crate::chunk::Hash;
use crate::key::Key;
use crate::manifest::Manifest;
use crate::manifest::wire::{Reader, Short, put_bytes, put_number};

/// What a boot pack begins with; the last byte is the version.
pub const MAGIC: [u8; 8] = *b"DMBOOT\0\x01";

/// The most stored bytes of chunks in a boot pack.
pub const MAX_CHUNK_BYTES: u64 = 8 * 1024 * 1024;

/// A boot pack in memory.
#[derive(Debug, Clone)]
pub struct BootPack {
    /// The snapshot's manifest.
    pub manifest: Arc<Manifest>,
    /// The manifest as it is in the store.
    pub manifest_bytes: Bytes,
    chunks: HashMap<Hash, Bytes>,
}

/// Makes a boot pack of a manifest in its stored form and stored chunks.
#[must_use]
pub fn encode(manifest: &[u8], chunks: &[(Hash, Bytes)]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&[0; 16]);
    put_bytes(&mut out, manifest);
    put_number(&mut out, chunks.len() as u64);
    for (hash, stored) in chunks {
        out.extend_from_slice(&hash.0);
        put_number(&mut out, stored.len() as u64);
    }
    for (_, stored) in chunks {
        out.extend_from_slice(stored);
    }
    let hash = Hash::of(&out[24..]);
    out[8..24].copy_from_slice(&hash.0);
    out
}

impl BootPack {
    /// Reads what [`encode`] made.
    ///
    /// # Errors
    /// When it is damaged or of another version.
    pub fn decode(key: &Key, bytes: &Bytes) -> Result<Self, DataError> {
        let bad = |what: &'static str| DataError::damaged(key, 0, what);
        let head = bytes.first_chunk::<24>().ok_or_else(|| bad("it is too short"))?;
        if head[..8] != MAGIC {
            return Err(bad("it is not a boot pack of a version that is known here"));
        }
        if Hash::of(&bytes[24..]).0 != head[8..] {
            return Err(bad("its hash is wrong"));
        }
        let (at, len, chunks) = parse(bytes).map_err(|short| DataError::damaged(key, 0, short))?;
        let manifest_bytes = bytes.slice(at..at + len);
        let manifest = Manifest::decode(&manifest_bytes).map_err(|e| DataError::damaged(key, 0, e))?;
        Ok(Self { manifest: Arc::new(manifest), manifest_bytes, chunks })
    }

    /// A manifest alone, as a boot pack without chunks.
    ///
    /// # Errors
    /// When it is damaged or of another version.
    pub fn of_manifest(key: &Key, bytes: Bytes) -> Result<Self, DataError> {
        let manifest = Manifest::decode(&bytes).map_err(|e| DataError::damaged(key, 0, e))?;
        Ok(Self { manifest: Arc::new(manifest), manifest_bytes: bytes, chunks: HashMap::new() })
    }

    /// The stored bytes of a chunk, if they are here.
    #[must_use]
    pub fn stored(&self, hash: Hash) -> Option<&Bytes> {
        self.chunks.get(&hash)
    }

    /// How many chunks are here.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether it holds nothing but the manifest.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

type Parsed = (usize, usize, HashMap<Hash, Bytes>);

fn parse(bytes: &Bytes) -> Result<Parsed, Short> {
    let mut reader = Reader::new(&bytes[24..]);
    let manifest = reader.bytes()?;
    let at = manifest.as_ptr() as usize - bytes.as_ptr() as usize;
    let count = reader.count(17)?;
    let listed: Result<Vec<(Hash, usize)>, Short> =
        (0..count).map(|_| Ok((Hash(reader.array()?), reader.small()?))).collect();
    let mut chunks = HashMap::with_capacity(count);
    for (hash, len) in listed? {
        let stored = reader.take(len)?;
        let from = stored.as_ptr() as usize - bytes.as_ptr() as usize;
        chunks.insert(hash, bytes.slice(from..from + len));
    }
    reader.end()?;
    Ok((at, manifest.len(), chunks))
}
