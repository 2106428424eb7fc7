//! The compute's log: one file beside its data directory, written by PostgreSQL itself through an
//! inherited descriptor, bounded by emptying it when it has grown too large.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A log larger than this is emptied (its last part is kept as `postgres.log.1`).
pub const MAX_LOG: u64 = 8 << 20;

/// How much of the end is kept.
const KEPT: u64 = 1 << 20;

/// How much of the end is looked at for a tail.
const TAIL_WINDOW: u64 = 16 << 10;

/// How many lines a tail has at most.
pub const TAIL_LINES: usize = 20;

/// Opens the log for appending.
///
/// # Errors
/// When the file cannot be made.
pub fn open(path: &Path) -> io::Result<File> {
    bound(path);
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Empties a log that has grown too large. Safe while PostgreSQL appends to it.
pub fn bound(path: &Path) {
    if !path.metadata().is_ok_and(|meta| meta.len() > MAX_LOG) {
        return;
    }
    let emptied =
        keep_end(path).and_then(|()| OpenOptions::new().write(true).truncate(true).open(path).map(drop));
    if let Err(error) = emptied {
        tracing::warn!(path = %path.display(), %error, "cannot bound the log");
        // On a full disk the end cannot be kept, but room can be made.
        let _full = OpenOptions::new().write(true).truncate(true).open(path);
    }
}

/// Keeps the last part of a log as `postgres.log.1`.
fn keep_end(path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(KEPT)))?;
    let mut end = Vec::new();
    file.take(KEPT).read_to_end(&mut end)?;
    let mut kept = OpenOptions::new();
    let mut kept =
        kept.write(true).create(true).truncate(true).mode(0o600).open(path.with_extension("log.1"))?;
    kept.write_all(&end)
}

/// The last lines, for the operator. `since` is the size of the log when the run began.
#[must_use]
pub fn tail(path: &Path, since: u64) -> Vec<String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        // A log that was emptied meanwhile is shorter than it was.
        let start = length.saturating_sub(TAIL_WINDOW).max(if since <= length { since } else { 0 });
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(TAIL_WINDOW).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_of_this_run_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("postgres.log");
        std::fs::write(&path, "old\n").unwrap();
        let since = path.metadata().unwrap().len();
        std::fs::write(&path, "old\nnew 1\nnew 2\n").unwrap();
        assert_eq!(tail(&path, since), ["new 1", "new 2"]);
        assert_eq!(tail(&path, 1 << 30), ["old", "new 1", "new 2"]);
        assert!(tail(&dir.path().join("none"), 0).is_empty());
    }
}
