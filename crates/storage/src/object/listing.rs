//! Finding objects and removing them.

use std::time::Duration;

use dormouse_runtime::failpoint;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use super::attempt::within;
use super::error::{Cause, StoreError, Verdict};
use super::metrics::Op;
use super::store::{Listed, Store, lane, path};
use crate::key::Key;

/// Objects in one request that deletes many.
const DELETE_BATCH: usize = 1000;

/// Further time that a request gets for each object that it deletes.
const DELETE_TIME: Duration = Duration::from_millis(20);

impl Store {
    /// All objects whose key begins with `prefix` (a whole path segment) and is greater than `after`,
    /// in the order of their keys.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn list(&self, prefix: &Key, after: Option<&Key>) -> Result<Vec<Listed>, StoreError> {
        let (path, after) = (path(prefix), after.map(path));
        let _lane = lane(&self.inner.reads).await;
        let found = self.retry(Op::List, |_| self.list_once(&path, after.as_ref()));
        let found = found.await.map_err(|cause| cause.into_error("list", prefix))?;
        let mut listed: Vec<Listed> = found.iter().map(Listed::of).collect();
        listed.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(listed)
    }

    async fn list_once(&self, path: &Path, after: Option<&Path>) -> Result<Vec<ObjectMeta>, Cause> {
        failpoint::hit("store.list.before").await.map_err(Cause::Failpoint)?;
        let stream = match after {
            Some(after) => self.inner.backend.list_with_offset(Some(path), after),
            None => self.inner.backend.list(Some(path)),
        };
        within(self.inner.limits.listing, stream.try_collect()).await
    }

    /// The first key that a listing of the whole store tells, if any.
    pub(super) async fn any(&self) -> Result<Option<Key>, StoreError> {
        let first = self.retry(Op::List, |_| {
            let mut stream = self.inner.backend.list(None);
            within(self.inner.limits.attempt, async move { stream.next().await.transpose() })
        });
        let everything = Key::from_store("everything");
        let first = first.await.map_err(|cause| cause.into_error("list", &everything))?;
        Ok(first.map(|meta| Key::from_store(meta.location.as_ref())))
    }

    /// The names of the "directories" right below a prefix, in order.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn children(&self, prefix: &Key) -> Result<Vec<String>, StoreError> {
        let path = path(prefix);
        let _lane = lane(&self.inner.reads).await;
        let (backend, time) = (&self.inner.backend, self.inner.limits.listing);
        let listed = self.retry(Op::List, |_| within(time, backend.list_with_delimiter(Some(&path))));
        let listed = listed.await.map_err(|cause| cause.into_error("list", prefix))?;
        let names = listed.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned));
        let mut names: Vec<String> = names.collect();
        names.sort();
        Ok(names)
    }

    /// Deletes an object; one that does not exist is no error.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let path = path(key);
        let _lane = lane(&self.inner.writes).await;
        let deleted = self.retry(Op::Delete, |_| self.delete_once(&path));
        deleted.await.map_err(|cause| cause.into_error("delete", key))
    }

    async fn delete_once(&self, path: &Path) -> Result<(), Cause> {
        failpoint::hit("store.delete.before").await.map_err(Cause::Failpoint)?;
        match within(self.inner.limits.attempt, self.inner.backend.delete(path)).await {
            Err(cause) if cause.verdict() == Verdict::NotFound => Ok(()),
            done => done,
        }
    }

    /// Deletes many objects, in batches where the store can. Stops at the first batch that fails; those
    /// before it are gone.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn delete_all(&self, keys: &[Key]) -> Result<(), StoreError> {
        for batch in keys.chunks(DELETE_BATCH) {
            let paths: Vec<Path> = batch.iter().map(path).collect();
            let _lane = lane(&self.inner.writes).await;
            let deleted = self.retry(Op::Delete, |_| self.delete_batch(paths.clone()));
            deleted.await.map_err(|cause| cause.into_error("delete", &batch[0]))?;
        }
        Ok(())
    }

    async fn delete_batch(&self, paths: Vec<Path>) -> Result<(), Cause> {
        failpoint::hit("store.delete.batch").await.map_err(Cause::Failpoint)?;
        let time = self.inner.limits.attempt + DELETE_TIME * u32::try_from(paths.len()).unwrap_or(u32::MAX);
        let mut gone = self.inner.backend.delete_stream(stream::iter(paths).map(Ok).boxed());
        let all = async {
            while let Some(deleted) = gone.next().await {
                match deleted {
                    Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        within(time, all).await
    }
}
