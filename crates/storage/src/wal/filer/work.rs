//! The filer's task.

use std::sync::Arc;

use dormouse_base::clock::Mono;
use dormouse_base::{Lsn, with_causes};
use dormouse_runtime::failpoint;
use dormouse_runtime::task::blocking;
use tokio::sync::{Semaphore, mpsc, watch};

use super::cut::{Cut, cut};
use super::status::MAX_GAPS;
use super::stopped::Stopped;
use super::{FileError, Gap, Limits, Request, Status, Wanted, Writer, resume};
use crate::key::{self, Key};
use crate::object::Store;
use crate::wal::piece::{self, MAX_PIECE};
use crate::wal::reader::Reader;
use crate::wal::source::{Chunk, Source};

/// Pieces that all filers of this process make at the same time: each costs up to three times 16 MiB of memory.
const MAX_PIECES: usize = 8;
static PIECES: Semaphore = Semaphore::const_new(MAX_PIECES);

/// Unanswered questions before a warning: a compute takes seconds to stop or to recover.
const NO_ANSWERS: u32 = 7;

pub(super) struct Worker {
    store: Store,
    writer: Writer,
    wal: Key,
    source: Arc<dyn Source>,
    limits: Limits,
    status: watch::Sender<Status>,
    /// Stands behind the last byte that is filed; `None` until the store was read.
    reader: Option<Reader>,
    /// When something unfiled was seen first.
    dirty: Option<Mono>,
    asked: Option<Mono>,
    started: Mono,
    failures: u32,
}

impl Worker {
    pub(super) fn new(
        store: Store,
        writer: Writer,
        source: Arc<dyn Source>,
        limits: Limits,
        status: watch::Sender<Status>,
    ) -> Self {
        let wal = key::wal(&writer.project, &writer.branch, writer.epoch);
        let started = Mono::now();
        Self {
            store,
            writer,
            wal,
            source,
            limits,
            status,
            reader: None,
            dirty: None,
            asked: None,
            started,
            failures: 0,
        }
    }

    pub(super) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        mut awake: watch::Receiver<bool>,
    ) {
        loop {
            let paused = !*awake.borrow_and_update();
            tokio::select! {
                Some(request) = requests.recv() => self.serve(request).await,
                Ok(()) = awake.changed() => {}
                () = tokio::time::sleep(self.pause()), if !paused => {
                    let result = self.look().await;
                    self.note(result);
                }
                // Paused, and nobody has a handle any more.
                else => return,
            }
        }
    }

    /// Until the next look.
    fn pause(&self) -> std::time::Duration {
        if self.failures == 0 {
            return self.limits.look_every;
        }
        let doubled = self.limits.retry_first.saturating_mul(1 << (self.failures - 1).min(16));
        doubled.min(self.limits.retry_max)
    }

    fn note(&mut self, result: Result<(), Stopped>) {
        match result {
            Ok(()) => {
                self.failures = 0;
                self.status.send_if_modified(|status| status.problem.take().is_some());
            }
            Err(stopped) => {
                let problem = with_causes(&stopped);
                // One failure is a hiccup of the store; some are a compute that stops or comes back at this moment.
                let told_at = if stopped.is_no_answer() { NO_ANSWERS } else { 1 };
                if self.failures == told_at {
                    tracing::warn!(branch = %self.writer.branch, problem, "cannot file WAL; will try again");
                }
                self.failures = self.failures.saturating_add(1);
                let diverged = matches!(stopped, Stopped::Diverged);
                self.status.send_modify(|status| {
                    status.problem = Some(problem);
                    status.diverged |= diverged;
                });
            }
        }
    }

    /// Fulfils a request, however long it takes, unless nobody waits for it any more.
    async fn serve(&mut self, request: Request) {
        let Request { wanted, mut reply } = request;
        loop {
            let result = tokio::select! {
                result = self.try_serve(wanted) => result,
                () = reply.closed() => return,
            };
            let filed = match result {
                Ok(filed) => filed,
                Err(stopped) => {
                    let diverged = matches!(stopped, Stopped::Diverged);
                    self.note(Err(stopped));
                    if diverged {
                        let _gone = reply.send(Err(FileError::Diverged));
                        return;
                    }
                    None
                }
            };
            if let Some(filed) = filed {
                self.note(Ok(()));
                let _gone = reply.send(Ok(filed));
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(self.pause().min(self.limits.look_every)) => {}
                () = reply.closed() => return,
            }
        }
    }

    /// The filed position when the request is fulfilled; `None` when the compute is not that far.
    async fn try_serve(&mut self, wanted: Wanted) -> Result<Option<Lsn>, Stopped> {
        self.begin().await?;
        let target = match wanted {
            Wanted::Rest => {
                failpoint::hit("wal.filer.finish").await.map_err(Stopped::Failpoint)?;
                let reader = self.reader().clone();
                self.source.rest(reader).await.map_err(Stopped::Source)?
            }
            Wanted::Now | Wanted::Upto(_) => self.ask().await?,
        };
        // One that stands still cannot be told what it need not hold any more.
        self.file(target, true, wanted != Wanted::Rest).await?;
        let filed = self.filed();
        Ok(match wanted {
            Wanted::Upto(upto) => (filed >= upto).then_some(filed),
            Wanted::Now => Some(filed),
            Wanted::Rest => Some(target.max(filed)),
        })
    }

    /// What is done from time to time.
    async fn look(&mut self) -> Result<(), Stopped> {
        self.begin().await?;
        if self.dirty.is_none() {
            if !self.source.changed(self.filed()).await {
                return Ok(());
            }
            self.mark_dirty();
        }
        let old = self.dirty.is_some_and(|since| since.elapsed() >= self.limits.piece_age);
        let may_ask = self.asked.is_none_or(|asked| asked.elapsed() >= self.limits.ask_every);
        if !old && !may_ask {
            return Ok(());
        }
        let upto = self.ask().await?;
        if upto <= self.filed() {
            // Written, but not yet flushed, or only looked at.
            self.clear_dirty();
            return Ok(());
        }
        if old || upto.since(self.filed()) >= MAX_PIECE {
            self.file(upto, false, true).await?;
        }
        Ok(())
    }

    /// Reads the store once. Ends at once when the compute's WAL is known to be another one: what it writes later
    /// must not be filed behind what it lost, however far it gets.
    async fn begin(&mut self) -> Result<(), Stopped> {
        if self.status.borrow().diverged {
            return Err(Stopped::Diverged);
        }
        if self.reader.is_some() {
            return Ok(());
        }
        failpoint::hit("wal.filer.resume").await.map_err(Stopped::Failpoint)?;
        let place = resume::find(&self.store, &self.writer).await?;
        self.status.send_modify(|status| {
            status.filed = place.reader.position();
            status.last_commit = place.reader.last_commit();
            status.gaps = place.gaps;
        });
        if let Some(tail) = &place.tail
            && tail.differs(self.source.as_ref()).await
        {
            return Err(Stopped::Diverged);
        }
        self.reader = Some(place.reader);
        Ok(())
    }

    fn reader(&self) -> &Reader {
        self.reader.as_ref().expect("every way here begins with `begin`")
    }

    fn filed(&self) -> Lsn {
        self.reader().position()
    }

    fn mark_dirty(&mut self) {
        let since = *self.dirty.get_or_insert_with(Mono::now);
        self.status.send_if_modified(|status| status.behind_since.replace(since) != Some(since));
    }

    fn clear_dirty(&mut self) {
        self.dirty = None;
        self.status.send_if_modified(|status| status.behind_since.take().is_some());
    }

    async fn ask(&mut self) -> Result<Lsn, Stopped> {
        let filed = self.filed();
        let progress = self.source.progress(filed).await.map_err(Stopped::Source)?;
        self.asked = Some(Mono::now());
        if progress.upto < filed {
            return Err(Stopped::Diverged);
        }
        self.status.send_modify(|status| {
            status.flushed = progress.upto;
            status.slot_losses += u32::from(progress.slot_lost);
        });
        if progress.upto > filed {
            self.mark_dirty();
        }
        Ok(progress.upto)
    }

    /// Files everything up to `target`; unless it `must` be all, what belongs to an unfinished record waits.
    /// What is filed the compute need not hold, if it can be told.
    async fn file(&mut self, target: Lsn, must: bool, tell: bool) -> Result<(), Stopped> {
        let before = self.filed();
        let mut result = Ok(true);
        while self.filed() < target && matches!(result, Ok(true)) {
            result = self.file_piece(target, must).await;
        }
        if self.filed() > before {
            self.dirty = None;
            if self.filed() < target {
                self.mark_dirty();
            } else {
                self.clear_dirty();
            }
            let filed = self.filed();
            failpoint::hit("wal.filer.release").await.map_err(Stopped::Failpoint)?;
            // Filed is filed; a slot that is moved later holds a little more until then.
            if tell && let Err(error) = self.source.release(filed).await {
                tracing::debug!(error = with_causes(&error), "cannot release WAL now");
            }
        } else if self.filed() < target && matches!(result, Ok(false)) {
            // Only a part of a record is there; its age counts from now.
            self.dirty = None;
            self.mark_dirty();
        }
        result.map(drop)
    }

    /// Files one piece. False: the rest is a part of a record.
    async fn file_piece(&mut self, target: Lsn, must: bool) -> Result<bool, Stopped> {
        let _turn = PIECES.acquire().await.expect("it is never closed");
        let start = self.filed();
        let (timeline, bytes) = match self.gather(start, target).await? {
            Ok(gathered) => gathered,
            Err(until) => {
                self.gap(start, until).await?;
                return Ok(true);
            }
        };
        let all = start.plus(bytes.len() as u64);
        let full = all.since(start) >= MAX_PIECE;
        let wal = self.wal.clone();
        let reader = self.reader().clone();
        // A full piece ends behind a record if any does; what must be filed, at its very end.
        let made = blocking(move || {
            let whole = must && all == target && !full;
            let cut = cut(&reader, timeline, &bytes, whole)
                .or_else(|| (full || all < target).then(|| cut(&reader, timeline, &bytes, true)).flatten())?;
            let object = piece::encode(&cut.header, &bytes[..cut.len]);
            Some((cut.header.name().key(&wal), object, cut))
        });
        let Some((key, object, cut)) = made.await else { return Ok(false) };
        failpoint::hit("wal.piece.put.before").await.map_err(Stopped::Failpoint)?;
        let stored = object.len() as u64;
        self.store.put(&key, object).await.map_err(Stopped::Store)?;
        failpoint::hit("wal.piece.put.after").await.map_err(Stopped::Failpoint)?;
        self.filed_piece(cut, stored);
        Ok(true)
    }

    fn filed_piece(&mut self, cut: Cut, stored: u64) {
        let header = cut.header;
        if let Some(invalid) = cut.invalid {
            tracing::error!(branch = %self.writer.branch, %invalid, "the compute's WAL is not valid; filed as it is");
        }
        self.status.send_modify(|status| {
            status.filed = header.end;
            status.last_commit = header.last_commit;
            status.invalid = cut.invalid.or(status.invalid);
            status.pieces += 1;
            status.plain_bytes += header.end.since(header.start);
            status.stored_bytes += stored;
        });
        self.reader = Some(cut.reader);
    }

    /// Reads what one piece can hold, of one timeline. The error is where bytes are again.
    async fn gather(
        &self,
        start: Lsn,
        target: Lsn,
    ) -> Result<Result<(dormouse_base::Timeline, Vec<u8>), Lsn>, Stopped> {
        let stop = target.min(start.plus(MAX_PIECE));
        let mut gathered: Option<(dormouse_base::Timeline, Vec<u8>)> = None;
        loop {
            let at = start.plus(gathered.as_ref().map_or(0, |(_, bytes)| bytes.len() as u64));
            if at >= stop {
                break;
            }
            let chunk = self.source.read(at, stop).await.map_err(Stopped::Source)?;
            match (chunk, &mut gathered) {
                (Chunk::Bytes { timeline, bytes }, None) => gathered = Some((timeline, bytes)),
                (Chunk::Bytes { timeline, bytes }, Some((first, all))) if timeline == *first => {
                    all.extend(bytes);
                }
                (Chunk::Lost { until }, None) => return Ok(Err(until)),
                // Another timeline or a gap begins: what comes before it is a piece of its own.
                (_, Some(_)) => break,
            }
        }
        Ok(Ok(gathered.expect("the loop reads at least once, because start < target")))
    }

    /// Some WAL is gone. Unless the store has it (a listing was stale), it is a gap.
    async fn gap(&mut self, from: Lsn, to: Lsn) -> Result<(), Stopped> {
        failpoint::hit("wal.filer.gap").await.map_err(Stopped::Failpoint)?;
        if resume::reaches_beyond(&self.store, &self.writer, from).await? {
            self.reader = None;
            return Err(Stopped::StaleList);
        }
        let fresh = self.status.borrow().pieces == 0;
        if fresh && self.started.elapsed() < self.limits.stale_list {
            return Err(Stopped::StaleList);
        }
        tracing::error!(branch = %self.writer.branch, %from, %to, "WAL was gone before it could be filed");
        self.status.send_modify(|status| {
            if status.gaps.len() < MAX_GAPS {
                status.gaps.push(Gap { from, to });
            }
            status.filed = to;
        });
        let last_commit = self.reader().last_commit();
        self.reader = Some(Reader::seek(self.writer.major, to).with_last_commit(last_commit));
        Ok(())
    }
}
