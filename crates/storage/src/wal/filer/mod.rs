//! The filer puts the WAL of one writer (branch, epoch, timeline) into the store, piece by piece.
//!
//! ```text
//!            ┌── nothing changed ◄──┐
//!  resume ─► wait ── changed ─► ask the source ── 10 s old, 16 MiB, or asked for ─► read, cut, PUT, release
//!            ▲                                                                                    │
//!            └──────────────── store or source failed: back off, for ever, lag grows ◄────────────┘
//! ```
//!
//! Pieces are filed in order, one after the other, so what is filed has no hole. They are cut behind a record
//! when there is one, so that most pieces can be read alone. A filer that starts again continues behind the
//! last piece of its own epoch; a listing that is stale makes it file some bytes twice (the same bytes, under
//! other names), never leave some out. It never touches another epoch's pieces.

use std::sync::Arc;
use std::time::Duration;

use dormouse_base::{BranchId, Epoch, Lsn, ProjectId, Timeline};
use dormouse_runtime::task::Scope;
use tokio::sync::{mpsc, oneshot, watch};

use super::page::Major;
use super::source::Source;
use crate::object::Store;

mod cut;
mod resume;
mod status;
mod stopped;
#[cfg(test)]
mod tests;
mod work;

pub use status::{Gap, Status};

/// Requests that may wait.
const MAX_REQUESTS: usize = 64;

/// Whose WAL it is and where it begins.
#[derive(Debug, Clone)]
pub struct Writer {
    /// The project.
    pub project: ProjectId,
    /// The branch.
    pub branch: BranchId,
    /// The writer's epoch.
    pub epoch: Epoch,
    /// The timeline that it began on.
    pub timeline: Timeline,
    /// Its first byte; a record begins there.
    pub from: Lsn,
    /// PostgreSQL's version.
    pub major: Major,
    /// Commit time of what came before (of the parent), microseconds since 2000-01-01; 0 = not known.
    pub last_commit: u64,
}

/// The limits of a filer.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A piece is filed when its oldest byte is this old.
    pub piece_age: Duration,
    /// How often the files are looked at.
    pub look_every: Duration,
    /// How often a compute that writes is asked.
    pub ask_every: Duration,
    /// The first pause after a failure; it doubles.
    pub retry_first: Duration,
    /// The longest pause after a failure.
    pub retry_max: Duration,
    /// How long a listing of the store may be stale.
    pub stale_list: Duration,
    /// A lag that is older is an alarm.
    pub alarm_age: Duration,
    /// A lag that is larger is an alarm, in bytes.
    pub alarm_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            piece_age: Duration::from_secs(10),
            look_every: Duration::from_millis(500),
            ask_every: Duration::from_secs(3),
            retry_first: Duration::from_millis(200),
            retry_max: Duration::from_secs(15),
            stale_list: Duration::from_secs(20),
            alarm_age: Duration::from_secs(60),
            alarm_bytes: 512 * 1024 * 1024,
        }
    }
}

/// A request could not be fulfilled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// The filer has ended.
    #[error("the WAL of this compute is not being filed any more")]
    Ended,
    /// See [`Status::diverged`].
    #[error("the compute's WAL is not the one that was filed")]
    Diverged,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Everything that is flushed now.
    Now,
    /// At least this much, as soon as it is flushed.
    Upto(Lsn),
    /// Everything that a stopped compute left.
    Rest,
}

#[derive(Debug)]
struct Request {
    wanted: Wanted,
    reply: oneshot::Sender<Result<Lsn, FileError>>,
}

/// A handle of a running filer. Dropping it does not end the filer; its scope does.
#[derive(Debug, Clone)]
pub struct Filer {
    requests: mpsc::Sender<Request>,
    status: watch::Receiver<Status>,
    awake: Arc<watch::Sender<bool>>,
}

impl Filer {
    /// Starts filing in a task of `scope`.
    #[must_use]
    pub fn start(
        store: Store,
        writer: Writer,
        source: Arc<dyn Source>,
        limits: Limits,
        scope: &Scope,
    ) -> Self {
        let (requests, receiver) = mpsc::channel(MAX_REQUESTS);
        let (status, watcher) = watch::channel(Status { filed: writer.from, ..Status::default() });
        let (awake, is_awake) = watch::channel(true);
        let worker = work::Worker::new(store, writer, source, limits, status);
        let token = scope.token();
        scope.spawn("wal-filer", async move {
            tokio::select! {
                () = worker.run(receiver, is_awake) => {}
                () = token.cancelled() => {}
            }
        });
        Self { requests, status: watcher, awake: Arc::new(awake) }
    }

    /// Files everything that is flushed, or everything up to `upto` as soon as it is flushed. Tries for ever:
    /// put a limit around it. Answers with the position that is filed.
    ///
    /// # Errors
    /// When the filer has ended or cannot go on.
    pub async fn file_now(&self, upto: Option<Lsn>) -> Result<Lsn, FileError> {
        if self.status.borrow().diverged {
            return Err(FileError::Diverged);
        }
        if let Some(upto) = upto.filter(|upto| *upto <= self.status.borrow().filed) {
            return Ok(upto.max(self.status.borrow().filed));
        }
        self.ask(upto.map_or(Wanted::Now, Wanted::Upto)).await
    }

    /// The compute has stopped, well or not: files what it left. Answers with the end of its WAL, which is
    /// where its own crash recovery would end. Tries for ever.
    ///
    /// # Errors
    /// When the filer has ended or cannot go on.
    pub async fn finish(&self) -> Result<Lsn, FileError> {
        self.ask(Wanted::Rest).await
    }

    async fn ask(&self, wanted: Wanted) -> Result<Lsn, FileError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request { wanted, reply }).await.map_err(|_| FileError::Ended)?;
        answer.await.map_err(|_| FileError::Ended)?
    }

    /// The compute is frozen or stopped: nothing is asked or looked at until [`Filer::resume`]. Requests are
    /// still tried.
    pub fn pause(&self) {
        self.awake.send_replace(false);
    }

    /// The compute runs.
    pub fn resume(&self) {
        self.awake.send_replace(true);
    }

    /// What it is doing.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }
}
