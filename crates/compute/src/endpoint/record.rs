//! `compute.json`: what the server remembers about a running compute, so that the next server can
//! adopt it. Nothing in it is believed before the process itself was checked.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::sandbox::process::Fingerprint;

/// The file, beside the data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The postmaster.
    pub(super) postmaster: Fingerprint,
    /// Its private socket directory.
    pub(super) socket_dir: PathBuf,
    /// Size of the log when the run began.
    pub(super) log_start: u64,
}

impl Record {
    fn path(dir: &Path) -> PathBuf {
        dir.join("compute.json")
    }

    /// Writes it whole or not at all. A lost record costs nothing but a fresh start, so no fsync.
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let partial = dir.join(".compute.json");
        // Whoever can read it knows the way to the compute's socket.
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        fs::rename(partial, Self::path(dir))
    }

    pub(super) fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(Self::path(dir)).ok()?).ok()
    }

    pub(super) fn remove(dir: &Path) {
        // Not there is what we want.
        let _absent = fs::remove_file(Self::path(dir));
    }
}
