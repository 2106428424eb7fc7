//! What a snapshot needs of which pack: the question of garbage collection.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Content, Manifest};
use crate::chunk::ChunkRef;
use crate::key::Key;
use crate::pack::{DataError, PackReader};

/// Segment maps that are read at once; bounds memory at some 10 MB.
const MAPS_AT_ONCE: usize = 64;

/// A part of a pack that a snapshot needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extent {
    /// The pack.
    pub pack: Arc<Key>,
    /// The first byte.
    pub offset: u32,
    /// Bytes.
    pub len: u32,
}

/// All parts of packs that a snapshot needs: each once, by pack and place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References(Vec<Extent>);

impl References {
    /// Every part.
    pub fn extents(&self) -> impl Iterator<Item = &Extent> {
        self.0.iter()
    }

    /// Bytes that are needed of each pack.
    #[must_use]
    pub fn by_pack(&self) -> BTreeMap<Key, u64> {
        let mut packs = BTreeMap::new();
        for extent in &self.0 {
            *packs.entry(extent.pack.as_ref().clone()).or_insert(0) += u64::from(extent.len);
        }
        packs
    }

    /// What both need together; several snapshots share most of what they need.
    #[must_use]
    pub fn union(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self.settle()
    }

    fn settle(mut self) -> Self {
        self.0.sort_unstable();
        self.0.dedup();
        self
    }

    fn push(&mut self, refs: &[ChunkRef]) {
        let stored = refs.iter().filter(|at| !at.is_zeros());
        let extent = |at: &ChunkRef| Extent { pack: Arc::clone(&at.pack), offset: at.offset, len: at.len };
        self.0.extend(stored.map(extent));
    }
}

impl Manifest {
    /// All parts of packs that this snapshot needs, its segment maps among them.
    ///
    /// # Errors
    /// When a segment map cannot be read: then nothing may be deleted.
    pub async fn references(&self, reader: &PackReader) -> Result<References, DataError> {
        let mut found = References::default();
        let mut maps = Vec::new();
        for file in &self.files {
            match &file.content {
                Content::Chunks(refs) => found.push(refs),
                Content::Maps(refs) => maps.extend_from_slice(refs),
            }
        }
        found.push(&maps);
        for group in maps.chunks(MAPS_AT_ONCE) {
            for refs in reader.maps(group).await? {
                found.push(&refs);
            }
            found = found.settle();
        }
        Ok(found.settle())
    }
}
