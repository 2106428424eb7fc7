//! Where WAL comes from. The filer pulls; a source says how far it may.
//!
//! ```text
//!  files    pg_wal of a compute on this node, read up to the flush position; a slot holds the files
//!  stream   a walsender; what was received is in a spool of our own, on disk, before it is acknowledged
//!  streamed both: a stream while the compute runs, its files for what it leaves when it stands still
//! ```
//!
//! A third kind of source is one more implementation of [`Source`].

use std::io;

use async_trait::async_trait;
use dormouse_base::{Lsn, Timeline};

use super::reader::Reader;

pub mod dir;
pub mod files;
pub mod slot;
pub mod stream;
pub mod streamed;
pub mod tap;

/// What a source could not do.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The compute does not answer questions (it may be stopped, frozen or starting).
    #[error("cannot ask the compute how far its WAL is")]
    Tap(#[from] tap::TapError),
    /// A file of the WAL or of the spool.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The compute writes on another timeline than it was started on.
    #[error("the compute is on timeline {found}, not on {expected}")]
    Timeline {
        /// The one that its epoch writes on.
        expected: Timeline,
        /// The one it is on.
        found: Timeline,
    },
}

impl SourceError {
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// How far a source may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Behind the last byte that is durable.
    pub upto: Lsn,
    /// What held the WAL for us was found lost, and was made anew.
    pub slot_lost: bool,
}

/// What a source read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// At least one byte, all of one timeline; perhaps fewer than asked for.
    Bytes {
        /// The timeline.
        timeline: Timeline,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The bytes do not exist any more; those from `until` on do.
    Lost {
        /// The next byte that can be read.
        until: Lsn,
    },
}

/// A supplier of WAL.
#[async_trait]
pub trait Source: Send + Sync + std::fmt::Debug {
    /// Whether something may be new since [`Source::progress`] was asked last. Cheap: nothing wakes a sleeping
    /// compute, nothing is asked of it.
    async fn changed(&self, from: Lsn) -> bool;

    /// How far it may be read.
    ///
    /// # Errors
    /// When the compute does not answer.
    async fn progress(&self, from: Lsn) -> Result<Progress, SourceError>;

    /// Reads from `from` on, at most to `upto`, which must not be behind what `progress` said.
    ///
    /// # Errors
    /// When something cannot be read.
    async fn read(&self, from: Lsn, upto: Lsn) -> Result<Chunk, SourceError>;

    /// What the compute's own files have from `from` on, `len` bytes in one segment; `None` when they do not have all
    /// of it any more, or cannot be read. Nothing when they end before.
    async fn own(&self, timeline: Timeline, from: Lsn, len: usize) -> Option<Vec<u8>>;

    /// Everything before `upto` is safe elsewhere and may be forgotten.
    ///
    /// # Errors
    /// When the compute does not answer. The next call makes up for it.
    async fn release(&self, upto: Lsn) -> Result<(), SourceError>;

    /// The compute has stopped, well or not: the end of what it left, which is where its own recovery would
    /// end. `reader` stands at the first byte that is not filed.
    ///
    /// # Errors
    /// When something cannot be read.
    async fn rest(&self, reader: Reader) -> Result<Lsn, SourceError>;
}
