//! The handle: put, create, get, and in `listing.rs` list and delete; nothing else is asked of a store.
//!
//! Every body that is read has the announced length, or the read is tried again. `create` decides between
//! writers. When the first answer to a create got lost and the next try says that the object exists, the
//! object is read back and compared: equal bytes mean that it is ours. So bodies that two writers could
//! make alike need something unique in them (registers carry one).

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use dormouse_base::Timestamp;
use dormouse_runtime::failpoint;
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};
use prometheus_client::registry::Registry;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

use super::attempt::{Limits, retry, within};
use super::error::{Cause, StoreError, Verdict};
use super::fault::FaultHandle;
use super::metrics::{Metrics, Op, StoreStats};
use super::root::Root;
use crate::key::Key;

/// What became of a [`Store::create`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The object is ours.
    New,
    /// One with this key was there already.
    Exists,
}

/// An object that a listing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: Key,
    /// Bytes.
    pub size: u64,
    /// When the store says it was written.
    pub modified: Timestamp,
}

impl Listed {
    pub(super) fn of(meta: &ObjectMeta) -> Self {
        let modified = Timestamp::from_microsecond(meta.last_modified.timestamp_micros());
        Self {
            key: Key::from_store(meta.location.as_ref()),
            size: meta.size,
            modified: modified.unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }
}

/// A handle of an object store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) backend: Arc<dyn ObjectStore>,
    /// The address without secrets, for people.
    url: String,
    id: Option<String>,
    pub(super) limits: Limits,
    arbitrates: AtomicBool,
    /// Held from the check to the write of a create, where the store itself does not arbitrate.
    creating: Mutex<()>,
    pub(super) reads: Semaphore,
    pub(super) writes: Semaphore,
    metrics: Metrics,
    directory: Option<Arc<Root>>,
    faults: Option<FaultHandle>,
}

/// Only the address: a backend's own text may hold more than a log should.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.inner.url).finish()
    }
}

/// What [`Store::open`] found out before the handle exists.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) backend: Arc<dyn ObjectStore>,
    pub(super) url: String,
    pub(super) limits: Limits,
    pub(super) id: Option<String>,
    pub(super) directory: Option<Arc<Root>>,
    pub(super) faults: Option<FaultHandle>,
}

impl Store {
    /// A store on a backend of the `object_store` crate that honours create-if-absent, with the usual
    /// limits. For tests; the product uses [`Store::open`].
    #[must_use]
    pub fn new(backend: Arc<dyn ObjectStore>) -> Self {
        Self::with_limits(backend, Limits::default())
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(backend: Arc<dyn ObjectStore>, limits: Limits) -> Self {
        let url = backend.to_string();
        Self::of(Parts { backend, url, limits, id: None, directory: None, faults: None })
    }

    pub(super) fn of(parts: Parts) -> Self {
        let Parts { backend, url, limits, id, directory, faults } = parts;
        let (reads, writes) = (Semaphore::new(limits.reads), Semaphore::new(limits.writes));
        let arbitrates = AtomicBool::new(true);
        let (creating, metrics) = (Mutex::new(()), Metrics::default());
        let inner = Inner {
            backend,
            url,
            id,
            limits,
            arbitrates,
            creating,
            reads,
            writes,
            metrics,
            directory,
            faults,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The address of the store, without secrets.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// What tells it from every other store, as its marker says; nothing when it was not opened by its address.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.inner.id.as_deref()
    }

    /// The limits that it works with.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Whether the store itself decides between two creates of one key. If not, creates are serialised in
    /// this process, and no second process may write to the store.
    #[must_use]
    pub fn arbitrates(&self) -> bool {
        self.inner.arbitrates.load(Ordering::Relaxed)
    }

    pub(super) fn does_not_arbitrate(&self) {
        self.inner.arbitrates.store(false, Ordering::Relaxed);
    }

    /// The directory, when the store is one.
    #[must_use]
    pub fn directory(&self) -> Option<&std::path::Path> {
        self.root().map(|root| root.path())
    }

    pub(super) fn root(&self) -> Option<&Arc<Root>> {
        self.inner.directory.as_ref()
    }

    /// The switch of the injected faults, when the store was opened with some.
    #[must_use]
    pub fn faults(&self) -> Option<&FaultHandle> {
        self.inner.faults.as_ref()
    }

    /// Sums since the store was opened.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        self.inner.metrics.stats()
    }

    /// Adds its metrics to a registry (`dormouse_store_…`).
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.inner.metrics.register(registry);
    }

    /// Writes an object. Writing the same bytes again is allowed (a retry does); writing other bytes
    /// under the same key is a bug.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn put(&self, key: &Key, body: Bytes) -> Result<(), StoreError> {
        self.put_payload(key, PutPayload::from(body)).await
    }

    /// Writes an object that is made of several pieces, without copying them together.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn put_parts(&self, key: &Key, parts: Vec<Bytes>) -> Result<(), StoreError> {
        self.put_payload(key, PutPayload::from_iter(parts)).await
    }

    async fn put_payload(&self, key: &Key, body: PutPayload) -> Result<(), StoreError> {
        let path = path(key);
        let _lane = lane(&self.inner.writes).await;
        let put = self.retry(Op::Put, |_| self.put_once(&path, body.clone(), PutMode::Overwrite));
        put.await.map_err(|cause| cause.into_error("write", key))
    }

    async fn put_once(&self, path: &Path, body: PutPayload, mode: PutMode) -> Result<(), Cause> {
        failpoint::hit("store.put.before").await.map_err(Cause::Failpoint)?;
        let size = body.content_length() as u64;
        let options = PutOptions { mode, ..PutOptions::default() };
        within(self.inner.limits.time_for(size), self.inner.backend.put_opts(path, body, options)).await?;
        failpoint::hit("store.put.after").await.map_err(Cause::Failpoint)?;
        self.inner.metrics.written.inc_by(size);
        Ok(())
    }

    /// Writes an object unless one with this key exists: the only arbiter between writers.
    ///
    /// # Errors
    /// When the store refuses. Then the object may or may not be there, or even appear later.
    pub async fn create(&self, key: &Key, body: Bytes) -> Result<Created, StoreError> {
        let (path, payload) = (path(key), PutPayload::from(body.clone()));
        let _lane = lane(&self.inner.writes).await;
        let _alone = if self.arbitrates() { None } else { Some(self.inner.creating.lock().await) };
        let tries = std::sync::atomic::AtomicU32::new(1);
        let created = self.retry(Op::Create, |n| {
            tries.store(n, Ordering::Relaxed);
            self.create_once(&path, payload.clone())
        });
        let cause = match created.await {
            Ok(()) => return Ok(Created::New),
            Err(cause) => cause,
        };
        if cause.verdict() != Verdict::Exists {
            return Err(cause.into_error("write", key));
        }
        if tries.load(Ordering::Relaxed) == 1 {
            return Ok(Created::Exists);
        }
        // An earlier try may have done it without our hearing of it.
        failpoint::hit("store.create.compare")
            .await
            .map_err(|e| Cause::Failpoint(e).into_error("read", key))?;
        let ours = self.get(key).await? == body;
        Ok(if ours { Created::New } else { Created::Exists })
    }

    /// One create, in the best way that the store has.
    pub(super) async fn create_once(&self, path: &Path, body: PutPayload) -> Result<(), Cause> {
        failpoint::hit("store.create.before").await.map_err(Cause::Failpoint)?;
        let size = body.content_length() as u64;
        let mode = if self.arbitrates() {
            PutMode::Create
        } else {
            self.absent(path).await?;
            PutMode::Overwrite
        };
        let options = PutOptions { mode, ..PutOptions::default() };
        within(self.inner.limits.time_for(size), self.inner.backend.put_opts(path, body, options)).await?;
        failpoint::hit("store.create.after").await.map_err(Cause::Failpoint)?;
        self.inner.metrics.written.inc_by(size);
        Ok(())
    }

    async fn absent(&self, path: &Path) -> Result<(), Cause> {
        match within(self.inner.limits.attempt, self.inner.backend.head(path)).await {
            Ok(_) => {
                let source = "found by the check before the write".into();
                Err(Cause::Backend(object_store::Error::AlreadyExists { path: path.to_string(), source }))
            }
            Err(cause) if cause.verdict() == Verdict::NotFound => Ok(()),
            Err(cause) => Err(cause),
        }
    }

    /// Reads a whole object.
    ///
    /// # Errors
    /// When it does not exist or cannot be read.
    pub async fn get(&self, key: &Key) -> Result<Bytes, StoreError> {
        self.read(key, None).await
    }

    /// Reads a part of an object; fails when the object is shorter.
    ///
    /// # Errors
    /// When it does not exist, is too short, or cannot be read.
    pub async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        self.read(key, Some(range)).await
    }

    async fn read(&self, key: &Key, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        let path = path(key);
        let _lane = lane(&self.inner.reads).await;
        let read = self.retry(Op::Get, |_| self.read_once(&path, range.clone()));
        read.await.map_err(|cause| cause.into_error("read", key))
    }

    async fn read_once(&self, path: &Path, range: Option<Range<u64>>) -> Result<Bytes, Cause> {
        failpoint::hit("store.get.before").await.map_err(Cause::Failpoint)?;
        let (backend, limits) = (&self.inner.backend, &self.inner.limits);
        let options = GetOptions { range: range.clone().map(GetRange::Bounded), ..GetOptions::default() };
        let answer = within(limits.attempt, backend.get_opts(path, options)).await?;
        let announced = answer.range.end.saturating_sub(answer.range.start);
        if let Some(range) = range
            && answer.range != range
        {
            return Err(Cause::Beyond { wanted: range.end, end: answer.meta.size });
        }
        let body = within(limits.time_for(announced), answer.bytes()).await?;
        let got = body.len() as u64;
        self.inner.metrics.read.inc_by(got);
        if got == announced { Ok(body) } else { Err(Cause::Short { announced, got }) }
    }

    /// What the store knows of an object without reading it.
    ///
    /// # Errors
    /// When it does not exist or the store does not answer.
    pub async fn head(&self, key: &Key) -> Result<Listed, StoreError> {
        let path = path(key);
        let _lane = lane(&self.inner.reads).await;
        let head =
            self.retry(Op::Head, |_| within(self.inner.limits.attempt, self.inner.backend.head(&path)));
        head.await.map(|meta| Listed::of(&meta)).map_err(|cause| cause.into_error("read", key))
    }

    /// Whether an object exists.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn exists(&self, key: &Key) -> Result<bool, StoreError> {
        match self.head(key).await {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn retry<T, F>(&self, op: Op, attempt: impl FnMut(u32) -> F) -> Result<T, Cause>
    where
        F: Future<Output = Result<T, Cause>>,
    {
        retry(&self.inner.limits, &self.inner.metrics, op, attempt).await
    }
}

/// A place among the requests under way.
pub(super) async fn lane(lanes: &Semaphore) -> SemaphorePermit<'_> {
    lanes.acquire().await.expect("the lanes are never closed")
}

pub(super) fn path(key: &Key) -> Path {
    Path::from(key.as_str())
}
