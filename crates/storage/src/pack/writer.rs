//! Makes packs from chunks that arrive one by one, and sends them to the store while the next is filled.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use dormouse_base::{Epoch, clock, rand};
use dormouse_runtime::failpoint;
use futures_util::future::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::index::{self, Entry, Kind};
use super::{MAGIC, PACK_TARGET};
use crate::chunk::{ChunkRef, Hash};
use crate::key::{self, Key};
use crate::{Store, StoreError};

/// Packs on their way to the store at once; with the one that is filled this bounds memory at 128 MiB.
pub const IN_FLIGHT: usize = 3;

/// A pack could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The store refused.
    #[error("cannot write a pack")]
    Store(#[source] StoreError),
    /// A failpoint.
    #[error("writing a pack was interrupted")]
    Interrupted(#[source] std::io::Error),
}

type Upload = Pin<Box<dyn Future<Output = Result<(), WriteError>> + Send>>;

/// Writes packs below one beginning of keys.
pub struct PackWriter {
    store: Store,
    packs: Key,
    epoch: Epoch,
    key: Arc<Key>,
    buffer: Vec<u8>,
    entries: Vec<Entry>,
    flying: FuturesUnordered<Upload>,
    written: Written,
}

/// What a writer wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Objects.
    pub packs: u32,
    /// Their bytes.
    pub bytes: u64,
}

impl PackWriter {
    /// A writer of packs of `epoch` below `packs`.
    #[must_use]
    pub fn new(store: Store, packs: Key, epoch: Epoch) -> Self {
        let key = Arc::new(name(&packs, epoch));
        let (buffer, entries) = (MAGIC.to_vec(), Vec::new());
        Self {
            store,
            packs,
            epoch,
            key,
            buffer,
            entries,
            flying: FuturesUnordered::new(),
            written: Written::default(),
        }
    }

    /// Adds stored bytes. The reference is good when [`PackWriter::finish`] has succeeded.
    ///
    /// # Errors
    /// When a pack that was complete before could not be written.
    pub async fn add(
        &mut self,
        kind: Kind,
        plain: u32,
        hash: Hash,
        stored: &[u8],
    ) -> Result<ChunkRef, WriteError> {
        let size = self.buffer.len() + stored.len() + index::encoded_len(self.entries.len() + 1);
        if size > PACK_TARGET && !self.entries.is_empty() {
            self.seal().await?;
        }
        let offset = u32::try_from(self.buffer.len()).expect("a pack is at most 64 MiB");
        let len = u32::try_from(stored.len()).expect("a chunk is much smaller than 4 GiB");
        self.buffer.extend_from_slice(stored);
        self.entries.push(Entry { kind, offset, len, plain, hash });
        Ok(ChunkRef { pack: Arc::clone(&self.key), offset, len, hash })
    }

    /// Lets the packs under way make progress; never ready while none is.
    ///
    /// # Errors
    /// When one could not be written.
    pub async fn progress(&mut self) -> Result<(), WriteError> {
        match self.flying.next().await {
            Some(done) => done,
            None => std::future::pending().await,
        }
    }

    /// Closes the last pack and waits until all are in the store.
    ///
    /// # Errors
    /// When one could not be written.
    pub async fn finish(mut self) -> Result<Written, WriteError> {
        if !self.entries.is_empty() {
            self.seal().await?;
        }
        while let Some(done) = self.flying.next().await {
            done?;
        }
        failpoint::hit("snapshot.packs.written").await.map_err(WriteError::Interrupted)?;
        Ok(self.written)
    }

    async fn seal(&mut self) -> Result<(), WriteError> {
        while self.flying.len() >= IN_FLIGHT {
            if let Some(done) = self.flying.next().await {
                done?;
            }
        }
        let mut pack = std::mem::replace(&mut self.buffer, MAGIC.to_vec());
        let offset = u32::try_from(pack.len()).expect("a pack is at most 64 MiB");
        pack.extend_from_slice(&index::encode(&std::mem::take(&mut self.entries), offset));
        let key = std::mem::replace(&mut self.key, Arc::new(name(&self.packs, self.epoch)));
        self.written.packs += 1;
        self.written.bytes += pack.len() as u64;
        let (store, body) = (self.store.clone(), Bytes::from(pack));
        self.flying.push(Box::pin(async move {
            failpoint::hit("snapshot.pack.before_put").await.map_err(WriteError::Interrupted)?;
            store.put(&key, body).await.map_err(WriteError::Store)?;
            failpoint::hit("snapshot.pack.after_put").await.map_err(WriteError::Interrupted)
        }));
        // An upload begins when it is first asked for; that must not wait for the next chunk.
        self.flying.next().now_or_never().flatten().unwrap_or(Ok(()))
    }
}

/// A name that no other pack has, and that sorts by the time it was made.
fn name(packs: &Key, epoch: Epoch) -> Key {
    let time = u64::try_from(clock::now().as_millisecond()).unwrap_or_default();
    let ulid = ulid::Ulid::from_parts(time, u128::from_le_bytes(rand::bytes()));
    key::pack(packs, &format!("{}-{}", epoch.key(), ulid.to_string().to_lowercase()))
}
