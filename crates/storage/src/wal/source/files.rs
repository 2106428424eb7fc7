//! The `files` source: a compute's own WAL files, read where they are.
//!
//! Nothing is copied before it is filed, so the compute pays nothing but a cheap statement every few seconds
//! while it writes, and nothing at all while it does not: whether it wrote is seen from outside, by the time
//! stamps of the segment it is in and of the next.

use std::sync::Arc;

use async_trait::async_trait;
use dormouse_base::lsn::WAL_SEGMENT;
use dormouse_base::{Lsn, Timeline, clock, with_causes};
use dormouse_runtime::failpoint;
use dormouse_runtime::task::blocking;
use parking_lot::Mutex;

use super::dir::{Mark, WalDir};
use super::tap::{SlotState, Tap};
use super::{Chunk, Progress, Source, SourceError};
use crate::wal::reader::Reader;

/// A file that changed this recently may change again without its time stamp showing it (kernels count in
/// steps of up to 10 ms), in nanoseconds.
const TIME_STAMP_STEP: i128 = 100_000_000;
/// Bytes read at a time.
const READ: usize = 4 * 1024 * 1024;

/// The files of one compute on one timeline.
#[derive(Debug)]
pub struct Files {
    dir: Arc<WalDir>,
    timeline: Timeline,
    tap: Arc<dyn Tap>,
    /// What the files looked like when nothing was on its way.
    settled: Mutex<Option<[Mark; 2]>>,
    /// How far it was when it was asked last. Segments behind it are prepared for later and hold old bytes.
    flushed: Mutex<Lsn>,
}

impl Files {
    /// A source over an open `pg_wal`.
    #[must_use]
    pub fn new(dir: Arc<WalDir>, timeline: Timeline, tap: Arc<dyn Tap>) -> Self {
        Self { dir, timeline, tap, settled: Mutex::new(None), flushed: Mutex::new(Lsn::ZERO) }
    }

    async fn marks(&self, from: Lsn) -> [Mark; 2] {
        let (dir, timeline) = (Arc::clone(&self.dir), self.timeline);
        blocking(move || [dir.mark(timeline, from), dir.mark(timeline, from.plus(WAL_SEGMENT))]).await
    }
}

#[async_trait]
impl Source for Files {
    async fn changed(&self, from: Lsn) -> bool {
        let marks = self.marks(from).await;
        *self.settled.lock() != Some(marks)
    }

    async fn progress(&self, from: Lsn) -> Result<Progress, SourceError> {
        // Looked at before the question: what is written after it changes the marks again.
        let marks = self.marks(from).await;
        let now = i128::from(clock::now().as_microsecond()) * 1000;
        let flushed = self.tap.flushed().await?;
        if flushed.timeline != self.timeline {
            return Err(SourceError::Timeline { expected: self.timeline, found: flushed.timeline });
        }
        if matches!(flushed.slot, SlotState::Missing | SlotState::Lost) {
            failpoint::hit("wal.slot.ensure").await.map_err(SourceError::io("make the slot"))?;
            // Somebody may have taken all slots. What is there can be filed all the same.
            if let Err(error) = self.tap.ensure_slot().await {
                tracing::warn!(error = with_causes(&error), "no replication slot holds this compute's WAL");
            }
        }
        let quiet = marks.iter().all(|mark| mark.modified + TIME_STAMP_STEP < now);
        let at_rest = quiet && flushed.written == flushed.lsn && flushed.lsn.segment() <= from.segment() + 1;
        *self.flushed.lock() = flushed.lsn;
        *self.settled.lock() = at_rest.then_some(marks);
        // A compute that was frozen may have to flush yet what was filed, durably, from its files.
        let upto = if flushed.written >= from { flushed.lsn.max(from) } else { flushed.lsn };
        Ok(Progress { upto, slot_lost: flushed.slot == SlotState::Lost })
    }

    async fn read(&self, from: Lsn, upto: Lsn) -> Result<Chunk, SourceError> {
        let (dir, timeline) = (Arc::clone(&self.dir), self.timeline);
        let max = usize::try_from(upto.since(from)).unwrap_or(READ).min(READ);
        let what = || format!("read the compute's WAL at {from}");
        let read = blocking(move || match dir.read(timeline, from, max)? {
            Some(bytes) => Ok(Some(Ok(bytes))),
            None => Ok(dir.oldest_behind(timeline, from)?.map(Err)),
        });
        match read.await.map_err(SourceError::io(what()))? {
            Some(Ok(bytes)) => Ok(Chunk::Bytes { timeline, bytes }),
            Some(Err(until)) if until <= *self.flushed.lock() => Ok(Chunk::Lost { until }),
            _ => Err(SourceError::io(what())(std::io::ErrorKind::NotFound.into())),
        }
    }

    async fn own(&self, timeline: Timeline, from: Lsn, len: usize) -> Option<Vec<u8>> {
        let dir = Arc::clone(&self.dir);
        let read = blocking(move || match dir.read(timeline, from, len)? {
            Some(bytes) => Ok(Some(bytes).filter(|bytes| bytes.len() == len)),
            // The segment that PostgreSQL is in is always there, and older ones go only when there are newer ones.
            None => Ok::<_, std::io::Error>(dir.oldest_behind(timeline, from)?.is_none().then(Vec::new)),
        });
        read.await.ok().flatten()
    }

    async fn release(&self, upto: Lsn) -> Result<(), SourceError> {
        Ok(self.tap.release(upto).await?)
    }

    async fn rest(&self, reader: Reader) -> Result<Lsn, SourceError> {
        let (dir, timeline) = (Arc::clone(&self.dir), self.timeline);
        let at = reader.position();
        // Whoever gives up waiting takes this along, and the reading ends: a compute that writes on has no end.
        let asked = Arc::new(());
        let wanted = Arc::downgrade(&asked);
        let end = blocking(move || {
            let end = end_of(&dir, timeline, reader, || wanted.strong_count() > 0)?;
            // A compute that was frozen, or killed, may have written what it had not flushed yet. It must not lose with
            // the power what the store has: it would write something else in the same place.
            if end > at {
                dir.sync(timeline, at, end)?;
            }
            Ok(end)
        })
        .await;
        drop(asked);
        let end = end.map_err(SourceError::io(format!("read the compute's WAL from {at} to its end")))?;
        // What is gone before this position is a gap, and will not come.
        let mut flushed = self.flushed.lock();
        *flushed = end.max(*flushed);
        Ok(end)
    }
}

/// Where the WAL of a stopped compute ends: behind the last valid record. Segments that are gone are passed
/// over: PostgreSQL may have removed what nobody had read yet. Blocks, as long as the end is `wanted`.
///
/// # Errors
/// When a file cannot be read, or the end is not wanted any more.
pub fn end_of(
    dir: &WalDir,
    timeline: Timeline,
    mut reader: Reader,
    wanted: impl Fn() -> bool,
) -> std::io::Result<Lsn> {
    let mut end = reader.end();
    loop {
        while let Some(bytes) = dir.read(timeline, reader.position(), READ)? {
            let mut found = None;
            let pushed = reader.push(&bytes, |record| found = Some(record.end));
            // What was only sought and not found says nothing.
            end = found.unwrap_or(end);
            if pushed.is_err() {
                return Ok(end);
            }
            if !wanted() {
                return Err(std::io::ErrorKind::Interrupted.into());
            }
        }
        // Segments behind the end are prepared for later: no record in them is of its place.
        match dir.oldest_behind(timeline, reader.position())? {
            Some(next) => reader = Reader::seek(reader.major(), next),
            None => return Ok(end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tap::{Flushed, TapError};
    use super::*;

    /// A compute that does not run.
    #[derive(Debug)]
    struct Stopped;

    #[async_trait]
    impl Tap for Stopped {
        async fn flushed(&self) -> Result<Flushed, TapError> {
            Err(TapError::Answer)
        }
        async fn release(&self, _: Lsn) -> Result<(), TapError> {
            Err(TapError::Answer)
        }
        async fn ensure_slot(&self) -> Result<(), TapError> {
            Err(TapError::Answer)
        }
    }

    #[tokio::test]
    async fn files_that_end_before_a_place_have_nothing_there() {
        let (root, one) = (tempfile::tempdir().unwrap(), Timeline(1));
        let wal = root.path().join("pg_wal");
        std::fs::create_dir(&wal).unwrap();
        let name = |n: u64| wal.join(one.segment_name(Lsn(n * WAL_SEGMENT)));
        std::fs::write(name(3), vec![7; 1 << 24]).unwrap();
        let files = Files::new(Arc::new(WalDir::open(root.path()).unwrap()), one, Arc::new(Stopped));
        let own = async |n: u64| files.own(one, Lsn(n * WAL_SEGMENT + 100), 4).await;
        assert_eq!(own(3).await, Some(vec![7; 4]));
        assert_eq!(own(2).await, None, "PostgreSQL has removed it");
        assert_eq!(own(5).await, Some(Vec::new()), "they went back: what is filed is not theirs");
        std::fs::write(name(6), vec![0; 1 << 24]).unwrap();
        assert_eq!(own(5).await, None);
    }
}
