//! Makes a directory of another one on this node, whose cluster is stopped. Files share their blocks where the
//! file system can (btrfs, XFS: `FICLONE`), else, if the caller likes, the kernel copies them.
//!
//! What is copied is what a clean snapshot of the source would contain ([`rules`](crate::snapshot::rules)),
//! and the pages of WAL with which such a snapshot starts: the clone is the source after a snapshot and a
//! restore, without the store in between. WAL is never shared: PostgreSQL relies on it that its segments have
//! their room on the disk. The source may be hostile and is read like a snapshot reads it; nothing in it may
//! change meanwhile.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use dormouse_runtime::failpoint;
use rustix::fs::{Timespec, Timestamps, UTIME_OMIT};

use super::RestoreError;
use super::tree::Tree;
use super::wal;
use crate::key::Key;
use crate::manifest::Directory;
use crate::snapshot::Left;
use crate::snapshot::scan::{Found, Root, Stamp};
use crate::snapshot::state::{Remembered, State};

/// The mode with which files are made; others are set.
const USUAL_MODE: u16 = 0o600;

/// What may be done where blocks cannot be shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Nothing: it is an error.
    Must,
    /// Bytes are copied.
    May,
}

/// How files were copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// Blocks are shared: it took little time and no space.
    Shared,
    /// Bytes were copied.
    Bytes,
}

/// A directory that was made.
#[derive(Debug)]
pub struct Cloned {
    /// How.
    pub copied: Copied,
    /// Each file, as it was in the source, and as it is in the clone.
    files: Vec<(Found, Stamp)>,
}

/// Makes `target`, which must not exist, of the stopped cluster in `source`, which was `left` like this. All of
/// it belongs to `owner` (user, group). Blocks.
///
/// # Errors
/// The first thing that could not be copied; what was copied so far stays for the caller to remove.
pub fn clone_directory(
    source: &Path,
    left: &Left,
    target: &Path,
    owner: Option<(u32, u32)>,
    sharing: Sharing,
) -> Result<Cloned, RestoreError> {
    failpoint::hit_blocking("restore.clone.before").map_err(RestoreError::Interrupted)?;
    let root = Root::open(source).map_err(RestoreError::Source)?;
    let listing = root.list().map_err(RestoreError::Source)?;
    let dirs: Vec<Directory> =
        listing.dirs.into_iter().map(|(path, mode)| Directory { path, mode }).collect();
    let tree = Tree::open(target, &dirs, false, owner)?;
    let mut copied = Copied::Shared;
    let mut files = Vec::with_capacity(listing.files.len());
    for found in listing.files {
        let failed = |e| tree.failed("copy", &found.path, e);
        let mut from = root.file(&found.path).map_err(failed)?;
        let mut to = tree.file(&found.path, true)?;
        if found.stamp.size > 0 {
            let how = copy(&mut from, &mut to, copied, sharing).map_err(failed)?;
            copied = how;
        }
        let stamp = finish(&to, &found).map_err(failed)?;
        if stamp.size != found.stamp.size {
            return Err(failed(io::Error::other("it changed while it was copied")));
        }
        files.push((found, stamp));
    }
    wal::write(&tree, left.timeline, &left.wal)?;
    failpoint::hit_blocking("restore.clone.after").map_err(RestoreError::Interrupted)?;
    Ok(Cloned { copied, files })
}

fn copy(from: &mut File, to: &mut File, so_far: Copied, sharing: Sharing) -> io::Result<Copied> {
    // One refusal tells for all: each of the two directories is in one file system.
    if so_far == Copied::Shared {
        match rustix::fs::ioctl_ficlone(&*to, &*from) {
            Ok(()) => return Ok(Copied::Shared),
            Err(errno) if sharing == Sharing::Must => return Err(errno.into()),
            Err(_) => {}
        }
    }
    // The standard library uses `copy_file_range` where it can.
    io::copy(from, to)?;
    Ok(Copied::Bytes)
}

/// Mode and time of change are those of the source: an old time shows later that the file was not touched.
fn finish(to: &File, found: &Found) -> io::Result<Stamp> {
    if found.mode != USUAL_MODE {
        to.set_permissions(fs::Permissions::from_mode(found.mode.into()))?;
    }
    let modified = found.stamp.modified;
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec {
            tv_sec: modified.div_euclid(1_000_000_000),
            tv_nsec: modified.rem_euclid(1_000_000_000),
        },
    };
    rustix::fs::futimens(to, &times)?;
    Stamp::look(to)
}

impl Cloned {
    /// Writes down for the clone what `state` says of the source since its snapshot `base`, so that the clone's
    /// first snapshot reads what differs from that, and nothing else. Blocks.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn remember(&self, base: &Key, state: &Path, target: &Path) -> Result<(), RestoreError> {
        let then = State::load(state, base).unwrap_or_default();
        let files: Vec<(&str, Remembered)> =
            self.files.iter().filter_map(|(found, stamp)| remembered(&then, found, *stamp)).collect();
        let written = State::save(target, base, files.into_iter());
        written.map_err(|source| RestoreError::File { what: "write", path: target.to_owned(), source })
    }
}

/// What is remembered of a file of the clone. One that the source changed since the snapshot is looked at again,
/// page by page if it is still the same file; one that the snapshot does not know is not remembered.
fn remembered<'a>(then: &State, found: &'a Found, stamp: Stamp) -> Option<(&'a str, Remembered)> {
    let (before, now) = (then.files.get(&found.path)?, &found.stamp);
    let is_unchanged = before.stamp.is_unchanged(now);
    if !is_unchanged && !before.stamp.is_same_file(now) {
        return None;
    }
    let racy = before.racy || !is_unchanged;
    Some((&found.path, Remembered { stamp, racy }))
}

/// Whether the file system that holds a directory can share blocks between files. Blocks.
#[must_use]
pub fn can_share(dir: &Path) -> bool {
    let (a, b) = (dir.join(".share-test.1"), dir.join(".share-test.2"));
    let tried = || -> io::Result<()> {
        fs::write(&a, [1; 4096])?;
        let (from, to) = (File::open(&a)?, File::create(&b)?);
        Ok(rustix::fs::ioctl_ficlone(&to, &from)?)
    };
    let can = tried().is_ok();
    for file in [a, b] {
        let _best_effort = fs::remove_file(file);
    }
    can
}

#[cfg(test)]
mod tests;
