//! Whether a directory with holes is still the one that was made.
//!
//! ```text
//!   cp -a data elsewhere     every file is another inode: none is "the planned one", and what was a hole is perhaps
//!                            written zeros now, or the other way round
//! ```
//!
//! A planned file that is another inode was dropped by PostgreSQL, and nothing is missing of it. Of a copy that would
//! be said of all files at once, and its zeros would be taken for data. So the directory itself is known by its inode,
//! and by the one file in it that PostgreSQL never replaces: what is another one is not filled, not started on and
//! not stored.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::beneath::{self, Identity};

/// Written when the cluster is made, and never again.
const NEVER_REPLACED: &str = "PG_VERSION";

/// What a directory is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Anchor {
    dir: Identity,
    /// `None`: there is no such file.
    version: Option<Identity>,
}

impl Anchor {
    /// Of an open data directory. Blocks.
    pub(super) fn of(data: &OwnedFd) -> io::Result<Self> {
        let version = match beneath::open_any(data, NEVER_REPLACED) {
            Ok((_, found)) => Some(found.identity),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { dir: beneath::look_at_dir(data)?, version })
    }

    /// Whether this is the same directory, on a device that may have got another number.
    pub(super) fn is(&self, other: &Self) -> bool {
        let version = match (&self.version, &other.version) {
            (Some(this), Some(other)) => this.same_inode(other),
            (None, None) => true,
            _ => false,
        };
        self.dir.same_inode(&other.dir) && version
    }
}
