//! Writes bytes into segment files. Blocking code, no tasks.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dormouse_base::lsn::WAL_SEGMENT;
use dormouse_base::{Lsn, Timeline};
use dormouse_runtime::failpoint;
use rustix::fs::OFlags;

/// Bytes that are looked at together.
const BLOCK: usize = 32 * 1024;

static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Segment files in the making.
#[derive(Debug)]
pub(super) struct Segments {
    dir: PathBuf,
    /// By the start of the segment.
    files: BTreeMap<Lsn, (PathBuf, File)>,
}

impl Segments {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), files: BTreeMap::new() }
    }

    /// Writes bytes of one segment.
    pub(super) fn write(&mut self, timeline: Timeline, at: Lsn, bytes: &[u8]) -> io::Result<()> {
        let start = at.segment_start();
        if !self.files.contains_key(&start) {
            failpoint::hit_blocking("wal.assemble.segment")?;
            let path = self.dir.join(timeline.segment_name(start));
            let flags = i32::try_from(OFlags::NOFOLLOW.bits()).expect("a flag is small");
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .custom_flags(flags)
                .open(&path)?;
            file.set_len(WAL_SEGMENT)?;
            self.files.insert(start, (path, file));
        }
        let (_, file) = &self.files[&start];
        let mut place = at.since(start);
        for block in bytes.chunks(BLOCK) {
            // The file is new: zeros are there already. Behind a switch they are most of a segment, and whoever
            // stores the directory would have to wait for them.
            if *block != ZEROS[..block.len()] {
                file.write_all_at(block, place)?;
            }
            place += block.len() as u64;
        }
        Ok(())
    }

    /// Reads back what was written.
    pub(super) fn read(&self, at: Lsn, bytes: &mut [u8]) -> io::Result<bool> {
        let Some((_, file)) = self.files.get(&at.segment_start()) else { return Ok(false) };
        file.read_exact_at(bytes, at.since(at.segment_start()))?;
        Ok(true)
    }

    /// Zeros everything from `end` on. Answers with the files that are left.
    pub(super) fn cut(mut self, end: Lsn) -> io::Result<Vec<PathBuf>> {
        failpoint::hit_blocking("wal.assemble.cut")?;
        for (_, (path, _)) in self.files.split_off(&end) {
            std::fs::remove_file(path)?;
        }
        if let Some((_, file)) = self.files.get(&end.segment_start()) {
            file.set_len(end.since(end.segment_start()))?;
            file.set_len(WAL_SEGMENT)?;
        }
        Ok(self.files.into_values().map(|(path, _)| path).collect())
    }
}
