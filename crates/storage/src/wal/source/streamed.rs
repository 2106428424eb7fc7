//! The stream of a compute on this node, whose files are at hand as well.
//!
//! ```text
//!  runs          asked how far it is ─► wait until the stream has that ─► read the spool
//!  stands still  the end of its files ─► read the spool, and the files for what never came
//! ```
//!
//! A frozen or stopped compute sends nothing, so what it wrote last is in its files only; and what was
//! acknowledged to it may be in the spool only. Together they are all of it, at any moment, whatever was killed.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dormouse_base::{Lsn, Timeline};
use dormouse_runtime::task::Scope;
use tokio::sync::OnceCell;

use super::files::Files;
use super::stream::{Acknowledge, Connect, Settings, Stream};
use super::{Chunk, Progress, Source, SourceError};
use crate::wal::reader::Reader;

/// What is flushed comes through the stream within this time, or the question fails and is asked again.
const RECEIVE_WITHIN: Duration = Duration::from_secs(10);

/// See the module.
pub struct Streamed {
    files: Files,
    connect: Arc<dyn Connect>,
    user: String,
    timeline: Timeline,
    spool: PathBuf,
    scope: Scope,
    /// Begins when it is known what is filed already.
    stream: OnceCell<Stream>,
}

impl std::fmt::Debug for Streamed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streamed")
            .field("files", &self.files)
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

impl Streamed {
    /// A stream over `connect` as `user`, who may replicate without a password, into the directory `spool`, which
    /// belongs to this writer alone. `files` are those of the same compute on the same timeline.
    #[must_use]
    pub fn new(
        files: Files,
        timeline: Timeline,
        connect: Arc<dyn Connect>,
        user: &str,
        spool: PathBuf,
        scope: Scope,
    ) -> Self {
        Self { files, connect, user: user.to_owned(), timeline, spool, scope, stream: OnceCell::new() }
    }

    async fn stream(&self, from: Lsn) -> Result<&Stream, SourceError> {
        let begun = self.stream.get_or_try_init(|| {
            let (user, timeline) = (self.user.clone(), self.timeline);
            let settings = Settings { user, timeline, from, acknowledge: Acknowledge::Spooled };
            Stream::start(Arc::clone(&self.connect), settings, &self.spool, &self.scope)
        });
        begun.await.map_err(SourceError::io("open the spool of the compute's WAL"))
    }
}

#[async_trait]
impl Source for Streamed {
    async fn changed(&self, from: Lsn) -> bool {
        self.files.changed(from).await
    }

    async fn progress(&self, from: Lsn) -> Result<Progress, SourceError> {
        let stream = self.stream(from).await?;
        let progress = self.files.progress(from).await?;
        if tokio::time::timeout(RECEIVE_WITHIN, stream.reach(progress.upto)).await.is_err() {
            let why = stream.problem().unwrap_or_else(|| "it comes too slowly".to_owned());
            return Err(SourceError::io("receive the compute's WAL")(io::Error::other(why)));
        }
        Ok(progress)
    }

    async fn read(&self, from: Lsn, upto: Lsn) -> Result<Chunk, SourceError> {
        let stream = self.stream(from).await?;
        let spooled = stream.spooled_at(from, upto).await;
        match spooled.map_err(SourceError::io(format!("read spooled WAL at {from}")))? {
            Some(chunk) => Ok(chunk),
            None => self.files.read(from, upto).await,
        }
    }

    async fn own(&self, timeline: Timeline, from: Lsn, len: usize) -> Option<Vec<u8>> {
        self.files.own(timeline, from, len).await
    }

    async fn release(&self, upto: Lsn) -> Result<(), SourceError> {
        // The stream moves the slot.
        self.stream(upto).await?.release(upto).await
    }

    async fn rest(&self, reader: Reader) -> Result<Lsn, SourceError> {
        self.files.rest(reader).await
    }
}
