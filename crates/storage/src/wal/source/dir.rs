//! A compute's `pg_wal`, read by somebody who does not trust it.
//!
//! The directory belongs to the compute: names may be links, pipes, or files that change while they are read.
//! It is opened beneath the data directory without following links, only plain files are read, and each read
//! ends by looking whether the name still means the same file: PostgreSQL *renames* a segment before it uses
//! it again, so bytes read before the rename are the right ones.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use dormouse_base::lsn::WAL_SEGMENT;
use dormouse_base::{Lsn, Timeline};
use dormouse_runtime::failpoint;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, openat2, statat};

/// Names that are looked at when the oldest segment is sought.
const MAX_NAMES: usize = 200_000;

/// An open `pg_wal`.
#[derive(Debug)]
pub struct WalDir {
    dir: OwnedFd,
}

/// What shows that a segment was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// Which file it is; 0 = there is none.
    pub inode: u64,
    /// When it changed, nanoseconds since 1970.
    pub modified: i128,
}

impl WalDir {
    /// Opens `pg_wal` of a data directory. The path to the data directory itself must be trusted.
    ///
    /// # Errors
    /// When it is not a directory, or reached through a link.
    pub fn open(data: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let root = rustix::fs::openat(CWD, data, flags, Mode::empty())?;
        Ok(Self { dir: openat2(&root, "pg_wal", flags, Mode::empty(), beneath())? })
    }

    /// What the segment that holds `lsn` looks like from outside.
    #[must_use]
    pub fn mark(&self, timeline: Timeline, lsn: Lsn) -> Mark {
        let stat = statat(&self.dir, timeline.segment_name(lsn), AtFlags::SYMLINK_NOFOLLOW);
        stat.map(|stat| Mark {
            inode: stat.st_ino,
            modified: i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec),
        })
        .unwrap_or_default()
    }

    /// Reads from `from` on, at most `max` bytes and never beyond the segment. `None`: no such segment.
    ///
    /// # Errors
    /// When it is no plain file of the right size, or cannot be read.
    pub fn read(&self, timeline: Timeline, from: Lsn, max: usize) -> io::Result<Option<Vec<u8>>> {
        let name = timeline.segment_name(from);
        // NONBLOCK: opening a pipe would wait for its writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = match openat2(&self.dir, &name, flags, Mode::empty(), beneath()) {
            Ok(file) => file,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stat = fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::other(format!("{name} is not a plain file")));
        }
        let offset = from.since(from.segment_start());
        let room = usize::try_from(WAL_SEGMENT - offset).expect("a segment is small");
        let mut bytes = vec![0; max.min(room)];
        let mut got = 0;
        while got < bytes.len() {
            let read = rustix::io::pread(&file, &mut bytes[got..], offset + got as u64)?;
            if read == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{name} is too short")));
            }
            got += read;
        }
        Ok((self.mark(timeline, from).inode == stat.st_ino).then_some(bytes))
    }

    /// Makes the segments that hold `from`..`to` durable, and their names. Segments that are gone are passed over. Blocks.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self, timeline: Timeline, from: Lsn, to: Lsn) -> io::Result<()> {
        failpoint::hit_blocking("wal.rest.sync")?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut at = from.segment_start();
        while at < to {
            match openat2(&self.dir, timeline.segment_name(at), flags, Mode::empty(), beneath()) {
                Ok(file) => rustix::fs::fdatasync(&file)?,
                Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
            at = at.plus(WAL_SEGMENT);
        }
        Ok(rustix::fs::fsync(&self.dir)?)
    }

    /// The start of the oldest segment of a timeline that begins behind `after`.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn oldest_behind(&self, timeline: Timeline, after: Lsn) -> io::Result<Option<Lsn>> {
        let mut oldest = None;
        for entry in Dir::read_from(&self.dir)?.take(MAX_NAMES) {
            let entry = entry?;
            let start = entry.file_name().to_str().ok().and_then(|name| segment_start(timeline, name));
            if let Some(start) = start.filter(|start| *start > after) {
                oldest = Some(oldest.map_or(start, |found: Lsn| found.min(start)));
            }
        }
        Ok(oldest)
    }
}

fn beneath() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS
}

/// Reads the name of a segment file.
fn segment_start(timeline: Timeline, name: &str) -> Option<Lsn> {
    let number = |range: std::ops::Range<usize>| u64::from_str_radix(name.get(range)?, 16).ok();
    let per_id = 0x1_0000_0000 / WAL_SEGMENT;
    let (id, low) = (number(8..16)?, number(16..24)?);
    let start = Lsn(id.checked_mul(per_id)?.checked_add(low)?.checked_mul(WAL_SEGMENT)?);
    (timeline.segment_name(start) == name).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let at = Lsn(0x2_FF00_0000);
        let name = Timeline(3).segment_name(at);
        assert_eq!(segment_start(Timeline(3), &name), Some(at));
        assert_eq!(segment_start(Timeline(2), &name), None);
        for bad in
            ["", "00000003", "00000002.history", &format!("{name}.partial"), "0000000300000002000001FF"]
        {
            assert_eq!(segment_start(Timeline(3), bad), None, "{bad}");
        }
    }

    #[test]
    fn links_and_pipes_and_short_files_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let wal = root.path().join("pg_wal");
        std::fs::create_dir(&wal).unwrap();
        let one = Timeline(1);
        let name = |n: u64| wal.join(one.segment_name(Lsn(n * WAL_SEGMENT)));
        std::fs::write(root.path().join("secret"), vec![1; 1 << 24]).unwrap();
        std::os::unix::fs::symlink("../secret", name(1)).unwrap();
        rustix::fs::mknodat(CWD, name(2), FileType::Fifo, Mode::RUSR, 0).unwrap();
        std::fs::write(name(3), b"short").unwrap();
        std::fs::write(name(5), vec![7; 1 << 24]).unwrap();
        let dir = WalDir::open(root.path()).unwrap();
        for bad in 1..=3 {
            assert!(dir.read(one, Lsn(bad * WAL_SEGMENT), 100).is_err(), "{bad}");
        }
        assert_eq!(dir.read(one, Lsn(4 * WAL_SEGMENT), 9).unwrap(), None);
        assert_eq!(dir.oldest_behind(one, Lsn(4 * WAL_SEGMENT)).unwrap(), Some(Lsn(5 * WAL_SEGMENT)));
        // What is gone was made durable by whoever wrote it; what is there is looked at with the same suspicion.
        dir.sync(one, Lsn(4 * WAL_SEGMENT + 9), Lsn(6 * WAL_SEGMENT)).unwrap();
        dir.sync(one, Lsn(WAL_SEGMENT), Lsn(WAL_SEGMENT + 9)).unwrap_err();
        let last = Lsn(6 * WAL_SEGMENT - 3);
        assert_eq!(dir.read(one, last, 9).unwrap(), Some(vec![7; 3]));
        let link = root.path().join("link");
        std::os::unix::fs::symlink(root.path(), &link).unwrap();
        assert!(WalDir::open(&link).is_err());
        std::fs::rename(&wal, root.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", &wal).unwrap();
        assert!(WalDir::open(root.path()).is_err());
    }
}
