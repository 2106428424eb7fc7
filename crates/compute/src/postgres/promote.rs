//! Ending a recovery the fast way: by promotion.
//!
//! PostgreSQL ends a recovery in one of two ways. Out of WAL (`recovery.signal`) it writes a checkpoint first:
//! every page that the replay changed goes to the disk, and of a directory with holes all chunks with such pages
//! must be filled before. Promoted (`standby.signal` and this request) it writes one record, lets clients in and
//! makes the checkpoint afterwards, in no hurry; until that is done a crash replays the same WAL once more. What
//! is replayed is the same: the request counts when there is no more WAL.

use std::io;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

/// The file by which PostgreSQL is asked (`PROMOTE_SIGNAL_FILE`). It removes what an earlier run left when it
/// starts, so it must be there after that and before the signal.
pub const REQUEST: &str = "promote";

/// The file that makes PostgreSQL replay until it is promoted; gone when the replay has ended.
pub const RECOVERS: &str = "standby.signal";

/// Whether a cluster's recovery has not ended yet, or ended without having been promoted. Blocks.
#[must_use]
pub fn is_due(data: &Path) -> bool {
    data.join(RECOVERS).symlink_metadata().is_ok()
}

/// Lays out the request; the postmaster looks at it when it gets `SIGUSR1`. Blocks.
///
/// # Errors
/// When the directory cannot be written.
pub fn request(data: &Path) -> io::Result<()> {
    let dir_flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = rustix::fs::openat(CWD, data, dir_flags, Mode::empty())?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(&dir, REQUEST, flags, Mode::RUSR | Mode::WUSR) {
        // Whatever it is: PostgreSQL asks only whether something is there.
        Ok(_) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_can_be_repeated_and_follows_no_link() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_due(dir.path()));
        std::fs::write(dir.path().join(RECOVERS), "").unwrap();
        assert!(is_due(dir.path()));
        request(dir.path()).unwrap();
        request(dir.path()).unwrap();
        std::fs::remove_file(dir.path().join(REQUEST)).unwrap();
        let elsewhere = dir.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, dir.path().join(REQUEST)).unwrap();
        request(dir.path()).unwrap();
        assert!(!elsewhere.exists());
        assert!(request(&dir.path().join("none")).is_err());
    }
}
