//! The part of a snapshot that costs time: reads, checks, hashes and compresses chunks, on blocking
//! threads, as many as there are cores for it.
//!
//! Work is cut into runs of 64 chunks, so that one large file keeps all threads busy; results go through a
//! bounded channel, so that a slow store slows the reading down instead of filling memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dormouse_base::Lsn;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::control_file::PAGE;
use super::error::SnapshotError;
use super::page::{self, PAGE_LEN};
use super::plan::{How, Job, Plan};
use super::rules::Verdict;
use super::scan::Root;
use crate::chunk::{self, CHUNK, ChunkRef, Compressor, Hash, SEGMENT};

/// Chunks that a thread takes at once.
const RUN: u32 = 64;

/// Results that wait for the collector; with 256 KiB each this bounds memory at 16 MiB.
pub(super) const QUEUE: usize = 64;

/// How often a page with a wrong checksum is read again, and the pause before: a write takes microseconds.
const REREADS: u32 = 8;
const REREAD_PAUSE: Duration = Duration::from_millis(5);

/// What became of a chunk.
pub(super) enum Outcome {
    /// Its bytes are in the store already.
    Known(ChunkRef),
    /// Its bytes are new.
    New { plain: u32, hash: Hash, stored: Vec<u8> },
}

/// A message to the collector.
pub(super) enum Message {
    /// A chunk of a file of the plan.
    Chunk { job: usize, chunk: u32, outcome: Outcome },
    /// A file is shorter than it was.
    Cut { job: usize, size: u64 },
    /// A file is gone.
    Gone { job: usize },
    /// Bytes read from the disk, pages looked at; sent now and then.
    Read { bytes: u64 },
}

/// What all threads share.
pub(super) struct Shared {
    pub(super) root: Arc<Root>,
    pub(super) plan: Arc<Plan>,
    /// (job, first chunk) of each run.
    pub(super) runs: Vec<(usize, u32)>,
    pub(super) next: AtomicUsize,
    pub(super) checksums: bool,
    /// Where the backup of a running cluster began; pages above are repaired by the WAL.
    pub(super) started_at: Option<Lsn>,
    pub(super) level: i32,
    pub(super) cancel: CancellationToken,
}

/// Cuts the plan into runs, large files first so that none is left for the end.
pub(super) fn runs(plan: &Plan) -> Vec<(usize, u32)> {
    let mut order: Vec<usize> = (0..plan.jobs.len()).collect();
    order.sort_by_key(|job| std::cmp::Reverse(plan.jobs[*job].found.stamp.size));
    let cut = |job: usize| {
        let chunks = chunk::count(plan.jobs[job].found.stamp.size);
        (0..chunks).step_by(RUN as usize).map(move |first| (job, first))
    };
    order.into_iter().flat_map(cut).collect()
}

/// One thread: takes runs until none is left.
pub(super) fn work(shared: &Shared, out: &mpsc::Sender<Message>) -> Result<(), SnapshotError> {
    let compressor = Compressor::new(shared.level).map_err(SnapshotError::Compress)?;
    let mut worker = Worker { shared, out, compressor, buffer: vec![0; CHUNK as usize], read: 0 };
    while let Some((job, first)) = shared.runs.get(shared.next.fetch_add(1, Ordering::Relaxed)) {
        worker.run(*job, *first)?;
    }
    worker.send(Message::Read { bytes: worker.read })
}

struct Worker<'a> {
    shared: &'a Shared,
    out: &'a mpsc::Sender<Message>,
    compressor: Compressor,
    buffer: Vec<u8>,
    read: u64,
}

impl Worker<'_> {
    fn send(&self, message: Message) -> Result<(), SnapshotError> {
        // A collector that is gone has its own reason to be.
        self.out.blocking_send(message).map_err(|_| SnapshotError::Cancelled)
    }

    fn run(&mut self, number: usize, first: u32) -> Result<(), SnapshotError> {
        let job = &self.shared.plan.jobs[number];
        let path = &job.found.path;
        let file = match self.shared.root.file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return match self.shared.started_at {
                    Some(_) => self.send(Message::Gone { job: number }),
                    None => Err(SnapshotError::Changed { path: path.clone() }),
                };
            }
            other => other.map_err(|e| SnapshotError::file("open", path, e))?,
        };
        let last = chunk::count(job.found.stamp.size).min(first + RUN);
        for chunk in first..last {
            if self.shared.cancel.is_cancelled() {
                return Err(SnapshotError::Cancelled);
            }
            if let Some(outcome) = self.untouched(&file, job, chunk)? {
                self.send(Message::Chunk { job: number, chunk, outcome })?;
                continue;
            }
            let wanted = chunk::plain_len(job.found.stamp.size, chunk);
            let got = self.read(&file, job, chunk, wanted)?;
            if got > 0 {
                let outcome = self.outcome(job, chunk, got)?;
                self.send(Message::Chunk { job: number, chunk, outcome })?;
            }
            if got < wanted {
                if self.shared.started_at.is_none() {
                    return Err(SnapshotError::Changed { path: path.clone() });
                }
                return self
                    .send(Message::Cut { job: number, size: u64::from(chunk) * CHUNK + u64::from(got) });
            }
        }
        Ok(())
    }

    /// The base's reference, when the chunk need not or must not be read.
    fn untouched(&mut self, file: &File, job: &Job, chunk: u32) -> Result<Option<Outcome>, SnapshotError> {
        let len = chunk::plain_len(job.found.stamp.size, chunk);
        let base = base_ref(job, chunk, len);
        if job.missing.as_ref().is_some_and(|missing| missing.get(chunk)) {
            let absent = || SnapshotError::Absent { path: job.found.path.clone(), chunk };
            return base.map(|at| Some(Outcome::Known(at.clone()))).ok_or_else(absent);
        }
        let Some(at) = base.filter(|_| len.is_multiple_of(PAGE)) else { return Ok(None) };
        let redo = match &job.how {
            How::Named(named) if named.get(chunk) => return Ok(None),
            How::Named(_) => return Ok(Some(Outcome::Known(at.clone()))),
            How::ByLsn(redo) => *redo,
            How::ByHash => return Ok(None),
        };
        // Eight bytes of each page: a quarter of the time that reading the whole chunk takes.
        let mut head = [0; 8];
        for page in 0..len / PAGE {
            let offset = u64::from(chunk) * CHUNK + u64::from(page * PAGE);
            match file.read_exact_at(&mut head, offset) {
                Ok(()) if !page::may_have_changed(page::lsn(&head), redo) => {}
                Ok(()) => return Ok(None),
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(e) => return Err(SnapshotError::file("read", &job.found.path, e)),
            }
        }
        Ok(Some(Outcome::Known(at.clone())))
    }

    /// Reads a chunk into the buffer, with sound pages. Tells how many bytes there were.
    fn read(&mut self, file: &File, job: &Job, chunk: u32, wanted: u32) -> Result<u32, SnapshotError> {
        let failed = |e| SnapshotError::file("read", &job.found.path, e);
        let start = u64::from(chunk) * CHUNK;
        let got = fill(file, &mut self.buffer[..wanted as usize], start).map_err(failed)?;
        self.read += got as u64;
        if let (Verdict::Relation(relation), true) = (job.found.verdict, self.shared.checksums) {
            let before = relation.segment * u32::try_from(SEGMENT / u64::from(PAGE)).expect("131072");
            for number in 0..got / PAGE_LEN {
                let block =
                    before + chunk * u32::try_from(CHUNK / u64::from(PAGE)).expect("32") + number as u32;
                let bytes = &mut self.buffer[number * PAGE_LEN..][..PAGE_LEN];
                if !page::is_sound(bytes, block) {
                    self.torn(file, job, start + (number * PAGE_LEN) as u64, number, block)?;
                }
            }
        }
        Ok(u32::try_from(got).expect("a chunk is 256 KiB"))
    }

    /// A page with a wrong checksum: being written just now, or damaged?
    fn torn(
        &mut self,
        file: &File,
        job: &Job,
        offset: u64,
        number: usize,
        block: u32,
    ) -> Result<(), SnapshotError> {
        let bytes = &mut self.buffer[number * PAGE_LEN..][..PAGE_LEN];
        let Some(started_at) = self.shared.started_at else {
            return Err(SnapshotError::DamagedPage {
                path: job.found.path.clone(),
                block,
                lsn: page::lsn(bytes),
            });
        };
        for _ in 0..REREADS {
            if page::lsn(bytes) > started_at {
                // Its first change since the backup began is in the WAL as a whole page.
                return Ok(());
            }
            std::thread::sleep(REREAD_PAUSE);
            let got =
                fill(file, bytes, offset).map_err(|e| SnapshotError::file("read", &job.found.path, e))?;
            if got < PAGE_LEN || page::is_sound(bytes, block) {
                return Ok(());
            }
        }
        Err(SnapshotError::DamagedPage { path: job.found.path.clone(), block, lsn: page::lsn(bytes) })
    }

    /// What to do with the bytes in the buffer.
    fn outcome(&mut self, job: &Job, chunk: u32, got: u32) -> Result<Outcome, SnapshotError> {
        let plain = &self.buffer[..got as usize];
        if chunk::is_zeros(plain) {
            return Ok(Outcome::Known(ChunkRef::zeros()));
        }
        let hash = Hash::of(plain);
        if let Some(at) = base_ref(job, chunk, got)
            .filter(|at| at.hash == hash)
            .or_else(|| self.shared.plan.known.get(&hash))
        {
            return Ok(Outcome::Known(at.clone()));
        }
        let stored = self.compressor.compress(plain).map_err(SnapshotError::Compress)?;
        Ok(Outcome::New { plain: got, hash, stored })
    }
}

/// The reference of a chunk in the base, when it has the same length there.
fn base_ref(job: &Job, chunk: u32, len: u32) -> Option<&ChunkRef> {
    let (size, refs) = job.base.as_ref()?;
    refs.get(chunk as usize).filter(|_| chunk::plain_len(*size, chunk) == len)
}

/// Reads until the buffer is full or the file ends.
pub(super) fn fill(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(more) => done += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
