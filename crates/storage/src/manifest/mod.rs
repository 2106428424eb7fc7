//! Manifests: what a snapshot consists of, as data. No I/O except through [`PackReader`].
//!
//! ```text
//!  manifest ── header: whose, which kind, where in the history
//!           ── directories: path, mode
//!           ── files: path, mode, size ── up to 16 chunk references
//!           │                          └─ or references of segment maps, one for each GiB ── chunk references
//!           └─ WAL pages: what a clean start reads of pg_wal (two pages)
//! ```
//!
//! [`codec`] is the form in the store (version 1 is frozen by golden files: a change makes version 2),
//! [`segment`] the part of it that lives in packs, [`references`] answers garbage collection, [`verify`]
//! answers fsck.

use dormouse_base::{BranchId, Epoch, Lsn, ProjectId, Timeline, Timestamp};
use serde::{Deserialize, Serialize};

use crate::branch::record::SnapshotKind;
use crate::chunk::{self, ChunkRef};
use crate::key::Key;
use crate::pack::{DataError, PackReader};

pub mod codec;
mod envelope;
pub mod references;
mod refs;
pub mod segment;
pub mod verify;
pub(crate) mod wire;

pub use crate::hydrate::Bits;
pub use codec::ManifestError;
pub(crate) use envelope::{unwrap as unwrap_envelope, wrap as wrap_envelope};

/// A file with more chunks than this has segment maps.
pub const INLINE_CHUNKS: u32 = 16;

/// The longest path of a file in a cluster, bytes. PostgreSQL's own are below 60.
pub const MAX_PATH: usize = 512;

/// The most files and directories of a cluster.
pub const MAX_ENTRIES: usize = 4_000_000;

/// Whose snapshot it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// A branch of a project.
    Branch {
        /// The project.
        project: ProjectId,
        /// The branch.
        branch: BranchId,
    },
    /// A pristine cluster that root branches begin with.
    Template {
        /// Its name in the store.
        template: String,
    },
}

/// What a snapshot says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Whose it is.
    pub owner: Owner,
    /// Major version of PostgreSQL.
    pub pg_major: u16,
    /// The cluster's identifier, the same in all branches of a project.
    pub system_identifier: u64,
    /// Whether pages have checksums.
    pub checksums: bool,
    /// Bytes in a WAL segment file.
    pub wal_segment: u32,
    /// How it was taken.
    pub kind: SnapshotKind,
    /// Clean: the end of the WAL. Online: where the backup stopped.
    pub lsn: Lsn,
    /// Where replay starts; every page that changes later has a page LSN above this.
    pub redo: Lsn,
    /// The checkpoint that the control file names.
    pub checkpoint: Lsn,
    /// The timeline at `lsn`.
    pub timeline: Timeline,
    /// The writer that took it.
    pub epoch: Epoch,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// The snapshot that this one was compared with.
    pub base: Option<Key>,
}

/// A directory of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Path below the cluster's directory.
    pub path: String,
    /// Permission bits.
    pub mode: u16,
}

/// A file of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Path below the cluster's directory.
    pub path: String,
    /// Permission bits.
    pub mode: u16,
    /// Bytes.
    pub size: u64,
    /// Where its bytes are.
    pub content: Content,
}

/// Where the bytes of a file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Its chunks, at most [`INLINE_CHUNKS`].
    Chunks(Vec<ChunkRef>),
    /// Its segment maps, each for [`segment::MAP_CHUNKS`] chunks, the last one for the rest.
    Maps(Vec<ChunkRef>),
}

/// Pages of WAL that a clean start reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalPages {
    /// The first byte; the beginning of a page.
    pub at: Lsn,
    /// Whole pages.
    pub bytes: Vec<u8>,
}

/// All of a snapshot, except the bytes of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// What it says of itself.
    pub header: Header,
    /// Directories, by path; a parent comes before what is in it.
    pub dirs: Vec<Directory>,
    /// Files, by path.
    pub files: Vec<FileEntry>,
    /// What a clean start reads of `pg_wal`; empty for an online snapshot.
    pub wal: Vec<WalPages>,
}

impl FileEntry {
    /// How many chunks it has.
    #[must_use]
    pub fn chunks(&self) -> u32 {
        chunk::count(self.size)
    }

    /// The references of all its chunks.
    ///
    /// # Errors
    /// When a segment map cannot be read, is damaged, or is not the one of this file.
    pub async fn resolve(&self, reader: &PackReader) -> Result<Vec<ChunkRef>, DataError> {
        match &self.content {
            Content::Chunks(refs) => Ok(refs.clone()),
            Content::Maps(maps) => {
                let parts = reader.maps(maps).await?;
                let refs: Vec<ChunkRef> = parts.into_iter().flatten().collect();
                if refs.len() == self.chunks() as usize {
                    return Ok(refs);
                }
                let object = maps.first().map_or_else(|| Key::from_store(""), |m| m.pack.as_ref().clone());
                Err(DataError::damaged(
                    &object,
                    0,
                    format!("the segment maps of {} do not fit it", self.path),
                ))
            }
        }
    }
}

impl Manifest {
    /// A file by its path.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&FileEntry> {
        self.files.binary_search_by(|f| f.path.as_str().cmp(path)).ok().map(|at| &self.files[at])
    }

    /// Plain bytes of all files.
    #[must_use]
    pub fn logical_bytes(&self) -> u64 {
        self.files.iter().map(|f| f.size).sum()
    }
}
