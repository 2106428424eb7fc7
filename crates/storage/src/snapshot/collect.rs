//! Puts together what the threads found: new chunks go into packs, references into the files' lists.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use dormouse_runtime::task;
use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::error::SnapshotError;
use super::plan::Plan;
use super::worker::{self, Message, Outcome, QUEUE, Shared};
use super::{Stats, rules};
use crate::chunk::{self, ChunkRef, Hash};
use crate::manifest::segment::{self, MAP_CHUNKS};
use crate::manifest::{Content, FileEntry, INLINE_CHUNKS};
use crate::pack::PackWriter;
use crate::pack::boot::MAX_CHUNK_BYTES;
use crate::pack::index::Kind;

/// Builds the files of a manifest.
pub(super) struct Collector {
    pub(super) writer: PackWriter,
    pub(super) stats: Stats,
    /// Stored bytes of new chunks that a start needs.
    pub(super) fresh: HashMap<Hash, Bytes>,
    fresh_bytes: u64,
    added: HashMap<Hash, ChunkRef>,
    plan: Arc<Plan>,
    slots: Vec<Slot>,
}

/// What is known of a file so far.
struct Slot {
    size: u64,
    gone: bool,
    warm: bool,
    refs: Vec<Option<ChunkRef>>,
}

impl Collector {
    pub(super) fn new(writer: PackWriter, plan: Arc<Plan>, hot: &[(String, u32)]) -> Self {
        let slots = plan.jobs.iter().map(|job| Slot {
            size: job.found.stamp.size,
            gone: false,
            warm: rules::need(&job.found.path, true) != rules::Need::Later
                || hot.iter().any(|(path, _)| *path == job.found.path),
            refs: vec![None; chunk::count(job.found.stamp.size) as usize],
        });
        Self {
            writer,
            stats: Stats::default(),
            fresh: HashMap::new(),
            fresh_bytes: 0,
            added: HashMap::new(),
            slots: slots.collect(),
            plan,
        }
    }

    /// Runs the threads and takes what they find, to the end or to the first error. No thread is left
    /// behind: when this returns nothing reads the directory any more.
    pub(super) async fn run(&mut self, shared: Arc<Shared>, threads: usize) -> Result<(), SnapshotError> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        // Also when this future is dropped.
        let _stop = shared.cancel.clone().drop_guard();
        let workers = (0..threads).map(|_| {
            let (shared, sender) = (Arc::clone(&shared), sender.clone());
            task::blocking(move || {
                let done = worker::work(&shared, &sender);
                if done.is_err() {
                    // The others would work for nothing.
                    shared.cancel.cancel();
                }
                done
            })
        });
        let workers: Vec<_> = workers.collect();
        drop(sender);
        let (taken, worked) = tokio::join!(self.take_all(receiver, &shared.cancel), join_all(workers));
        // An error of a thread is the cause; "cancelled" may only be its consequence.
        let mut first = taken;
        for result in worked {
            if first.is_ok() || first.as_ref().is_err_and(SnapshotError::is_cancelled) && result.is_err() {
                first = result;
            }
        }
        first
    }

    async fn take_all(
        &mut self,
        mut from: mpsc::Receiver<Message>,
        cancel: &CancellationToken,
    ) -> Result<(), SnapshotError> {
        loop {
            tokio::select! {
                message = from.recv() => match message {
                    Some(message) => self.take(message).await?,
                    None => return Ok(()),
                },
                done = self.writer.progress() => done.map_err(SnapshotError::Pack)?,
                () = cancel.cancelled() => return Err(SnapshotError::Cancelled),
            }
        }
    }

    async fn take(&mut self, message: Message) -> Result<(), SnapshotError> {
        match message {
            Message::Read { bytes } => self.stats.read_bytes += bytes,
            Message::Gone { job } => self.slots[job].gone = true,
            Message::Cut { job, size } => self.slots[job].size = self.slots[job].size.min(size),
            Message::Chunk { job, chunk, outcome } => {
                let at = match outcome {
                    Outcome::Known(at) => {
                        self.stats.kept_chunks += 1;
                        at
                    }
                    Outcome::New { plain, hash, stored } => self.add(job, plain, hash, stored).await?,
                };
                self.slots[job].refs[chunk as usize] = Some(at);
            }
        }
        Ok(())
    }

    async fn add(
        &mut self,
        job: usize,
        plain: u32,
        hash: Hash,
        stored: Vec<u8>,
    ) -> Result<ChunkRef, SnapshotError> {
        if self.slots[job].warm {
            self.remember(hash, &stored);
        }
        self.store(plain, hash, stored).await
    }

    fn remember(&mut self, hash: Hash, stored: &[u8]) {
        if self.fresh_bytes + stored.len() as u64 <= MAX_CHUNK_BYTES {
            self.fresh_bytes += stored.len() as u64;
            self.fresh.insert(hash, Bytes::copy_from_slice(stored));
        }
    }

    async fn store(&mut self, plain: u32, hash: Hash, stored: Vec<u8>) -> Result<ChunkRef, SnapshotError> {
        if let Some(at) = self.added.get(&hash).or_else(|| self.plan.known.get(&hash)) {
            self.stats.kept_chunks += 1;
            return Ok(at.clone());
        }
        let at = self.writer.add(Kind::Chunk, plain, hash, &stored).await.map_err(SnapshotError::Pack)?;
        self.stats.new_chunks += 1;
        self.added.insert(hash, at.clone());
        Ok(at)
    }

    /// A small file whose bytes are at hand, as an entry.
    pub(super) async fn small(
        &mut self,
        path: &str,
        mode: u16,
        plain: &[u8],
        level: i32,
    ) -> Result<FileEntry, SnapshotError> {
        let hash = Hash::of(plain);
        let stored = chunk::Compressor::new(level).and_then(|mut c| c.compress(plain));
        let stored = stored.map_err(SnapshotError::Compress)?;
        self.remember(hash, &stored);
        let at = self.store(u32::try_from(plain.len()).unwrap_or(u32::MAX), hash, stored).await?;
        self.stats.files += 1;
        Ok(FileEntry {
            path: path.to_owned(),
            mode,
            size: plain.len() as u64,
            content: Content::Chunks(vec![at]),
        })
    }

    /// The entries of all files of the plan, unsorted.
    pub(super) async fn entries(&mut self) -> Result<Vec<FileEntry>, SnapshotError> {
        let plan = Arc::clone(&self.plan);
        let mut entries = Vec::with_capacity(plan.jobs.len() + plan.kept.len());
        for (found, content) in &plan.kept {
            let (path, size) = (found.path.clone(), found.stamp.size);
            self.stats.kept_files += 1;
            entries.push(FileEntry { path, mode: found.mode, size, content: content.clone() });
        }
        let slots = std::mem::take(&mut self.slots);
        for (job, slot) in plan.jobs.iter().zip(slots).filter(|(_, slot)| !slot.gone) {
            let count = chunk::count(slot.size) as usize;
            let refs: Option<Vec<ChunkRef>> = slot.refs.into_iter().take(count).collect();
            let path = job.found.path.clone();
            let refs = refs.ok_or_else(|| SnapshotError::Changed { path: path.clone() })?;
            let content = if count <= INLINE_CHUNKS as usize {
                Content::Chunks(refs)
            } else {
                Content::Maps(self.maps(job, &refs).await?)
            };
            entries.push(FileEntry { path, mode: job.found.mode, size: slot.size, content });
        }
        self.stats.files += entries.len() as u64;
        Ok(entries)
    }

    /// Segment maps of a file; those in which nothing changed are the base's.
    async fn maps(
        &mut self,
        job: &super::plan::Job,
        refs: &[ChunkRef],
    ) -> Result<Vec<ChunkRef>, SnapshotError> {
        let per_map = MAP_CHUNKS as usize;
        let base = job.base.as_ref().map_or(&[][..], |(_, refs)| refs.as_slice());
        let mut maps = Vec::new();
        for (number, part) in refs.chunks(per_map).enumerate() {
            let before = base.get(number * per_map..).map(|rest| &rest[..rest.len().min(per_map)]);
            if let Some(at) = job.base_maps.get(number).filter(|_| before == Some(part)) {
                maps.push(at.clone());
                continue;
            }
            let map = segment::encode(part);
            let added = self.writer.add(Kind::Map, map.plain, map.hash, &map.stored).await;
            maps.push(added.map_err(SnapshotError::Pack)?);
        }
        Ok(maps)
    }
}
