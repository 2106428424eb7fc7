//! Reads chunks from packs: sorted by place, and neighbours with one request.
//!
//! A start without a local copy wants a thousand small chunks of one pack; one request for each would cost
//! a second at a near store and more at a far one. What lies between two wanted chunks is read and thrown
//! away when it is short. Improve [`ranges`] first when reads are slow: everything goes through it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use dormouse_runtime::task;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::{DataError, index};
use crate::Store;
use crate::chunk::{self, ChunkRef};
use crate::key::Key;
use crate::manifest::segment;

/// Bytes between two wanted chunks that are cheaper to read than another request.
pub const GAP: u32 = 128 * 1024;

/// The longest range of one request, bytes.
pub const LONGEST: u32 = 8 * 1024 * 1024;

/// Requests under way at once for one call; with [`LONGEST`] this bounds memory at 64 MiB.
pub const PARALLEL: usize = 8;

/// A chunk that is wanted: where it is, and how long it is when plain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where.
    pub at: ChunkRef,
    /// Plain bytes.
    pub plain: u32,
}

/// One request: a range of a pack, and which of the wanted chunks lie in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// The pack.
    pub pack: Arc<Key>,
    /// Bytes.
    pub range: Range<u32>,
    /// Positions in the list of wanted references.
    pub members: Vec<usize>,
}

/// The requests that fetch `refs`, by pack and place. Zeros are in none.
#[must_use]
pub fn ranges(refs: &[ChunkRef]) -> Vec<Stretch> {
    let mut order: Vec<usize> = (0..refs.len()).filter(|i| !refs[*i].is_zeros()).collect();
    order.sort_by(|a, b| (&refs[*a].pack, refs[*a].offset).cmp(&(&refs[*b].pack, refs[*b].offset)));
    let mut found: Vec<Stretch> = Vec::new();
    for at in order {
        let (pack, start) = (&refs[at].pack, refs[at].offset);
        let end = start.saturating_add(refs[at].len);
        match found.last_mut() {
            Some(last)
                if last.pack == *pack
                    && start <= last.range.end.saturating_add(GAP)
                    && end.max(last.range.end) - last.range.start <= LONGEST =>
            {
                last.range.end = last.range.end.max(end);
                last.members.push(at);
            }
            _ => found.push(Stretch { pack: Arc::clone(pack), range: start..end, members: vec![at] }),
        }
    }
    found
}

/// Reads chunks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PackReader {
    store: Store,
}

impl PackReader {
    /// A reader of the packs of a store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// The store it reads.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The bytes of one request.
    pub(crate) async fn stretch(&self, stretch: &Stretch) -> Result<Bytes, DataError> {
        let range = u64::from(stretch.range.start)..u64::from(stretch.range.end);
        self.store.get_range(&stretch.pack, range).await.map_err(DataError::Store)
    }

    /// Stored bytes of chunks, in the order of `refs`; empty for zeros. Not checked.
    ///
    /// # Errors
    /// When the store does not give one of them.
    pub async fn stored(&self, refs: &[ChunkRef]) -> Result<Vec<Bytes>, DataError> {
        let mut out = vec![Bytes::new(); refs.len()];
        let requests = ranges(refs).into_iter().map(|stretch| async move {
            let bytes = self.stretch(&stretch).await?;
            Ok::<_, DataError>((stretch, bytes))
        });
        let mut answers = stream::iter(requests).buffer_unordered(PARALLEL);
        while let Some((stretch, bytes)) = answers.try_next().await? {
            for at in stretch.members {
                let from = (refs[at].offset - stretch.range.start) as usize;
                out[at] = bytes.slice(from..from + refs[at].len as usize);
            }
        }
        Ok(out)
    }

    /// Plain bytes of chunks, in the order of `wanted`, each one checked.
    ///
    /// # Errors
    /// When one cannot be read or is damaged.
    pub async fn plain(&self, wanted: &[Wanted]) -> Result<Vec<Bytes>, DataError> {
        let refs: Vec<ChunkRef> = wanted.iter().map(|w| w.at.clone()).collect();
        let stored = self.stored(&refs).await?;
        let wanted = wanted.to_vec();
        let work = move || wanted.iter().zip(stored).map(|(w, stored)| expand(w, &stored)).collect();
        task::blocking(work).await
    }

    /// The references of a segment map.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub async fn map(&self, at: &ChunkRef) -> Result<Vec<ChunkRef>, DataError> {
        let stored = self.stored(std::slice::from_ref(at)).await?.swap_remove(0);
        let damaged = |e: segment::MapError| DataError::damaged(&at.pack, u64::from(at.offset), e);
        segment::decode(&stored, at.hash).map_err(damaged)
    }

    /// The references of many segment maps, in order.
    ///
    /// # Errors
    /// When one cannot be read or is damaged.
    pub async fn maps(&self, at: &[ChunkRef]) -> Result<Vec<Vec<ChunkRef>>, DataError> {
        let stored = self.stored(at).await?;
        let decoded = at.iter().zip(stored).map(|(at, stored)| {
            let damaged = |e: segment::MapError| DataError::damaged(&at.pack, u64::from(at.offset), e);
            segment::decode(&stored, at.hash).map_err(damaged)
        });
        decoded.collect()
    }

    /// The entries of a pack, every one proven.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub async fn prove(&self, pack: &Key) -> Result<Vec<index::Entry>, DataError> {
        Ok(index::prove(&self.store, pack).await?.0)
    }
}

/// The plain bytes of a chunk whose stored bytes are here.
pub(crate) fn expand(wanted: &Wanted, stored: &[u8]) -> Result<Bytes, DataError> {
    if wanted.at.is_zeros() {
        return Ok(Bytes::from(vec![0; wanted.plain as usize]));
    }
    chunk::expand(stored, wanted.plain as usize, wanted.at.hash)
        .map_err(|damage| DataError::chunk(&wanted.at.pack, wanted.at.offset, damage))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Hash;

    fn at(pack: &str, offset: u32, len: u32) -> ChunkRef {
        ChunkRef { pack: Arc::new(Key::from_store(pack)), offset, len, hash: Hash([1; 16]) }
    }

    #[test]
    fn neighbours_share_a_request_and_far_ones_do_not() {
        let refs =
            [at("b", 0, 10), at("a", 500, 10), ChunkRef::zeros(), at("a", 8, 10), at("a", GAP * 3, 10)];
        let found = ranges(&refs);
        let shape: Vec<_> =
            found.iter().map(|s| (s.pack.as_str(), s.range.clone(), s.members.clone())).collect();
        assert_eq!(
            shape,
            [("a", 8..510, vec![3, 1]), ("a", GAP * 3..GAP * 3 + 10, vec![4]), ("b", 0..10, vec![0])]
        );
    }

    #[test]
    fn no_request_is_longer_than_allowed() {
        let refs: Vec<ChunkRef> = (0..100).map(|i| at("a", i * 200_000, 200_000)).collect();
        let found = ranges(&refs);
        assert!(found.len() >= 2 && found.iter().all(|s| s.range.len() <= LONGEST as usize));
        assert_eq!(found.iter().map(|s| s.members.len()).sum::<usize>(), 100);
    }
}
