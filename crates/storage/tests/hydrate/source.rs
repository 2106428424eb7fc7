//! Chunks from the original directory, with faults on demand.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dormouse_storage::hydrate::{Plan, Source, SourceError};
use parking_lot::Mutex;

const CHUNK: u64 = dormouse_storage::chunk::CHUNK;

pub(crate) struct Original {
    dir: PathBuf,
    plan: Plan,
    pub(crate) latency_millis: AtomicU64,
    pub(crate) asked: AtomicUsize,
    /// Chunks that cannot be had.
    pub(crate) bad: Mutex<HashSet<(u32, u32)>>,
    /// 0 = well, 1 = disk full, 2 = away.
    pub(crate) trouble: AtomicUsize,
}

impl Original {
    pub(crate) fn new(dir: PathBuf, plan: Plan) -> Arc<Self> {
        Arc::new(Self {
            dir,
            plan,
            latency_millis: AtomicU64::new(0),
            asked: AtomicUsize::new(0),
            bad: Mutex::default(),
            trouble: AtomicUsize::new(0),
        })
    }
}

#[async_trait]
impl Source for Original {
    async fn chunk(&self, file: u32, chunk: u32) -> Result<Bytes, SourceError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let wait = self.latency_millis.load(Ordering::Relaxed);
        if wait > 0 {
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
        let error = || Arc::new(io::Error::other("made up"));
        match self.trouble.load(Ordering::Relaxed) {
            1 => return Err(SourceError::DiskFull(error())),
            2 => return Err(SourceError::Temporary(error())),
            _ => {}
        }
        if self.bad.lock().contains(&(file, chunk)) {
            return Err(SourceError::Permanent(error()));
        }
        let lazy = &self.plan.files[file as usize];
        let begin = u64::from(chunk) * CHUNK;
        let mut bytes = vec![0; CHUNK.min(lazy.size - begin) as usize];
        let read = File::open(self.dir.join(&lazy.path)).and_then(|f| f.read_exact_at(&mut bytes, begin));
        read.map_err(|e| SourceError::Permanent(Arc::new(e)))?;
        Ok(Bytes::from(bytes))
    }
}
