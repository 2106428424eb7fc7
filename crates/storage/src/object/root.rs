//! The directory of a store is the one that was opened, or nothing is read or written there.
//!
//! A path is only a name: behind it may be another directory tomorrow, the empty place where nothing is mounted
//! any more, or nothing, and the backend makes directories that are missing. What is written there is not in
//! the store, and what is not found there may well be in it. So the directory is held open, and the path must
//! still lead to it:
//!
//! - before and behind each write and each listing;
//! - when something was not found or failed. What was found needs no such question.
//!
//! Held open, a file system cannot be unmounted by mistake either.

use std::fmt;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dormouse_runtime::task::blocking;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, future, stream};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use rustix::fs::{Mode, OFlags, Stat};

/// How the backend calls itself in its errors; ours are judged like them.
const BACKEND: &str = "LocalFileSystem";

/// The path does not lead to the directory that was opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "the store's directory {} is not there: it was moved, or nothing is mounted there any more. Put it back; \
     if it was mounted anew, start the server again",
    path.display()
)]
pub(super) struct Elsewhere {
    path: PathBuf,
    /// Nothing = there is another directory.
    #[source]
    source: Option<io::Error>,
}

/// The directory of a store, held open.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    held: OwnedFd,
}

impl Root {
    /// Opens a directory. Blocks.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let held = rustix::fs::open(&path, flags, Mode::empty())?;
        Ok(Self { path, held })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the path still leads to it. Blocks.
    pub(super) fn check(&self) -> std::result::Result<(), Elsewhere> {
        let which = |stat: Stat| (stat.st_dev, stat.st_ino);
        let there = rustix::fs::stat(&self.path).map(which);
        match (there, rustix::fs::fstat(&self.held).map(which)) {
            (Ok(there), Ok(ours)) if there == ours => Ok(()),
            (Ok(_), Ok(_)) => Err(self.elsewhere(None)),
            (Err(errno), _) | (_, Err(errno)) => Err(self.elsewhere(Some(errno.into()))),
        }
    }

    fn elsewhere(&self, source: Option<io::Error>) -> Elsewhere {
        Elsewhere { path: self.path.clone(), source }
    }
}

/// A backend that works in the directory that was opened, or not at all.
#[derive(Debug, Clone)]
pub(super) struct Rooted {
    inner: Arc<LocalFileSystem>,
    root: Arc<Root>,
}

impl Rooted {
    pub(super) fn new(inner: LocalFileSystem, root: Arc<Root>) -> Self {
        Self { inner: Arc::new(inner), root }
    }

    /// On a thread that may wait: a file system of the network can hang.
    async fn check(&self) -> Result<()> {
        let root = Arc::clone(&self.root);
        let checked = blocking(move || root.check()).await;
        checked.map_err(|source| Error::Generic { store: BACKEND, source: Box::new(source) })
    }

    /// What was found is the store's; what was not may be somewhere else.
    async fn found<T>(&self, answer: Result<T>) -> Result<T> {
        if answer.is_err() {
            self.check().await?;
        }
        answer
    }

    fn listing(
        &self,
        list: impl FnOnce(&LocalFileSystem) -> BoxStream<'static, Result<ObjectMeta>> + Send + 'static,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (before, behind) = (self.clone(), self.clone());
        let listed = async move {
            before.check().await?;
            Ok::<_, Error>(list(&before.inner))
        };
        let still = async move { behind.check().await.err().map(Err) };
        stream::once(listed).try_flatten().chain(stream::once(still).filter_map(future::ready)).boxed()
    }
}

impl fmt::Display for Rooted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Rooted {
    async fn put_opts(
        &self,
        location: &Location,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.check().await?;
        let done = self.inner.put_opts(location, payload, opts).await;
        self.check().await?;
        done
    }

    async fn put_multipart_opts(
        &self,
        location: &Location,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.check().await?;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Location, options: GetOptions) -> Result<GetResult> {
        let answer = self.inner.get_opts(location, options).await;
        self.found(answer).await
    }

    async fn get_ranges(&self, location: &Location, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let answer = self.inner.get_ranges(location, ranges).await;
        self.found(answer).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Location>>,
    ) -> BoxStream<'static, Result<Location>> {
        let store = self.clone();
        let deleting = async move {
            store.check().await?;
            Ok::<_, Error>(store.inner.delete_stream(locations))
        };
        stream::once(deleting).try_flatten().boxed()
    }

    fn list(&self, prefix: Option<&Location>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned();
        self.listing(move |inner| inner.list(prefix.as_ref()))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Location>,
        offset: &Location,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (prefix, offset) = (prefix.cloned(), offset.clone());
        self.listing(move |inner| inner.list_with_offset(prefix.as_ref(), &offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Location>) -> Result<ListResult> {
        self.check().await?;
        let listed = self.inner.list_with_delimiter(prefix).await;
        self.check().await?;
        listed
    }

    async fn copy_opts(&self, from: &Location, to: &Location, options: CopyOptions) -> Result<()> {
        self.check().await?;
        let done = self.inner.copy_opts(from, to, options).await;
        self.check().await?;
        done
    }
}
