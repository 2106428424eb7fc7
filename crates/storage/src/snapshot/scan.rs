//! Lists a cluster's directory, which belongs to somebody who may be hostile.
//!
//! Everything is opened *beneath* the directory with `openat2` (no links, no way out, no magic), nothing
//! but plain files is opened at all, and every number has a limit. A symbolic link is an error with a clear
//! text, not something to skip: it means that data lies elsewhere and would be missing.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags, StatxTimestamp};
use rustix::io::Errno;

use super::error::SnapshotError;
use super::rules::{self, Verdict};
use crate::manifest::{MAX_ENTRIES, MAX_PATH};

/// Directories inside of each other; PostgreSQL has three.
const MAX_DEPTH: usize = 12;

/// How often an open is tried again when a rename elsewhere disturbed it.
const OPEN_TRIES: usize = 16;

/// What is asked of a file.
const WANTED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);

/// A cluster's directory, opened once.
pub(crate) struct Root {
    fd: OwnedFd,
}

/// What identifies the content of a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) size: u64,
    pub(crate) inode: u64,
    /// Nanoseconds since 1970. The owner can set this one …
    pub(crate) modified: i64,
    /// … but not this one.
    pub(crate) changed: i64,
    /// When the inode was made, where the file system tells; states that earlier releases wrote do not.
    pub(crate) born: Option<i64>,
}

/// A file that was found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) path: String,
    pub(crate) mode: u16,
    pub(crate) stamp: Stamp,
    pub(crate) verdict: Verdict,
}

/// All that belongs to a snapshot, by path.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) dirs: Vec<(String, u16)>,
    pub(crate) files: Vec<Found>,
}

impl Stamp {
    pub(crate) fn of(stat: &Statx) -> Self {
        let nanos =
            |at: StatxTimestamp| at.tv_sec.wrapping_mul(1_000_000_000).wrapping_add(i64::from(at.tv_nsec));
        let has_birth = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
        Self {
            size: stat.stx_size,
            inode: stat.stx_ino,
            modified: nanos(stat.stx_mtime),
            changed: nanos(stat.stx_ctime),
            born: has_birth.then(|| nanos(stat.stx_btime)),
        }
    }

    /// The stamp of an open file.
    pub(crate) fn look(file: &File) -> io::Result<Self> {
        Ok(Self::of(&rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, WANTED)?))
    }

    /// Whether nothing was written since: nobody can set the time of change back.
    pub(crate) fn is_unchanged(&self, now: &Self) -> bool {
        let one_birth = self.born.is_none() || now.born.is_none() || self.born == now.born;
        one_birth && Self { born: None, ..*self } == Self { born: None, ..*now }
    }

    /// Whether it is the same file for certain. The number of its inode alone does not say so: it may be used again.
    pub(crate) fn is_same_file(&self, now: &Self) -> bool {
        self.inode == now.inode && self.born.is_some() && self.born == now.born
    }
}

impl Root {
    pub(crate) fn open(path: &Path) -> Result<Self, SnapshotError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty());
        let fd = fd.map_err(|e| SnapshotError::file("open", &path.display().to_string(), e.into()))?;
        Ok(Self { fd })
    }

    /// Opens a plain file for reading.
    pub(crate) fn file(&self, path: &str) -> io::Result<File> {
        let fd = beneath(&self.fd, path, OFlags::RDONLY | OFlags::NONBLOCK)?;
        let stat = rustix::fs::fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("it is not a plain file"));
        }
        Ok(File::from(fd))
    }

    /// Lists everything that belongs to a snapshot.
    pub(crate) fn list(&self) -> Result<Listing, SnapshotError> {
        let mut listing = Listing::default();
        let mut open = vec![String::new()];
        while let Some(dir) = open.pop() {
            self.list_one(&dir, &mut listing, &mut open)?;
        }
        listing.dirs.sort();
        listing.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(listing)
    }

    fn list_one(&self, dir: &str, out: &mut Listing, open: &mut Vec<String>) -> Result<(), SnapshotError> {
        let name = if dir.is_empty() { "." } else { dir };
        let fd = match beneath(&self.fd, name, OFlags::RDONLY | OFlags::DIRECTORY) {
            // A database may be dropped while we look.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !dir.is_empty() => return Ok(()),
            other => other.map_err(|e| SnapshotError::file("open", name, e))?,
        };
        let listing = |errno: Errno| SnapshotError::file("list", name, errno.into());
        for entry in Dir::read_from(&fd).map_err(listing)? {
            let entry = entry.map_err(listing)?;
            let raw = entry.file_name().to_bytes();
            if raw == b"." || raw == b".." {
                continue;
            }
            let path = join(dir, raw)?;
            let stat = match rustix::fs::statx(&fd, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW, WANTED) {
                Err(Errno::NOENT) => continue,
                other => other.map_err(|e| SnapshotError::file("look at", &path, e.into()))?,
            };
            self.take(path, &stat, out, open)?;
            if out.dirs.len() + out.files.len() > MAX_ENTRIES {
                return Err(SnapshotError::Limit { what: "files", limit: MAX_ENTRIES });
            }
        }
        Ok(())
    }

    fn take(
        &self,
        path: String,
        stat: &Statx,
        out: &mut Listing,
        open: &mut Vec<String>,
    ) -> Result<(), SnapshotError> {
        if path.starts_with("pg_tblspc/") {
            return Err(SnapshotError::Tablespace { path });
        }
        let mode = stat.stx_mode & 0o777;
        match FileType::from_raw_mode(u32::from(stat.stx_mode)) {
            FileType::Directory if rules::keeps_directory(&path) => {
                if path.split('/').count() > MAX_DEPTH {
                    return Err(SnapshotError::Limit {
                        what: "directories inside of each other",
                        limit: MAX_DEPTH,
                    });
                }
                open.push(path.clone());
                out.dirs.push((path, mode));
            }
            FileType::Directory => {}
            FileType::RegularFile => match rules::verdict(&path) {
                // In an incomplete directory the control file has another name.
                Verdict::LeftOut if path == super::control_file::HIDDEN_PATH => {
                    let path = super::control_file::PATH.to_owned();
                    out.files.push(Found { path, mode, stamp: Stamp::of(stat), verdict: Verdict::Other });
                }
                Verdict::LeftOut => {}
                verdict => out.files.push(Found { path, mode, stamp: Stamp::of(stat), verdict }),
            },
            kind => return Err(SnapshotError::Special { path, kind: kind_name(kind) }),
        }
        Ok(())
    }
}

fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::Symlink => "a symbolic link",
        FileType::Socket => "a socket",
        FileType::Fifo => "a pipe",
        _ => "a device",
    }
}

fn join(dir: &str, name: &[u8]) -> Result<String, SnapshotError> {
    let shown = String::from_utf8_lossy(name);
    let bad =
        |what| SnapshotError::Name { dir: dir.to_owned(), name: shown.chars().take(80).collect(), what };
    let name = std::str::from_utf8(name).map_err(|_| bad("is not UTF-8"))?;
    let path = if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
    if path.len() > MAX_PATH { Err(bad("is too long")) } else { Ok(path) }
}

fn beneath(root: impl AsFd, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let mut tries = 0;
    loop {
        match rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) if tries < OPEN_TRIES => tries += 1,
            other => return other.map_err(io::Error::from),
        }
    }
}
