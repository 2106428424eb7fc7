//! What a node remembers of one local directory: which branch it is a copy of, and which writer it is.
//!
//! ```text
//!             materialised                published                    evicted, or given to another branch
//!  (no file) ─────────────► epoch: none ───────────► epoch: some(n) ─────────────► (no file)
//! ```
//!
//! `<computes>/<endpoint>/resident.json` is written before the directory gets its name and removed before
//! the directory goes: a directory without it is a draft or a leftover and is never started. Between
//! *materialised* and *published* the writer is not in the branch's register yet; publishing happens while
//! PostgreSQL boots, before any client gets in. Until then nothing of the directory need be on the disk, so
//! neither is this file: what a machine that lost its power finds of it does not count
//! ([`Resident::is_whole`]), and the directory is made again. So it is with a copy that a later server finds at rest:
//! its file system may have been mounted again meanwhile, without what it had not written.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use dormouse_base::{BranchId, Epoch, Lsn, ProjectId, Timeline, rand};
use dormouse_runtime::failpoint;
use dormouse_storage::key::Key;
use serde::{Deserialize, Serialize};

/// The file's name beside the data directory.
const FILE: &str = "resident.json";

/// The same while it is being written.
const DRAFT: &str = ".resident.json";

/// Chunks of [`Resident::hot`]: each makes a start fetch and write up to 256 KiB.
const MAX_HOT: usize = 64;

/// Those of them that one start adds: what it read first.
const MAX_TOUCHED: usize = 24;

/// Tells one boot of the machine from another.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// Beside it: what the directory looked like at its last snapshot.
pub(crate) const SNAPSHOT_STATE: &str = "snapshot.state";

/// The version of this file's format.
const FORMAT: u32 = 1;

/// What the directory is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    /// The branch's writer.
    Write,
    /// A reader at one point.
    Read {
        /// The point; `None` = the head at the time it was made.
        pinned: Option<Lsn>,
    },
}

/// The content of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Resident {
    format: u32,
    /// The project.
    pub(crate) project: ProjectId,
    /// The storage ID of the branch.
    pub(crate) branch: BranchId,
    /// PostgreSQL major version.
    pub(crate) pg_major: u16,
    /// What it is for.
    pub(crate) purpose: Purpose,
    /// The writer's epoch, once the register knows it. Never for readers.
    pub(crate) epoch: Option<Epoch>,
    /// The newest epoch in the register when the directory was made: its predecessor.
    pub(crate) seen: Epoch,
    /// What its span in the register has; `None` in what earlier programs made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mark: Option<u32>,
    /// The timeline that it writes on.
    pub(crate) timeline: Timeline,
    /// Its first own byte.
    pub(crate) from: Lsn,
    /// The snapshot that the directory was made from or last stored as: the next one builds on it.
    pub(crate) base: Option<Key>,
    /// `redo` of that snapshot.
    pub(crate) base_redo: Lsn,
    /// `lsn` of that snapshot.
    pub(crate) base_lsn: Lsn,
    /// The snapshot that the directory was made from: its holes are filled from there.
    pub(crate) made_from: Option<Key>,
    /// The directory was made with holes; they are filled when the hydration says so.
    pub(crate) lazy: bool,
    /// Its writer's span may be closed in the register already: an eviction began to remove it. Written before
    /// that happens, so a directory that stays after all is known by it.
    #[serde(default)]
    pub(crate) leaving: bool,
    /// The boot of the machine in which the directory was made; empty when it is not known.
    #[serde(default)]
    made_in: String,
    /// Path and number of chunks that starts were seen to read, most wanted first: for the next snapshot.
    #[serde(default)]
    pub(crate) hot: Vec<(String, u32)>,
}

/// What a new directory is.
#[derive(Debug, Clone)]
pub(crate) struct Fresh {
    pub(crate) project: ProjectId,
    pub(crate) branch: BranchId,
    pub(crate) pg_major: u16,
    pub(crate) purpose: Purpose,
    pub(crate) seen: Epoch,
    pub(crate) timeline: Timeline,
    pub(crate) from: Lsn,
}

#[cfg(test)]
impl Fresh {
    /// A directory of the branch `br-a` that is to write, on timeline `seen` + 1 from `from` on.
    pub(crate) fn sample(seen: u32, from: u64) -> Self {
        Self {
            project: "p".parse().unwrap(),
            branch: "br-a".parse().unwrap(),
            pg_major: 18,
            purpose: Purpose::Write,
            seen: Epoch(seen),
            timeline: Timeline(seen + 1),
            from: Lsn(from),
        }
    }
}

impl Resident {
    /// A directory that was just made.
    pub(crate) fn new(fresh: Fresh, base: Option<(Key, Lsn, Lsn)>, lazy: bool) -> Self {
        let (base, base_redo, base_lsn) =
            base.map_or((None, Lsn::ZERO, Lsn::ZERO), |(key, redo, lsn)| (Some(key), redo, lsn));
        let Fresh { project, branch, pg_major, purpose, seen, timeline, from } = fresh;
        Self {
            format: FORMAT,
            project,
            branch,
            pg_major,
            purpose,
            epoch: None,
            seen,
            mark: Some(u32::from_le_bytes(rand::bytes())),
            timeline,
            from,
            made_from: base.clone(),
            base,
            base_redo,
            base_lsn,
            lazy,
            leaving: false,
            made_in: boot(),
            hot: Vec::new(),
        }
    }

    /// What starts were seen to read: what was asked for this time, first, and what came along because it was
    /// asked for earlier. What nobody asks for again is forgotten after some starts.
    pub(crate) fn hot_with(&self, touched: &[(String, u32)]) -> Vec<(String, u32)> {
        let mut seen = std::collections::HashSet::new();
        let all = touched.iter().take(MAX_TOUCHED).chain(&self.hot);
        all.filter(|chunk| seen.insert(*chunk)).take(MAX_HOT).cloned().collect()
    }

    /// Whether the directory is what it was made as. One that was not published is perhaps not on the disk, which
    /// shows only after the machine itself went down.
    pub(crate) fn is_whole(&self) -> bool {
        self.epoch.is_some() || (!self.made_in.is_empty() && self.made_in == boot())
    }

    /// What the register or the disk refused is not to be tried again as it is. For this server only, unless it is
    /// written: the register refuses the next one once more.
    pub(crate) fn forsake(&mut self) {
        self.made_in.clear();
    }

    /// Reads the file of an endpoint's home; `None` = there is no directory to speak of.
    ///
    /// # Errors
    /// When it is there and cannot be read or understood.
    pub(crate) fn read(home: &Path) -> io::Result<Option<Self>> {
        let path = home.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let resident: Self = serde_json::from_slice(&text).map_err(io::Error::other)?;
        if resident.format > FORMAT {
            return Err(io::Error::other(format!("{} was written by a newer version", path.display())));
        }
        Ok(Some(resident))
    }

    /// Writes the file, durably, in one step.
    ///
    /// # Errors
    /// When the disk refuses; the old file is still there then.
    pub(crate) fn write(&self, home: &Path) -> io::Result<()> {
        self.write_draft(home)?.sync_all()?;
        failpoint::hit_blocking("resident.write.rename")?;
        fs::rename(home.join(DRAFT), home.join(FILE))?;
        sync_dir(home)?;
        failpoint::hit_blocking("resident.write.after")
    }

    /// Writes the file of a directory that is not published, in one step that the machine may forget.
    ///
    /// # Errors
    /// When the disk refuses; the old file is still there then.
    pub(crate) fn note(&self, home: &Path) -> io::Result<()> {
        self.write_draft(home)?;
        failpoint::hit_blocking("resident.write.rename")?;
        fs::rename(home.join(DRAFT), home.join(FILE))
    }

    fn write_draft(&self, home: &Path) -> io::Result<fs::File> {
        failpoint::hit_blocking("resident.write.before")?;
        let mut draft = fs::OpenOptions::new();
        let mut file = draft.write(true).create(true).truncate(true).mode(0o600).open(home.join(DRAFT))?;
        file.write_all(&serde_json::to_vec(self).map_err(io::Error::other)?)?;
        Ok(file)
    }

    /// Removes the file, durably: from now on the directory is a leftover.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn remove(home: &Path) -> io::Result<()> {
        match fs::remove_file(home.join(FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ if !home.exists() => Ok(()),
            _ => sync_dir(home),
        }
    }

    /// Whether the directory writes.
    pub(crate) fn writes(&self) -> bool {
        self.purpose == Purpose::Write
    }
}

/// Whether an endpoint's home has a directory to speak of.
pub(crate) fn is_in(home: &Path) -> bool {
    home.join(FILE).exists()
}

/// The machine's current boot; empty where the kernel does not tell.
fn boot() -> String {
    fs::read_to_string(BOOT).map(|text| text.trim().to_owned()).unwrap_or_default()
}

fn sync_dir(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// The cluster below an endpoint's home.
pub(crate) fn data_of(home: &Path) -> PathBuf {
    home.join("data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Resident::read(dir.path()).unwrap(), None);
        let resident = Resident::new(
            Fresh { purpose: Purpose::Read { pinned: Some(Lsn(7)) }, ..Fresh::sample(1, 16) },
            None,
            true,
        );
        resident.write(dir.path()).unwrap();
        assert_eq!(Resident::read(dir.path()).unwrap(), Some(resident));
        Resident::remove(dir.path()).unwrap();
        Resident::remove(dir.path()).unwrap();
        assert_eq!(Resident::read(dir.path()).unwrap(), None);
    }

    #[test]
    fn an_unpublished_directory_does_not_survive_the_machine() {
        let dir = tempfile::tempdir().unwrap();
        let mut resident = Resident::new(Fresh::sample(1, 16), None, true);
        resident.note(dir.path()).unwrap();
        assert_eq!(Resident::read(dir.path()).unwrap(), Some(resident.clone()));
        assert!(resident.is_whole());
        resident.made_in = "another".to_owned();
        assert!(!resident.is_whole());
        resident.made_in.clear();
        assert!(!resident.is_whole());
        resident.epoch = Some(Epoch(2));
        assert!(resident.is_whole());
    }

    #[test]
    fn what_starts_read_is_remembered_for_a_while() {
        let chunks = |names: std::ops::Range<u32>| names.map(|n| ("f".to_owned(), n)).collect::<Vec<_>>();
        let mut resident = Resident::new(Fresh::sample(1, 16), None, true);
        resident.hot = resident.hot_with(&chunks(0..100));
        assert_eq!(resident.hot, chunks(0..MAX_TOUCHED as u32));
        // Asked for again: once in the list, at its head.
        resident.hot = resident.hot_with(&chunks(5..6));
        assert_eq!((resident.hot[0].1, resident.hot.len()), (5, MAX_TOUCHED));
        for n in 1..10 {
            resident.hot = resident.hot_with(&chunks(n * 1000..n * 1000 + 20));
        }
        assert_eq!(resident.hot.len(), MAX_HOT);
        assert!(!resident.hot.contains(&("f".to_owned(), 5)));
    }

    #[test]
    fn a_file_of_the_future_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), r#"{"format":2}"#).unwrap();
        assert!(Resident::read(dir.path()).is_err());
    }
}
