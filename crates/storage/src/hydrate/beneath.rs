//! Opening files in a directory that belongs to somebody hostile: never through a link, never outside, and only
//! the inode that was planned.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// Names one inode for ever: its number may be used again, but not with the same time of birth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) born: i64,
    pub(super) born_nanos: u32,
}

impl Identity {
    /// Whether it is the same inode, on a device that may have got another number at a boot.
    pub(super) fn same_inode(&self, other: &Self) -> bool {
        (self.ino, self.born, self.born_nanos) == (other.ino, other.born, other.born_nanos)
    }
}

/// What is behind a descriptor.
pub(super) struct Found {
    pub(super) identity: Identity,
    pub(super) size: u64,
}

/// Why a planned file cannot be opened.
pub(super) enum Missing {
    /// No path leads to it any more.
    Gone,
    /// Anything else.
    Failed(io::Error),
}

const RESOLVE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Opens a directory by its own path, which is the server's.
pub(super) fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}

/// Opens a directory below the data directory.
pub(super) fn open_dir_beneath(data: &OwnedFd, path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat2(data, path, flags, Mode::empty(), RESOLVE)?)
}

/// What is behind a descriptor, when it is a regular file.
pub(super) fn look(fd: impl AsFd) -> io::Result<Found> {
    let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    let stat = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, mask)?;
    if FileType::from_raw_mode(u32::from(stat.stx_mode)) != FileType::RegularFile {
        // The nearest that the system has for "not what was planned"; `open` takes it as gone.
        return Err(Errno::ISDIR.into());
    }
    Ok(Found { identity: identity_of(&stat), size: stat.stx_size })
}

/// The identity of a directory.
pub(super) fn look_at_dir(fd: impl AsFd) -> io::Result<Identity> {
    let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    Ok(identity_of(&rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, mask)?))
}

fn identity_of(stat: &Statx) -> Identity {
    let has_birth = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
    let (born, born_nanos) = if has_birth { (stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec) } else { (0, 0) };
    let dev = u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor);
    Identity { dev, ino: stat.stx_ino, born, born_nanos }
}

/// Opens a regular file below the data directory for writing, whoever it is.
pub(super) fn open_any(data: &OwnedFd, path: &str) -> io::Result<(File, Found)> {
    // Without NONBLOCK a pipe put in its place would hold us.
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let fd = rustix::fs::openat2(data, path, flags, Mode::empty(), RESOLVE)?;
    let found = look(&fd)?;
    Ok((File::from(fd), found))
}

/// Opens the planned file for writing.
pub(super) fn open(data: &OwnedFd, path: &str, planned: &Identity) -> Result<(File, Found), Missing> {
    match open_any(data, path) {
        Ok((file, found)) if found.identity.same_inode(planned) => Ok((file, found)),
        Ok(_) => Err(Missing::Gone),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ISDIR | Errno::XDEV | Errno::NXIO) => {
                Err(Missing::Gone)
            }
            _ => Err(Missing::Failed(error)),
        },
    }
}
