//! Why a snapshot was not taken. Whatever it is, nothing was published.

use std::io;

use dormouse_base::Lsn;

use super::control_file::ControlError;
use super::wal_end::WalEndError;
use crate::StoreError;
use crate::key::Key;
use crate::pack::DataError;
use crate::pack::writer::WriteError;

/// What a backup's SQL may fail with.
pub type BackupCause = Box<dyn std::error::Error + Send + Sync>;

/// A snapshot was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The caller asked to stop.
    #[error("the snapshot was cancelled")]
    Cancelled,
    /// A file operation failed.
    #[error("cannot {what} {path}")]
    File {
        /// What was tried.
        what: &'static str,
        /// Where, below the cluster's directory.
        path: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The cluster has a tablespace.
    #[error(
        "{path} is a tablespace, and data outside of the cluster's directory cannot be part of a snapshot: move its tables to the default tablespace and drop it"
    )]
    Tablespace {
        /// Where it is linked.
        path: String,
    },
    /// Something that is neither a file nor a directory.
    #[error("{path} is {kind}, which cannot be part of a snapshot: remove it")]
    Special {
        /// Where.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// A name that cannot be kept.
    #[error("in `{dir}` the name `{name}` {what}: remove that file")]
    Name {
        /// The directory.
        dir: String,
        /// The name, shortened.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// More of something than is handled.
    #[error("the cluster has more than {limit} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The control file cannot be used.
    #[error("cannot use the cluster's control file")]
    Control(#[source] ControlError),
    /// A clean snapshot of a cluster that was not stopped cleanly.
    #[error("the cluster was not stopped cleanly (state {0}): start it once and stop it")]
    NotClean(u32),
    /// The end of the WAL was not found.
    #[error("cannot find the end of the WAL")]
    WalEnd(#[source] WalEndError),
    /// A page that PostgreSQL did not write like this.
    #[error(
        "block {block} of {path} is damaged: its checksum is wrong and no WAL repairs it (page LSN {lsn})"
    )]
    DamagedPage {
        /// The file.
        path: String,
        /// The block, counted in the relation.
        block: u32,
        /// The page's LSN.
        lsn: Lsn,
    },
    /// A file of a stopped cluster changed: something else is using it.
    #[error("{path} changed while it was read, although the cluster is stopped")]
    Changed {
        /// The file.
        path: String,
    },
    /// A part of a file is absent here, and the base does not have it either.
    #[error("chunk {chunk} of {path} was never filled and has no counterpart in the base")]
    Absent {
        /// The file.
        path: String,
        /// The chunk.
        chunk: u32,
    },
    /// The directory has holes, and nobody says where.
    #[error("files of the directory are still to be filled, and it is not known which parts are absent")]
    Incomplete,
    /// The running cluster's backup could not be started or stopped.
    #[error("cannot {what} the backup")]
    Backup {
        /// `start` or `stop`.
        what: &'static str,
        /// The cause.
        #[source]
        source: BackupCause,
    },
    /// Compression failed.
    #[error("cannot compress")]
    Compress(#[source] io::Error),
    /// A pack could not be written.
    #[error("cannot store the snapshot's data")]
    Pack(#[source] WriteError),
    /// The base cannot be read.
    #[error("cannot read the snapshot that this one builds on")]
    Base(#[source] DataError),
    /// Manifest or boot pack could not be written.
    #[error("cannot store the snapshot")]
    Store(#[source] StoreError),
    /// Another snapshot has this name.
    #[error("{0} exists already and is of another cluster or moment")]
    Exists(Key),
    /// A failpoint.
    #[error("the snapshot was interrupted")]
    Interrupted(#[source] io::Error),
}

impl SnapshotError {
    pub(crate) fn file(what: &'static str, path: &str, source: io::Error) -> Self {
        Self::File { what, path: path.to_owned(), source }
    }

    /// Whether it was cancelled: not a failure.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }
}
