//! One chunk: fetched once however many ask, written into the hole it belongs to, then declared present.
//!
//! The fetch runs outside the file's lock, so a slow store does not hold up a truncation; what is written is
//! decided under it. Only holes are written, block by block: after a crash a chunk may be there in part, and what
//! is there may be newer than the original. So a file system must tell exactly where holes are ([`maps_holes`]).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use dormouse_base::{rand, with_causes};
use dormouse_runtime::failpoint::{hit, hit_blocking};
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use tokio::sync::watch;

use super::beneath::{self, Missing};
use super::filler::Filler;
use super::source::SourceError;
use crate::chunk::CHUNK;

/// Attempts to fetch a chunk before those who wait get an error.
const FETCH_ATTEMPTS: u32 = 4;
/// Before the second attempt; four times longer before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// One attempt.
const FETCH_WITHIN: Duration = Duration::from_secs(20);

/// Why a chunk is still absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfilled {
    /// No disk space.
    Full,
    /// The file is gone.
    Gone,
    /// The bytes could not be had or written.
    Failed,
    /// This server is stopping; another will answer.
    Stopping,
}

impl Unfilled {
    /// What a disk's error means for PostgreSQL.
    pub(super) fn of(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(Errno::NOSPC | Errno::DQUOT) => Self::Full,
            _ => Self::Failed,
        }
    }
}

pub(super) type FillResult = Result<(), Unfilled>;

/// Takes a flight off the list however it ends.
struct Landing<'a>(&'a Filler, (u32, u32));

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.0.flights.lock().remove(&self.1);
    }
}

impl Filler {
    /// Makes a chunk present.
    pub(super) async fn fill(self: &Arc<Self>, file: u32, chunk: u32) -> FillResult {
        let sparse = &self.files[file as usize];
        if sparse.present(chunk) {
            return Ok(());
        }
        if sparse.gone.load(Ordering::Acquire) {
            return Err(Unfilled::Gone);
        }
        let mut landing = self.join(file, chunk);
        match landing.wait_for(Option::is_some).await {
            Ok(result) => result.unwrap_or(Err(Unfilled::Failed)),
            Err(_ended) => Err(Unfilled::Stopping),
        }
    }

    /// The chunk's flight; starts one when there is none.
    fn join(self: &Arc<Self>, file: u32, chunk: u32) -> watch::Receiver<Option<FillResult>> {
        let mut flights = self.flights.lock();
        if let Some(flight) = flights.get(&(file, chunk)) {
            return flight.clone();
        }
        let (sender, receiver) = watch::channel(None);
        flights.insert((file, chunk), receiver.clone());
        let filler = Arc::clone(self);
        self.scope.spawn("fill", async move {
            let landing = Landing(&filler, (file, chunk));
            let stopping = filler.scope.token();
            let result = tokio::select! {
                result = filler.fill_once(file, chunk) => result,
                () = stopping.cancelled() => Err(Unfilled::Stopping),
            };
            drop(landing);
            let _nobody_waits = sender.send(Some(result));
        });
        receiver
    }

    async fn fill_once(self: &Arc<Self>, file: u32, chunk: u32) -> FillResult {
        let bytes = self.fetch(file, chunk).await?;
        let order = Arc::clone(&self.files[file as usize].order).read_owned().await;
        let filler = Arc::clone(self);
        // The lock goes with the work: if we are cancelled, the write still ends before a truncation begins.
        let work = move || {
            let _order = order;
            filler.write(file, chunk, &bytes)
        };
        self.scope.blocking(work).await
    }

    async fn fetch(&self, file: u32, chunk: u32) -> Result<Bytes, Unfilled> {
        let path = &self.files[file as usize].path;
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=FETCH_ATTEMPTS {
            if hit("hydrate.fill.before_fetch").await.is_err() {
                return Err(Unfilled::Failed);
            }
            match tokio::time::timeout(FETCH_WITHIN, self.source.chunk(file, chunk)).await {
                Ok(Ok(bytes)) if bytes.len() as u64 == self.files[file as usize].len_of(chunk) => {
                    return Ok(bytes);
                }
                Ok(Ok(bytes)) => {
                    tracing::error!(path, chunk, len = bytes.len(), "a chunk has the wrong length");
                    return Err(Unfilled::Failed);
                }
                Ok(Err(SourceError::DiskFull(_))) => return Err(Unfilled::Full),
                Ok(Err(error @ SourceError::Permanent(_))) => {
                    tracing::error!(path, chunk, error = with_causes(&error), "a chunk cannot be filled");
                    return Err(Unfilled::Failed);
                }
                Ok(Err(error)) => {
                    tracing::warn!(path, chunk, attempt, error = with_causes(&error), "a chunk is late");
                }
                Err(_late) => tracing::warn!(path, chunk, attempt, "a chunk is late"),
            }
            if attempt < FETCH_ATTEMPTS {
                tokio::time::sleep(pause).await;
                pause *= 4;
            }
        }
        Err(Unfilled::Failed)
    }

    /// Writes the chunk into its holes and sets its bit. Blocks. The caller holds the file's lock.
    fn write(&self, file: u32, chunk: u32, bytes: &[u8]) -> FillResult {
        let sparse = &self.files[file as usize];
        if sparse.present(chunk) {
            return Ok(());
        }
        let (target, found) = match beneath::open(&self.data, &sparse.path, &sparse.identity) {
            Ok(open) => open,
            Err(Missing::Gone) => {
                self.mark_gone(file);
                return Err(Unfilled::Gone);
            }
            Err(Missing::Failed(error)) => return Err(self.refused(&sparse.path, &error)),
        };
        let begin = u64::from(chunk) * CHUNK;
        let end = (begin + bytes.len() as u64).min(sparse.watermark.load(Ordering::Acquire)).min(found.size);
        let written = self.write_holes(&target, begin, end, bytes).and_then(|written| {
            hit_blocking("hydrate.fill.before_bit")?;
            let left = self.presence.set(file as usize, sparse, chunk)?;
            hit_blocking("hydrate.fill.after_bit")?;
            if left == Some(0) {
                self.publish_flags(file);
                self.news.notify_one();
            }
            Ok(written)
        });
        match written {
            Ok(written) => {
                self.metrics.bytes.inc_by(written);
                self.filled.fetch_add(written, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => Err(self.refused(&sparse.path, &error)),
        }
    }

    fn write_holes(&self, target: &File, begin: u64, end: u64, bytes: &[u8]) -> io::Result<u64> {
        let mut written = 0;
        for (from, to) in holes(target, begin, end)? {
            hit_blocking("hydrate.fill.before_write")?;
            let part = &bytes[(from - begin) as usize..(to - begin) as usize];
            target.write_all_at(part, from)?;
            written += to - from;
            hit_blocking("hydrate.fill.after_write")?;
        }
        Ok(written)
    }

    fn refused(&self, path: &str, error: &io::Error) -> Unfilled {
        let unfilled = Unfilled::of(error);
        if unfilled == Unfilled::Failed {
            tracing::error!(path, data = %self.place.data.display(), %error, "a chunk cannot be written");
        }
        unfilled
    }
}

/// The holes of a file between two places, by the file system's own map.
pub(super) fn holes(file: &File, begin: u64, end: u64) -> io::Result<Vec<(u64, u64)>> {
    let seek = |to| match rustix::fs::seek(file, to) {
        Ok(at) => Ok(at.min(end)),
        // Nothing but a hole up to the end of the file.
        Err(Errno::NXIO) => Ok(end),
        Err(error) => Err(io::Error::from(error)),
    };
    let mut found = Vec::new();
    let mut at = begin;
    while at < end {
        let hole = seek(SeekFrom::Hole(at))?;
        if hole >= end {
            break;
        }
        at = seek(SeekFrom::Data(hole))?;
        found.push((hole, at));
    }
    Ok(found)
}

/// Whether the file system of a directory tells exactly where a file has holes. Some answer that there are none (NFS
/// before 4.2, 9p, vfat). Blocks.
///
/// # Errors
/// When a file cannot be made there.
pub fn maps_holes(dir: &Path) -> io::Result<bool> {
    let file = tempfile_in(dir)?;
    file.set_len(3 * CHUNK)?;
    file.write_all_at(&[1; 4096], CHUNK + CHUNK / 2)?;
    let found = holes(&file, 0, 3 * CHUNK)?;
    let (data, end) = ((CHUNK + CHUNK / 2, CHUNK + CHUNK / 2 + 4096), 3 * CHUNK);
    let [(first, upto), (from, last)] = found[..] else { return Ok(false) };
    Ok(first == 0 && (CHUNK..=data.0).contains(&upto) && (data.1..=2 * CHUNK).contains(&from) && last == end)
}

/// A file that has no name any more.
fn tempfile_in(dir: &Path) -> io::Result<File> {
    let path = dir.join(format!(".holes-{:032x}", u128::from_ne_bytes(rand::bytes())));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_a_map_of_holes_is_known() {
        assert!(maps_holes(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap());
        assert!(maps_holes(Path::new("/nowhere")).is_err());
    }

    #[test]
    fn holes_are_found_at_block_grain() {
        // On the disk of the build, because not every temporary file system has a map.
        let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.set_len(3 * CHUNK).unwrap();
        assert_eq!(holes(&file, 0, CHUNK).unwrap(), [(0, CHUNK)]);
        file.write_all_at(&[1; 4096], 8192).unwrap();
        assert_eq!(holes(&file, 0, CHUNK).unwrap(), [(0, 8192), (12288, CHUNK)]);
        assert_eq!(holes(&file, 8192, 12288).unwrap(), []);
        file.write_all_at(&[1; 4096], 3 * CHUNK - 4096).unwrap();
        assert_eq!(holes(&file, CHUNK, 3 * CHUNK).unwrap(), [(CHUNK, 3 * CHUNK - 4096)]);
    }
}
