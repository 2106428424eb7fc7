//! `postmaster.pid`, the file by which a postmaster tells the world about itself.
//!
//! ```text
//! line 1  process ID
//! line 2  data directory
//! line 3  start time (seconds since 1970)
//! line 4  port
//! line 5  first Unix socket directory
//! line 6  first listen address (may be empty)
//! line 7  shared memory key and segment ID, separated by blanks
//! line 8  status: starting, stopping, ready, standby (padded with blanks)
//! ```
//! (Source: PostgreSQL's `pidfile.h`.) The file outlives a killed postmaster, so nothing in it is
//! believed before the process itself was checked ([`crate::sandbox::process`]). The compute can
//! write it, too: whoever reads it must not be led elsewhere, kept waiting or fed without end.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};

/// No pid file is longer.
const MAX_LENGTH: u64 = 8 << 10;

/// The lines that matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PidFile {
    /// Line 1. Negative in a single-user server; those are not postmasters.
    pub pid: u32,
    /// Line 5.
    pub socket_dir: Option<PathBuf>,
    /// Line 7, second number.
    pub shm_segment: Option<i32>,
    /// Line 8.
    pub status: Option<String>,
}

impl PidFile {
    /// Reads the text of a pid file. It may be half-written; what is not there yet is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        let socket_dir = lines.nth(3).filter(|line| !line.is_empty()).map(PathBuf::from);
        let shm_segment = lines.nth(1).and_then(|l| l.split_whitespace().nth(1)?.parse().ok());
        let status = lines.next().map(|l| l.trim().to_owned()).filter(|s| !s.is_empty());
        Some(Self { pid, socket_dir, shm_segment, status })
    }

    /// Reads the pid file of a data directory.
    #[must_use]
    pub fn read(data: &Path) -> Option<Self> {
        Self::parse(&read_text(&data.join("postmaster.pid")).ok()?)
    }

    /// Whether it accepts connections: everybody's, or (`standby`) at least readers'.
    #[must_use]
    pub fn is_ready(&self, standby: bool) -> bool {
        match self.status.as_deref() {
            Some("ready") => true,
            Some("standby") => standby,
            _ => false,
        }
    }
}

/// Follows no link, waits for no pipe, and stops at [`MAX_LENGTH`].
fn read_text(path: &Path) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(CWD, path, flags, Mode::empty())?);
    let mut text = String::new();
    file.take(MAX_LENGTH).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_line_by_line() {
        let full = "4711\n/data\n1700000000\n5432\n/run/x\n\n  12345678        42\nready   \n";
        let parsed = PidFile::parse(full).unwrap();
        assert_eq!((parsed.pid, parsed.shm_segment), (4711, Some(42)));
        assert_eq!(parsed.socket_dir.as_deref(), Some(Path::new("/run/x")));
        assert!(parsed.is_ready(false));
        assert_eq!(PidFile::parse("4711\n/data\n").unwrap().status, None);
        assert_eq!(PidFile::parse("4711\n").unwrap().shm_segment, None);
        assert_eq!(PidFile::parse(""), None);
        assert_eq!(PidFile::parse("-4711\n"), None, "a single-user server");
    }

    #[test]
    fn a_hostile_file_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("postmaster.pid");
        std::fs::write(dir.path().join("other"), "4711\n").unwrap();
        std::os::unix::fs::symlink(dir.path().join("other"), &path).unwrap();
        assert_eq!(PidFile::read(dir.path()), None, "a link");
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(PidFile::read(dir.path()), None, "a pipe that nobody writes to");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, format!("4711\n{}", "x".repeat(100_000))).unwrap();
        assert_eq!(PidFile::read(dir.path()).unwrap().pid, 4711, "far too long");
    }
}
