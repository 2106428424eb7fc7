//! The handle: put, create, get, list, delete; nothing else is asked of a store.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use dormouse_base::Timestamp;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::key::Key;

/// The store did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No such object.
    #[error("{0} is not in the store")]
    NotFound(Key),
    /// The store is full (a directory on a full disk).
    #[error("the store is full: cannot write {key}")]
    Full {
        /// What was written.
        key: Key,
        /// The cause.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// Anything else, after all retries.
    #[error("cannot {what} {key} in the store")]
    Failed {
        /// What was tried: `read`, `write`, `list`, `delete`.
        what: &'static str,
        /// The object, or the beginning of what was listed.
        key: Key,
        /// The cause.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// Whether it says that the object does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound(_))
    }
}

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

/// A handle of an object store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    backend: Arc<dyn ObjectStore>,
}

impl Store {
    /// A store on a backend of the `object_store` crate.
    #[must_use]
    pub fn new(backend: Arc<dyn ObjectStore>) -> Self {
        Self { backend }
    }

    /// Writes an object. Writing the same bytes again is allowed (a retry does); writing other bytes
    /// under the same key is a bug.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn put(&self, key: &Key, body: Bytes) -> Result<(), StoreError> {
        let put = self.backend.put(&Path::from(key.as_str()), PutPayload::from(body)).await;
        put.map(drop).map_err(|e| failed("write", key, e))
    }

    /// Writes an object unless one with this key exists: the only arbiter between writers.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn create(&self, key: &Key, body: Bytes) -> Result<Created, StoreError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.backend.put_opts(&Path::from(key.as_str()), PutPayload::from(body), options).await {
            Ok(_) => Ok(Created::New),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Created::Exists),
            Err(error) => Err(failed("write", key, error)),
        }
    }

    /// Reads a whole object.
    ///
    /// # Errors
    /// When it does not exist or cannot be read.
    pub async fn get(&self, key: &Key) -> Result<Bytes, StoreError> {
        let read = async { self.backend.get(&Path::from(key.as_str())).await?.bytes().await };
        read.await.map_err(|e| failed("read", key, e))
    }

    /// Reads a part of an object; fails when the object is shorter.
    ///
    /// # Errors
    /// When it does not exist, is too short, or cannot be read.
    pub async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let read = async { self.backend.get_opts(&Path::from(key.as_str()), options).await?.bytes().await };
        let bytes = read.await.map_err(|e| failed("read", key, e))?;
        let wanted = range.end - range.start;
        if bytes.len() as u64 == wanted {
            return Ok(bytes);
        }
        let text = format!("asked for {wanted} bytes, got {}", bytes.len());
        Err(StoreError::Failed { what: "read", key: key.clone(), source: Arc::from(text_error(text)) })
    }

    /// All objects whose key begins with `prefix` (a whole path segment) and is greater than `after`,
    /// in the order of their keys.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn list(&self, prefix: &Key, after: Option<&Key>) -> Result<Vec<Listed>, StoreError> {
        let path = Path::from(prefix.as_str());
        let stream = match after {
            Some(after) => self.backend.list_with_offset(Some(&path), &Path::from(after.as_str())),
            None => self.backend.list(Some(&path)),
        };
        let found: Vec<_> = stream.try_collect().await.map_err(|e| failed("list", prefix, e))?;
        let listed = found.into_iter().map(|meta| Listed {
            key: Key::from_store(meta.location.as_ref()),
            size: meta.size,
            modified: Timestamp::from_microsecond(meta.last_modified.timestamp_micros())
                .unwrap_or(Timestamp::UNIX_EPOCH),
        });
        let mut listed: Vec<Listed> = listed.collect();
        listed.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(listed)
    }

    /// Deletes an object; one that does not exist is no error.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        match self.backend.delete(&Path::from(key.as_str())).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("delete", key, error)),
        }
    }
}

fn text_error(text: String) -> Box<dyn std::error::Error + Send + Sync> {
    text.into()
}

fn failed(what: &'static str, key: &Key, error: object_store::Error) -> StoreError {
    match error {
        object_store::Error::NotFound { .. } => StoreError::NotFound(key.clone()),
        error => StoreError::Failed { what, key: key.clone(), source: Arc::new(error) },
    }
}
