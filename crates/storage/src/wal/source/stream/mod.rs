//! The `stream` source: a physical replication client.
//!
//! ```text
//!  walsender ──XLogData──► batch ──► spool (fsync) ──► filer reads ──► filed ──► spool forgets
//!      ▲                                  │
//!      └────────── flushed: spooled ◄─────┘        (or filed: nothing is acknowledged before it is in the store)
//! ```
//!
//! A server that stops waits until a session has got everything, its shutdown checkpoint too; but when no session is
//! open at that moment, or none is beyond its handshake, it waits for nobody, and its last bytes are in its files only.
//! So this source alone knows the end of what came, not of what there is: whoever has the files at hand uses
//! [`streamed`](super::streamed), which looks there for the rest.
//!
//! The session is opened again for ever, with pauses; it continues behind the last spooled byte. When the
//! server has removed that WAL, its slot is made anew and a hole stays in the spool, which the filer sees as
//! lost bytes. The end of a timeline is followed to the next one.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dormouse_base::{Lsn, Timeline, with_causes};
use dormouse_runtime::failpoint;
use dormouse_runtime::task::{Scope, blocking};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Chunk, Progress, Source, SourceError};
use crate::wal::reader::Reader;

mod session;
mod spool;

pub use session::Duplex;
use session::{Event, Session, SessionError};
use spool::Spool;

/// Bytes received that may wait to be filed; beyond it the compute has to keep them.
pub const MAX_SPOOL: u64 = 256 * 1024 * 1024;
/// Bytes that are synced together.
const MAX_BATCH: usize = 1024 * 1024;
/// The server hears from us at least this often; it gives up after a minute.
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// A server that does not finish the handshake is given up.
const OPEN_WITHIN: Duration = Duration::from_secs(20);
/// Between two looks whether something has come that somebody waits for.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Opens connections to the compute.
#[async_trait]
pub trait Connect: Send + Sync {
    /// A connection to the server's socket, before any byte of the protocol.
    ///
    /// # Errors
    /// When nobody listens there.
    async fn connect(&self) -> io::Result<Box<dyn Duplex>>;

    /// Waits until there is a server to connect to. A server that sleeps for days is not tried all the time.
    async fn ready(&self) {}
}

/// What is acknowledged to the server as flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledge {
    /// What is in the spool, durably.
    Spooled,
    /// What is in the store.
    Filed,
}

/// Settings of a stream.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The role; it needs REPLICATION and must not need a password.
    pub user: String,
    /// The timeline to begin with.
    pub timeline: Timeline,
    /// Where to begin when the spool is empty: what is filed already, or the writer's first byte.
    pub from: Lsn,
    /// What is acknowledged.
    pub acknowledge: Acknowledge,
}

#[derive(Debug)]
struct Shared {
    /// Held while bytes are synced: not to be asked for from the executor's threads.
    spool: Mutex<Spool>,
    /// Behind the last byte that is durable in the spool; 0 = it is empty.
    end: AtomicU64,
    released: watch::Sender<Lsn>,
    lost: Mutex<bool>,
    problem: Mutex<Option<String>>,
}

impl Shared {
    fn end(&self) -> Lsn {
        Lsn(self.end.load(Ordering::Acquire))
    }

    fn is_full(&self) -> bool {
        self.spool.lock().len() >= MAX_SPOOL
    }

    /// Waits until there is room in the spool. There is no session meanwhile, because a server that stops waits
    /// until a session has got everything.
    async fn room(&self) {
        let mut released = self.released.subscribe();
        while self.is_full() && released.changed().await.is_ok() {}
    }
}

/// A running stream.
#[derive(Debug)]
pub struct Stream {
    shared: Arc<Shared>,
}

impl Stream {
    /// Opens the spool in `dir` and starts receiving in a task of `scope`.
    ///
    /// # Errors
    /// When the spool cannot be opened.
    pub async fn start(
        connect: Arc<dyn Connect>,
        settings: Settings,
        dir: &Path,
        scope: &Scope,
    ) -> io::Result<Self> {
        let (dir, from) = (dir.to_owned(), settings.from);
        let spool = blocking(move || {
            let mut spool = Spool::open(&dir)?;
            spool.release(from)?;
            Ok::<_, io::Error>(spool)
        });
        let spool = spool.await?;
        let shared = Arc::new(Shared {
            end: AtomicU64::new(spool.end().unwrap_or_default().0),
            spool: Mutex::new(spool),
            released: watch::Sender::new(settings.from),
            lost: Mutex::new(false),
            problem: Mutex::new(None),
        });
        let (token, task) = (scope.token(), Arc::clone(&shared));
        scope.spawn("wal-stream", async move {
            tokio::select! {
                () = run(&task, &*connect, &settings) => {}
                () = token.cancelled() => {}
            }
        });
        Ok(Self { shared })
    }

    /// Why there is no session now.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.shared.problem.lock().clone()
    }

    /// Waits until everything before `upto` is here.
    pub(super) async fn reach(&self, upto: Lsn) {
        while self.shared.end().max(*self.shared.released.borrow()) < upto {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Reads from `from` on, if that is here.
    pub(super) async fn spooled_at(&self, from: Lsn, upto: Lsn) -> io::Result<Option<Chunk>> {
        let max = usize::try_from(upto.since(from)).unwrap_or(spool::MAX_FRAME);
        let shared = Arc::clone(&self.shared);
        let read = blocking(move || shared.spool.lock().read(from, max)).await?;
        Ok(read.map(|(timeline, bytes)| Chunk::Bytes { timeline, bytes }))
    }

    /// Bytes that are spooled.
    #[must_use]
    pub fn spooled(&self) -> u64 {
        self.shared.spool.lock().len()
    }
}

async fn run(shared: &Arc<Shared>, connect: &dyn Connect, settings: &Settings) {
    let mut timeline = settings.timeline;
    let mut pause = RETRY_FIRST;
    // The WAL that is needed was removed, as the last session said (when it read it, not when it started).
    let mut gone = false;
    loop {
        connect.ready().await;
        shared.room().await;
        let before = shared.end();
        let error = match receive(shared, connect, settings, &mut timeline, gone).await {
            Ok(()) => continue,
            Err(error) => error,
        };
        gone = matches!(error, SessionError::Gone(_)) || (gone && shared.end() == before);
        let problem = with_causes(&error);
        tracing::debug!(problem, "replication session ended");
        *shared.problem.lock() = Some(problem);
        // A session that brought something was a good one.
        pause = if shared.end() == before { (pause * 2).min(RETRY_MAX) } else { RETRY_FIRST };
        tokio::time::sleep(pause).await;
    }
}

/// One session, up to its end or the end of a timeline.
async fn receive(
    shared: &Arc<Shared>,
    connect: &dyn Connect,
    settings: &Settings,
    timeline: &mut Timeline,
    gone: bool,
) -> Result<(), SessionError> {
    let open = async {
        failpoint::hit("wal.stream.open").await.map_err(SessionError::Io)?;
        let stream = connect.connect().await.map_err(SessionError::Io)?;
        let mut session = Session::open(stream, &settings.user).await?;
        session.identify().await?;
        session.ensure_slot().await?;
        Ok(session)
    };
    let open = tokio::time::timeout(OPEN_WITHIN, open).await;
    let mut session = open.map_err(|_| SessionError::Io(io::ErrorKind::TimedOut.into()))??;
    let known = { shared.spool.lock().timeline() };
    *timeline = known.unwrap_or(*timeline).max(*timeline);
    // What was filed from elsewhere need not come.
    let mut at = { shared.spool.lock().end() }.unwrap_or_default().max(*shared.released.borrow());
    if gone {
        tracing::error!(%at, "the compute removed WAL that was not received");
        session.drop_slot().await?;
        session.ensure_slot().await?;
        *shared.lost.lock() = true;
        let from = session.slot_start().await?.filter(|from| *from > at);
        at = from.ok_or_else(|| SessionError::Protocol("the new slot holds nothing newer".to_owned()))?;
    }
    session.start(at, *timeline).await?;
    *shared.problem.lock() = None;
    stream(shared, &mut session, settings.acknowledge, timeline, at).await
}

async fn stream(
    shared: &Arc<Shared>,
    session: &mut Session,
    acknowledge: Acknowledge,
    timeline: &mut Timeline,
    mut at: Lsn,
) -> Result<(), SessionError> {
    let mut released = shared.released.subscribe();
    let mut batch: Vec<u8> = Vec::new();
    loop {
        if shared.is_full() {
            return Ok(());
        }
        let flushed = |at: Lsn| match acknowledge {
            Acknowledge::Spooled => at,
            Acknowledge::Filed => *shared.released.borrow(),
        };
        let event = tokio::select! {
            event = session.next() => Some(event?),
            Ok(()) = released.changed(), if acknowledge == Acknowledge::Filed => None,
            () = tokio::time::sleep(REPORT_EVERY) => None,
        };
        let mut answer = event.is_none();
        match event {
            Some(Event::Wal(data)) => {
                if Lsn(data.start) != at.plus(batch.len() as u64) {
                    return Err(SessionError::Protocol(format!(
                        "WAL comes at {} instead of {at}",
                        Lsn(data.start)
                    )));
                }
                batch.extend_from_slice(&data.wal);
            }
            Some(Event::Keepalive(keepalive)) => answer = keepalive.reply,
            Some(Event::NextTimeline(next)) => {
                spool(shared, *timeline, &mut at, &mut batch).await?;
                let (next, from) =
                    next.ok_or_else(|| SessionError::Protocol("no next timeline".to_owned()))?;
                tracing::info!(%next, %from, "the compute's timeline ended");
                *timeline = next;
                return Ok(());
            }
            None => {}
        }
        if !batch.is_empty() && (!session.has_more() || batch.len() >= MAX_BATCH) {
            spool(shared, *timeline, &mut at, &mut batch).await?;
            answer = true;
        }
        if answer {
            failpoint::hit("wal.stream.report").await.map_err(SessionError::Io)?;
            session.report(at, flushed(at)).await?;
        }
    }
}

/// Makes a batch durable.
async fn spool(
    shared: &Arc<Shared>,
    timeline: Timeline,
    at: &mut Lsn,
    batch: &mut Vec<u8>,
) -> Result<(), SessionError> {
    if batch.is_empty() {
        return Ok(());
    }
    let (shared, start, bytes) = (Arc::clone(shared), *at, std::mem::take(batch));
    *at = start.plus(bytes.len() as u64);
    let written = blocking(move || {
        let mut spool = shared.spool.lock();
        spool.append(start, timeline, &bytes)?;
        shared.end.store(start.plus(bytes.len() as u64).0, Ordering::Release);
        Ok(())
    });
    written.await.map_err(SessionError::Io)
}

#[async_trait]
impl Source for Stream {
    async fn changed(&self, from: Lsn) -> bool {
        self.shared.end() > from
    }

    async fn progress(&self, from: Lsn) -> Result<Progress, SourceError> {
        let upto = self.shared.end().max(from);
        Ok(Progress { upto, slot_lost: std::mem::take(&mut *self.shared.lost.lock()) })
    }

    async fn read(&self, from: Lsn, upto: Lsn) -> Result<Chunk, SourceError> {
        let max = usize::try_from(upto.since(from)).unwrap_or(spool::MAX_FRAME);
        let shared = Arc::clone(&self.shared);
        let read = blocking(move || {
            let spool = shared.spool.lock();
            spool.read(from, max).map(|read| read.ok_or_else(|| spool.next_start(from)))
        });
        let what = || format!("read spooled WAL at {from}");
        match read.await.map_err(SourceError::io(what()))? {
            Ok((timeline, bytes)) => Ok(Chunk::Bytes { timeline, bytes }),
            Err(Some(until)) => Ok(Chunk::Lost { until }),
            Err(None) => Err(SourceError::io(what())(io::ErrorKind::NotFound.into())),
        }
    }

    async fn own(&self, _: Timeline, _: Lsn, _: usize) -> Option<Vec<u8>> {
        None
    }

    async fn release(&self, upto: Lsn) -> Result<(), SourceError> {
        let shared = Arc::clone(&self.shared);
        let forgotten = blocking(move || shared.spool.lock().release(upto)).await;
        forgotten.map_err(SourceError::io("remove spooled WAL"))?;
        self.shared.released.send_replace(upto);
        Ok(())
    }

    /// The end of what came. Without an open session at the stop that is before the end of what there is, see above.
    async fn rest(&self, reader: Reader) -> Result<Lsn, SourceError> {
        Ok(self.shared.end().max(reader.position()))
    }
}
