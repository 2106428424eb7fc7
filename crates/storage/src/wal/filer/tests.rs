//! A filer whose compute is not what it was.

use std::time::Duration;

use async_trait::async_trait;
use dormouse_base::Timeline;
use object_store::memory::InMemory;
use parking_lot::Mutex;

use super::*;
use crate::wal::reader::Reader;
use crate::wal::source::{Chunk, Progress, SourceError};

/// A compute that wrote so far, and the same byte everywhere.
#[derive(Debug)]
struct Fake {
    upto: Mutex<Lsn>,
    byte: u8,
}

#[async_trait]
impl Source for Fake {
    async fn changed(&self, from: Lsn) -> bool {
        *self.upto.lock() != from
    }
    async fn progress(&self, _: Lsn) -> Result<Progress, SourceError> {
        Ok(Progress { upto: *self.upto.lock(), slot_lost: false })
    }
    async fn read(&self, from: Lsn, upto: Lsn) -> Result<Chunk, SourceError> {
        let bytes = vec![self.byte; usize::try_from(upto.since(from)).unwrap()];
        Ok(Chunk::Bytes { timeline: Timeline(1), bytes })
    }
    async fn own(&self, _: Timeline, _: Lsn, len: usize) -> Option<Vec<u8>> {
        Some(vec![self.byte; len])
    }
    async fn release(&self, _: Lsn) -> Result<(), SourceError> {
        Ok(())
    }
    async fn rest(&self, reader: Reader) -> Result<Lsn, SourceError> {
        Ok(reader.position().max(*self.upto.lock()))
    }
}

fn start(store: &Store, fake: &Arc<Fake>, scope: &Scope) -> Filer {
    let writer = Writer {
        project: "p".parse().unwrap(),
        branch: "br-a".parse().unwrap(),
        epoch: Epoch(1),
        timeline: Timeline(1),
        from: Lsn(100),
        major: Major::new(18).unwrap(),
        last_commit: 0,
    };
    // It looks only when it is asked.
    let limits = Limits { look_every: Duration::from_secs(60), ..Limits::default() };
    Filer::start(store.clone(), writer, Arc::<Fake>::clone(fake), limits, scope)
}

#[tokio::test]
async fn what_a_diverged_compute_writes_is_never_filed() {
    let (store, scope) = (Store::new(Arc::new(InMemory::new())), Scope::new());
    let fake = Arc::new(Fake { upto: Mutex::new(Lsn(500)), byte: 7 });
    let filer = start(&store, &fake, &scope);
    assert_eq!(filer.file_now(None).await, Ok(Lsn(500)));
    *fake.upto.lock() = Lsn(400);
    assert_eq!(filer.file_now(None).await, Err(FileError::Diverged));
    // It writes on, past the end of what it lost.
    *fake.upto.lock() = Lsn(700);
    assert_eq!(filer.file_now(None).await, Err(FileError::Diverged));
    assert_eq!(filer.finish().await, Err(FileError::Diverged));
    assert_eq!(
        filer.file_now(Some(Lsn(450))).await,
        Err(FileError::Diverged),
        "not the bytes that are meant"
    );
    let status = filer.status().borrow().clone();
    assert!(status.diverged && status.filed == Lsn(500) && status.pieces == 1, "{status:?}");
}

#[tokio::test]
async fn another_history_is_noticed_however_long_it_is() {
    let (store, scope) = (Store::new(Arc::new(InMemory::new())), Scope::new());
    let fake = |byte, upto| Arc::new(Fake { upto: Mutex::new(Lsn(upto)), byte });
    assert_eq!(start(&store, &fake(7, 500), &scope).file_now(None).await, Ok(Lsn(500)));
    assert_eq!(start(&store, &fake(8, 900), &scope).file_now(None).await, Err(FileError::Diverged));
    assert_eq!(start(&store, &fake(8, 900), &scope).finish().await, Err(FileError::Diverged));
    assert_eq!(start(&store, &fake(7, 900), &scope).file_now(None).await, Ok(Lsn(900)));
}
