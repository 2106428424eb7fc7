//! What an operator chooses about the ways of a node, and what the node finds that it can do.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use dormouse_storage::restore::Mode;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

/// Whether the directory of a new branch may be a clone of its stopped parent's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LocalClone {
    /// Where files can share blocks; then it takes little time and no space.
    #[default]
    Auto,
    /// Everywhere; where blocks cannot be shared, bytes are copied.
    Always,
    /// Never: every directory comes from the store.
    Never,
}

/// Where the WAL of running computes is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WalSource {
    /// In their files.
    #[default]
    Files,
    /// In a stream of physical replication, which is kept on this machine until it is filed.
    Stream,
}

/// All of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ways {
    /// How the directory of a new branch may be made.
    pub local_clone: LocalClone,
    /// How WAL is captured.
    pub wal_source: WalSource,
}

/// What was tried once and is remembered.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Whether files of two directories can share blocks.
    pub(super) shares: OnceCell<bool>,
    /// How directories of a version are made.
    pub(super) fronts: Mutex<HashMap<u16, Mode>>,
    /// Whether the file system of the directories tells where files have holes.
    pub(super) holes: OnceLock<bool>,
    /// Where the front is.
    pub(super) front: OnceLock<PathBuf>,
}
