//! Makes files: the part of a wake that the file system decides. Blocking.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::RestoreError;
use super::decide::Step;
use super::tree::Tree;
use crate::chunk::{self, CHUNK, ChunkRef};
use crate::manifest::Manifest;
use crate::pack::DataError;
use crate::pack::boot::BootPack;
use crate::pack::reader::{Wanted, expand};
use crate::snapshot::control_file;

/// Files that a thread takes at once. Neighbours share a directory, in which one thread works at a time.
const BATCH: usize = 64;

/// What the threads share.
pub(super) struct Making {
    pub(super) tree: Tree,
    pub(super) manifest: std::sync::Arc<Manifest>,
    pub(super) boot: std::sync::Arc<BootPack>,
    pub(super) steps: Vec<Step>,
    pub(super) next: AtomicUsize,
}

impl Making {
    /// One thread: takes steps until none is left. Tells the bytes written.
    pub(super) fn work(&self) -> Result<u64, RestoreError> {
        let mut written = 0;
        loop {
            let first = self.next.fetch_add(BATCH, Ordering::Relaxed);
            let Some(batch) = self.steps.get(first..) else { return Ok(written) };
            for step in batch.iter().take(BATCH) {
                written += self.step(step)?;
            }
        }
    }

    fn step(&self, step: &Step) -> Result<u64, RestoreError> {
        let Step::Write { file, exists, reset, boot, zeros } = step else { return Ok(0) };
        let (entry, mut written) = (&self.manifest.files[*file], 0);
        let target = self.tree.file(&entry.path, !exists)?;
        if *reset {
            target.set_len(0).map_err(|e| self.tree.failed("empty", &entry.path, e))?;
        }
        // Its size first: growing it later may write zeros where a file system has room prepared behind the end, and
        // what was a hole is data then. One that is written all through gets its size by that.
        let empty = !exists || *reset;
        let through = empty && boot.len() + zeros.len() == entry.chunks() as usize;
        if !through && (entry.size > 0 || !empty) {
            target.set_len(entry.size).map_err(|e| self.tree.failed("size", &entry.path, e))?;
        }
        for (chunk, at) in boot {
            let wanted = Wanted { at: at.clone(), plain: chunk::plain_len(entry.size, *chunk) };
            let stored = self.boot.stored(at.hash).ok_or_else(|| not_at_hand(at))?;
            let plain = expand(&wanted, stored).map_err(RestoreError::Data)?;
            self.write(&target, &entry.path, *chunk, &plain)?;
            written += plain.len() as u64;
        }
        for chunk in zeros {
            let plain = vec![0; chunk::plain_len(entry.size, *chunk) as usize];
            self.write(&target, &entry.path, *chunk, &plain)?;
            written += plain.len() as u64;
        }
        Ok(written)
    }

    fn write(&self, file: &File, path: &str, chunk: u32, plain: &[u8]) -> Result<(), RestoreError> {
        file.write_all_at(plain, u64::from(chunk) * CHUNK).map_err(|e| self.tree.failed("write", path, e))
    }

    /// Writes fetched chunks: file and chunk of each, and its stored bytes.
    pub(super) fn fetched(&self, chunks: &[(usize, u32, Wanted, bytes::Bytes)]) -> Result<u64, RestoreError> {
        let mut written = 0;
        let mut open: Option<(usize, File)> = None;
        for (number, chunk, wanted, stored) in chunks {
            let path = &self.manifest.files[*number].path;
            if open.as_ref().is_none_or(|(at, _)| at != number) {
                open = Some((*number, self.tree.file(path, false)?));
            }
            let Some((_, file)) = &open else { continue };
            let plain = expand(wanted, stored).map_err(RestoreError::Data)?;
            self.write(file, path, *chunk, &plain)?;
            written += plain.len() as u64;
        }
        Ok(written)
    }

    /// Writes the pages of WAL that a clean start reads.
    pub(super) fn wal(&self) -> Result<u64, RestoreError> {
        super::wal::write(&self.tree, self.manifest.header.timeline, &self.manifest.wal)
    }

    /// Writes the control file, the last of all: under its own name, or hidden while files have holes.
    pub(super) fn control(&self, plain: &[u8], hidden: bool) -> Result<(), RestoreError> {
        let path = if hidden { control_file::HIDDEN_PATH } else { control_file::PATH };
        self.tree.remove(control_file::HIDDEN_PATH)?;
        let there =
            if hidden { self.tree.rename(control_file::PATH, path)? } else { self.tree.exists(path)? };
        // All of it is overwritten: the bytes of the snapshot are as long as the file always is.
        let file = self.tree.file(path, !there)?;
        file.write_all_at(plain, 0).map_err(|e| self.tree.failed("write", path, e))
    }
}

/// A chunk that was in the boot pack when the steps were decided. Passed over, it would be read as zeros.
fn not_at_hand(at: &ChunkRef) -> RestoreError {
    RestoreError::Data(DataError::damaged(&at.pack, at.offset.into(), "the boot pack has it no more"))
}

/// What a manifest without a control file is.
pub(super) fn no_control(manifest: &crate::key::Key) -> RestoreError {
    RestoreError::Data(DataError::damaged(manifest, 0, "it has no control file"))
}
