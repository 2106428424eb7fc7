//! The few pages of WAL with which a cleanly stopped cluster starts, as segment files.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use dormouse_base::Timeline;
use dormouse_base::lsn::WAL_SEGMENT;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::RestoreError;
use super::tree::Tree;
use crate::manifest::WalPages;

/// Writes pages as whole segment files. Tells the bytes of the pages.
pub(super) fn write(tree: &Tree, timeline: Timeline, wal: &[WalPages]) -> Result<u64, RestoreError> {
    let mut written = 0;
    for pages in wal {
        written += run(tree, timeline, pages)?;
    }
    Ok(written)
}

fn run(tree: &Tree, timeline: Timeline, pages: &WalPages) -> Result<u64, RestoreError> {
    let (mut at, mut rest) = (pages.at, pages.bytes.as_slice());
    while !rest.is_empty() {
        let path = format!("pg_wal/{}", timeline.segment_name(at));
        let inside = at.since(at.segment_start());
        let len = rest.len().min(usize::try_from(WAL_SEGMENT - inside).unwrap_or(usize::MAX));
        let file = match tree.file(&path, true) {
            Err(RestoreError::File { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                tree.file(&path, false)?
            }
            other => other?,
        };
        let failed = |e| tree.failed("write", &path, e);
        file.write_all_at(&rest[..len], inside).map_err(failed)?;
        // Not sparse: PostgreSQL goes on in it, and a full disk is a PANIC there.
        allocate(&file).map_err(failed)?;
        (at, rest) = (at.plus(len as u64), &rest[len..]);
    }
    Ok(pages.bytes.len() as u64)
}

/// Gives a segment its size, with the room it needs on the disk where the file system can promise that.
fn allocate(file: &File) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, WAL_SEGMENT) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(WAL_SEGMENT),
        other => Ok(other?),
    }
}
