//! Makes a cluster's directory of a snapshot.
//!
//! ```text
//!  boot pack (one GET) ──► decide, for each file ──► make (two threads) ──► fetch what must be there ──► control file
//!                              ▲                        │ files, sparse files       (coalesced GETs)        last
//!               spare = template's files ───────────────┘
//! ```
//!
//! *Eager* writes everything. *Lazy* writes what a start needs; the rest become sparse files of the right
//! size, and the hydrator fills them through [`ChunkSource`] just before PostgreSQL touches them. While a
//! directory is incomplete its control file has another name, so that no PostgreSQL can start in it without
//! the hydrator's front: a hole read as zeros would be silent loss.
//!
//! [`decide`] is the pure part, [`make`](self) the one that is measured; [`clone`] makes a directory of
//! another one on this node.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::Store;
pub use crate::hydrate::LazyFile;
use crate::key::Key;
use crate::manifest::Manifest;
use crate::pack::DataError;
use crate::snapshot::SnapshotError;

pub mod clone;
mod decide;
mod fetch;
mod make;
mod materialise;
pub mod source;
mod tree;
mod wal;

pub use clone::{Cloned, Copied, Sharing, clone_directory};
pub use materialise::{load, materialise, materialise_loaded, sync};
pub use source::{ChunkSource, SourceError};

/// A directory could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The snapshot cannot be read.
    #[error("cannot read the snapshot")]
    Data(#[source] DataError),
    /// A file operation failed.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The directory to copy cannot be read.
    #[error("cannot read the directory that is copied")]
    Source(#[source] SnapshotError),
    /// A failpoint.
    #[error("the restore was interrupted")]
    Interrupted(#[source] io::Error),
}

impl RestoreError {
    /// Whether the disk is full.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        let full =
            |e: &io::Error| matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        matches!(self, Self::File { source, .. } if full(source))
    }
}

/// Where a snapshot is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// Its boot pack: the fast way.
    Boot(Key),
    /// Its manifest alone: every chunk comes from packs.
    Manifest(Key),
}

/// How much is written before the directory is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What a start needs; the rest is for the hydrator.
    Lazy,
    /// Everything.
    Eager,
}

/// What to make.
#[derive(Debug, Clone)]
pub struct Order {
    /// Where the snapshot is.
    pub store: Store,
    /// The snapshot.
    pub from: From,
    /// The directory. It must not exist, unless `base` says what it contains.
    pub dir: PathBuf,
    /// The directory exists and its files are exactly those of this snapshot, bytes and all (a spare copy
    /// of a template, moved into place). It may contain other things besides; they are removed.
    pub base: Option<Arc<Manifest>>,
    /// How much to write.
    pub mode: Mode,
    /// The user and group that everything shall belong to.
    pub owner: Option<(u32, u32)>,
    /// Whether everything shall be on the disk, not only in memory, before this returns.
    pub durable: bool,
}

/// A directory that was made.
#[derive(Debug)]
pub struct Materialised {
    /// The snapshot's manifest.
    pub manifest: Arc<Manifest>,
    /// What is absent; the number of a file here is its number in `source`. Empty: the directory is an
    /// ordinary one, and its control file has its ordinary name.
    pub lazy: Vec<LazyFile>,
    /// Gives what is absent.
    pub source: ChunkSource,
    /// Path and number of the chunks that came along because starts were seen to read them. They were not
    /// asked for this time, so only this tells that the next start wants them again.
    pub hot: Vec<(String, u32)>,
    /// What it took.
    pub stats: Stats,
}

/// What making a directory took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stats {
    /// Files of the snapshot.
    pub files: u64,
    /// Files of the base that stayed as they were.
    pub kept_files: u64,
    /// Files with holes.
    pub lazy_files: u64,
    /// Bytes written to files.
    pub written_bytes: u64,
    /// Bytes of the boot pack.
    pub boot_bytes: u64,
    /// Stored bytes of chunks that were fetched besides.
    pub fetched_bytes: u64,
    /// Requests for them.
    pub requests: u64,
    /// Until boot pack or manifest was read and understood.
    pub read_time: Duration,
    /// Making files.
    pub make_time: Duration,
    /// Waiting for the disk, with `durable`.
    pub sync_time: Duration,
    /// All.
    pub time: Duration,
}
