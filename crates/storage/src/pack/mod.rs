//! Packs: immutable objects that hold many chunks, because a store wants few large objects and a database
//! is many small pieces.
//!
//! ```text
//!  ┌───────────┬─────────┬─────────┬───┬────────────────────────────────┬────────────────────────────┐
//!  │ DMPACK\0\1│ chunk 0 │ chunk 1 │ … │ index: kind offset len plain   │ footer: index offset, count│
//!  │  8 bytes  │  (zstd) │  (zstd) │   │        hash     (29 bytes each)│ hash of the index, DMPACKIX│
//!  └───────────┴─────────┴─────────┴───┴────────────────────────────────┴────────────────────────────┘
//! ```
//!
//! Readers do not need the index: manifests say where each chunk is. The index is for the tools that have
//! only the pack: fsck proves every byte of it, and garbage collection can move what is still used.
//! [`writer`] makes packs, [`reader`] reads chunks from them, [`index`] is the end of the object,
//! [`boot`] is the one object that a start reads.

use std::sync::Arc;

use crate::StoreError;
use crate::chunk::Damage;
use crate::key::Key;

pub mod boot;
pub mod index;
pub mod reader;
pub mod writer;

pub use reader::PackReader;
pub use writer::PackWriter;

/// The first bytes of a pack; the last is the version of the format.
pub const MAGIC: [u8; 8] = *b"DMPACK\0\x01";

/// A pack is closed before it would grow beyond this, bytes.
pub const PACK_TARGET: usize = 32 * 1024 * 1024;

/// No pack is larger, bytes: what readers may rely on.
pub const PACK_MAX: usize = 64 * 1024 * 1024;

/// Data could not be read from the store, or is not what it should be.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DataError {
    /// The store did not give it.
    #[error("cannot read data of a snapshot")]
    Store(#[source] StoreError),
    /// The object is there, but not what was written.
    #[error("{object} is damaged at byte {offset}")]
    Damaged {
        /// The object.
        object: Key,
        /// Where the damaged part begins.
        offset: u64,
        /// What is wrong.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

impl DataError {
    /// A part of an object is damaged.
    pub(crate) fn damaged(
        object: &Key,
        offset: u64,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Damaged { object: object.clone(), offset, source: Arc::from(source.into()) }
    }

    pub(crate) fn chunk(object: &Key, offset: u32, source: Damage) -> Self {
        Self::damaged(object, u64::from(offset), source)
    }

    /// The object that is missing, unreadable or damaged, where it is known.
    #[must_use]
    pub fn object(&self) -> &Key {
        match self {
            Self::Store(
                StoreError::NotFound(key)
                | StoreError::Full { key, .. }
                | StoreError::NoBucket { key, .. }
                | StoreError::Denied { key, .. }
                | StoreError::Failed { key, .. },
            ) => key,
            Self::Damaged { object, .. } => object,
        }
    }
}
