//! Makes a snapshot of a cluster's directory.
//!
//! ```text
//!             scan ──► plan ──► worker, worker … ──► collect ──► packs ──► boot pack ──► manifest
//!  directory ──┘        ▲         (blocking)           │                     (create: arbitrates)
//!                 state, base                    Taken ◄┘──► the caller publishes it in the register
//! ```
//!
//! *Clean*: the cluster is stopped; the snapshot is its exact state at the end of its WAL, and starts
//! without recovery. *Online*: it runs; its files are copied between the start and the stop of a backup, and
//! the WAL of that time makes them consistent. Until the caller publishes the record nothing has happened:
//! an error, a cancellation or a crash leaves objects that nobody refers to, which garbage collection takes.
//!
//! The boot pack is made with *create if absent* and contains the manifest. Where two tries of one writer
//! meet (a crash between the objects, then a retry), the first boot pack wins and its manifest counts.
//!
//! Read [`rules`] (what belongs to a snapshot), [`plan`](self) and `worker` (what is read) first.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dormouse_base::{Epoch, Lsn, Timeline};
use tokio_util::sync::CancellationToken;

use crate::Store;
use crate::branch::record::SnapshotRecord;
use crate::chunk;
use crate::key::{self, Key};
use crate::manifest::{Bits, Manifest, Owner};

mod collect;
pub mod control_file;
mod error;
mod hot;
mod page;
mod plan;
mod publish;
pub mod rules;
pub(crate) mod scan;
mod since;
pub(crate) mod state;
mod take;
pub mod wal_end;
mod worker;

pub use error::{BackupCause, SnapshotError};
pub use hot::{MAX_HOT, is_of_template, needs};
pub use take::{Left, clean, left, online, remember};

/// The most threads that read and compress for one snapshot.
pub const MAX_THREADS: usize = 4;

/// Tells which chunks of a file are absent in an incomplete directory; `None` when none is.
pub type Missing = Arc<dyn Fn(&str) -> Option<Bits> + Send + Sync>;

/// What to take a snapshot of, and where to put it.
#[derive(Clone)]
pub struct Request {
    /// Where to.
    pub store: Store,
    /// The cluster's directory.
    pub dir: PathBuf,
    /// Whose snapshot it is.
    pub owner: Owner,
    /// The writer that takes it.
    pub epoch: Epoch,
    /// The snapshot to compare with: the newest of this directory's past, or what it was made from.
    pub base: Option<Base>,
    /// The file that remembers what the directory looked like; beside the directory, not in it.
    pub state: Option<PathBuf>,
    /// Which chunks are absent, for an incomplete directory.
    pub missing: Option<Missing>,
    /// Chunks that starts were seen to read: path and number, most wanted first.
    pub hot: Vec<(String, u32)>,
    /// How.
    pub options: Options,
    /// Stops it at any moment.
    pub cancel: CancellationToken,
}

/// The snapshot that another one builds on.
#[derive(Debug, Clone)]
pub struct Base {
    /// Its manifest.
    pub manifest: Arc<Manifest>,
    /// Where that is.
    pub key: Key,
    /// Its boot pack; saves requests.
    pub boot: Option<Key>,
}

/// How to take a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The zstd level of chunks.
    pub level: i32,
    /// Threads that read and compress; 0 = as many as there are cores, at most [`MAX_THREADS`].
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { level: chunk::LEVEL, threads: 0 }
    }
}

/// The backup of a running cluster, over SQL. When the snapshot fails in between, `stop` is not called:
/// ending the session ends the backup.
#[async_trait]
pub trait Backup: Send {
    /// `pg_backup_start` (it waits for a checkpoint; let it be fast).
    async fn start(&mut self) -> Result<StartInfo, BackupCause>;
    /// `pg_backup_stop`, in the same session.
    async fn stop(&mut self) -> Result<StopInfo, BackupCause>;
}

/// What the start of a backup says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartInfo {
    /// Where replay will start.
    pub redo: Lsn,
    /// The timeline.
    pub timeline: Timeline,
}

/// What the stop of a backup says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopInfo {
    /// The first consistent point.
    pub lsn: Lsn,
    /// The text of the file that starts recovery at the right place.
    pub backup_label: String,
    /// Must be empty: tablespaces are refused.
    pub tablespace_map: String,
}

/// A snapshot that was taken, and is to be published.
#[derive(Debug, Clone)]
pub struct Taken {
    /// For the branch's register.
    pub record: SnapshotRecord,
    /// Its manifest.
    pub manifest: Arc<Manifest>,
    /// What it took.
    pub stats: Stats,
}

impl Taken {
    /// This snapshot as the base of the next.
    #[must_use]
    pub fn base(&self) -> Base {
        let (key, boot) = (self.record.manifest.clone(), Some(self.record.boot.clone()));
        Base { manifest: Arc::clone(&self.manifest), key, boot }
    }
}

/// What a snapshot took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stats {
    /// Files in it.
    pub files: u64,
    /// Files that were not opened.
    pub kept_files: u64,
    /// Chunks that are new in the store.
    pub new_chunks: u64,
    /// Chunks that were looked at and are in the store already.
    pub kept_chunks: u64,
    /// Files of which the WAL told what changed in them.
    pub told_files: u64,
    /// Bytes read of whole chunks.
    pub read_bytes: u64,
    /// Bytes of packs.
    pub pack_bytes: u64,
    /// Packs.
    pub packs: u32,
    /// Bytes of the boot pack.
    pub boot_bytes: u64,
    /// Bytes of the manifest.
    pub manifest_bytes: u64,
    /// From the start to the last object.
    pub time: Duration,
}

impl Stats {
    /// Bytes that were written to the store.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.pack_bytes + self.boot_bytes + self.manifest_bytes
    }

    /// Million bytes read in a second.
    #[must_use]
    pub fn mb_per_second(&self) -> f64 {
        self.read_bytes as f64 / 1e6 / self.time.as_secs_f64().max(1e-9)
    }
}

/// Where the objects of a snapshot go.
pub(crate) struct Places {
    pub(crate) packs: Key,
    pub(crate) manifest: Key,
    pub(crate) boot: Key,
}

impl Places {
    /// The places of a snapshot of `owner`.
    pub(crate) fn of(owner: &Owner, lsn: Lsn, epoch: Epoch) -> Self {
        match owner {
            Owner::Branch { project, branch } => Self {
                packs: key::packs(project),
                manifest: key::manifest(project, branch, lsn, epoch),
                boot: key::boot(project, branch, lsn, epoch),
            },
            Owner::Template { template } => Self {
                packs: key::template_packs(template),
                manifest: key::template_manifest(template),
                boot: template_boot(template),
            },
        }
    }
}

/// The boot pack of a template: for a node that has no copy of it yet.
#[must_use]
pub fn template_boot(template: &str) -> Key {
    Key::from_store(&format!("{}/boot", key::template(template)))
}
