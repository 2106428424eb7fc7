//! Finds points: where a branch is now, and where it was at some moment.

use std::sync::Arc;
use std::time::Duration;

use dormouse_base::{BranchId, EndpointId, Lsn, ProjectId, Timestamp, clock};
use dormouse_compute::State;
use dormouse_compute::event::Cause;
use dormouse_storage::branch::line::{self, LineError, Records};
use dormouse_storage::branch::record::{BranchRecord, Origin};
use dormouse_storage::key::{self, PieceName};
use dormouse_storage::wal::page::Major;
use dormouse_storage::wal::read::{AtHand, Line, LocalWal, Moment, ReadError, Stretch, find_moment};
use dormouse_storage::wal::source::dir::WalDir;

use super::hole::hole;
use super::home::Home;
use super::{Node, NodeError, store_error};
use crate::vault::{Fork, Point};

/// PostgreSQL counts from 2000-01-01; microseconds since 1970 of that.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// A transaction of its own: when it is on disk, so is everything that anybody saw committed before, also
/// what was committed with `synchronous_commit = off`: an administrative session waits for the disk, whatever
/// the project chose for its own.
const FLUSH: &str = "SELECT pg_catalog.pg_logical_emit_message(true, 'dormouse', 'point')";

/// Behind the last byte on disk.
const ASK: &str = "SELECT pg_catalog.pg_current_wal_flush_lsn()::text";

/// A running compute tells its position within this time. Its disk may be slow: the position is flushed first.
const ASK_WITHIN: Duration = Duration::from_secs(30);

/// What a sleeping parent left is filed within this time; it may be all that it wrote since the store went away.
const FILE_WITHIN: Duration = Duration::from_secs(60);

/// A time as PostgreSQL's WAL has it; 0 for what was before its beginning.
pub(super) fn postgres_time(at: Timestamp) -> u64 {
    u64::try_from(at.as_microsecond() - POSTGRES_EPOCH).unwrap_or(0)
}

/// A line in the words of the WAL reader.
pub(super) fn reader_line(project: &ProjectId, major: Major, spans: Vec<line::LineSpan>) -> Line {
    let stretch = |s: line::LineSpan| Stretch {
        branch: s.branch,
        epoch: s.epoch,
        timeline: s.timeline,
        from: s.from,
        to: s.to,
    };
    Line { project: project.clone(), major, stretches: spans.into_iter().map(stretch).collect() }
}

/// PostgreSQL's version in the words of the WAL reader.
pub(super) fn major(version: u16) -> Result<Major, NodeError> {
    let unknown = || NodeError::Nothing(format!("PostgreSQL {version} is not known"));
    Major::new(u32::from(version)).ok_or_else(unknown)
}

impl Node {
    /// The end of a branch in the store: the last position that can be restored from it alone.
    pub(super) async fn stored_end(&self, record: &BranchRecord) -> Result<Lsn, NodeError> {
        let mut end = match &record.origin {
            Origin::Branch { lsn, .. } => *lsn,
            Origin::Template { .. } | Origin::Import => Lsn::ZERO,
        };
        let Some(span) = record.spans.last() else {
            return Ok(record.snapshots.iter().map(|s| s.lsn).fold(end, Lsn::max));
        };
        end = span.from;
        let own = record.snapshots.iter().filter(|s| s.epoch == span.epoch).map(|s| s.lsn);
        end = own.fold(end, Lsn::max);
        if let Some(to) = span.to {
            return Ok(to);
        }
        let wal = key::wal(&record.project, &record.branch, span.epoch);
        let listed =
            self.inner.store.list(&wal, None).await.map_err(store_error("list the WAL of a branch"))?;
        for piece in listed.iter().filter_map(|listed| PieceName::parse(&listed.key)) {
            if piece.start > end {
                break;
            }
            end = end.max(piece.end);
        }
        Ok(end)
    }

    /// Where a branch is now: asked of its compute when it runs, read from what it left when it does not,
    /// else from the store. Everything that was acknowledged before the call is before the answer.
    pub(super) async fn head(
        &self,
        project: &ProjectId,
        branch: &BranchId,
        endpoint: Option<&EndpointId>,
    ) -> Result<Lsn, NodeError> {
        if let Some(endpoint) = endpoint
            && let Some(lsn) = self.local_head(endpoint, branch).await?
        {
            return Ok(lsn);
        }
        self.stored_end(&self.inner.registers.record(project, branch).await?).await
    }

    async fn local_head(&self, endpoint: &EndpointId, branch: &BranchId) -> Result<Option<Lsn>, NodeError> {
        let home = self.home(endpoint);
        let held = home.held_soon().await?;
        let is_it = held.resident.as_ref().is_some_and(|r| r.branch == *branch && r.writes());
        // What an overtaken writer has is not the branch.
        if !is_it || held.overtaken().is_some() {
            return Ok(None);
        }
        drop(held);
        let computes = self.computes()?;
        match computes.settled(endpoint).await {
            State::Active => self.ask_head(endpoint).await.map(Some),
            // Frozen or stopped: nothing changes, and the files say where it ends.
            State::Paused | State::Stopped if home.held_soon().await?.writer().is_some() => {
                if let Some(end) = home.held_soon().await?.stopped_at {
                    return Ok(Some(end));
                }
                let filed = tokio::time::timeout(FILE_WITHIN, self.file_all(&home, None)).await;
                filed.unwrap_or(Err(NodeError::Late("file the WAL of a sleeping parent")))
            }
            State::Paused | State::Stopped => Ok(None),
            State::Starting | State::Stopping => {
                computes.wake(endpoint, Cause::Request).await.map_err(NodeError::part("wake the parent"))?;
                self.ask_head(endpoint).await.map(Some)
            }
        }
    }

    async fn ask_head(&self, endpoint: &EndpointId) -> Result<Lsn, NodeError> {
        let asked = tokio::time::timeout(ASK_WITHIN, self.ask_head_patiently(endpoint)).await;
        asked.unwrap_or_else(|_| Err(NodeError::Busy("the compute does not tell its position".to_owned())))
    }

    async fn ask_head_patiently(&self, endpoint: &EndpointId) -> Result<Lsn, NodeError> {
        let client = self.computes()?.admin(endpoint, "postgres").await;
        let client = client.map_err(NodeError::part("ask the compute for its position"))?;
        if let Err(error) = client.batch_execute(FLUSH).await {
            // A full disk: what is on it already counts.
            tracing::warn!(%endpoint, %error, "no mark in the WAL for a point");
        }
        let row = client
            .query_typed_one(ASK, &[])
            .await
            .map_err(NodeError::part("ask the compute for its position"))?;
        row.get::<_, String>(0).parse().map_err(NodeError::part("read a position"))
    }

    /// Finds a point and checks that it is in the branch's window.
    pub(super) async fn find_point(
        &self,
        project: &ProjectId,
        branch: &BranchId,
        endpoint: Option<&EndpointId>,
        point: Point,
    ) -> Result<Fork, NodeError> {
        let records = self.inner.registers.family(project, branch).await?;
        let record = &records[branch];
        let now = clock::now();
        let (fork, head) = match point {
            Point::Head => {
                let lsn = self.head(project, branch, endpoint).await?;
                if let Some(endpoint) = endpoint {
                    self.is_whole_now(endpoint).await?;
                }
                return in_window(record, Fork { lsn, at: Some(now) });
            }
            Point::Lsn(lsn) => {
                let head = self.head(project, branch, endpoint).await?;
                if lsn > head {
                    return Err(NodeError::Line(LineError::Ahead {
                        branch: branch.clone(),
                        wanted: lsn,
                        end: head,
                    }));
                }
                (Fork { lsn, at: None }, head)
            }
            Point::Time(at) if at > now => {
                return Err(NodeError::Ahead(format!("{at} has not come yet; it is {now}")));
            }
            Point::Time(at) if at < record.history_start_at => {
                return Err(forgotten(record, &at.to_string()));
            }
            Point::Time(at) => {
                let head = self.head(project, branch, endpoint).await?;
                let lsn = self.moment(&records, branch, endpoint, head, at).await?;
                (Fork { lsn, at: Some(at) }, head)
            }
        };
        let fork = in_window(record, fork)?;
        self.is_whole(project, &records, branch, (fork.lsn, head)).await?;
        Ok(fork)
    }

    async fn moment(
        &self,
        records: &Records,
        branch: &BranchId,
        endpoint: Option<&EndpointId>,
        head: Lsn,
        at: Timestamp,
    ) -> Result<Lsn, NodeError> {
        let record = &records[branch];
        let mut spans = line::line(records, branch, head).map_err(NodeError::Line)?;
        spans.retain(|span| span.to > record.history_start);
        // What is older may be gone.
        for span in &mut spans {
            span.from = span.from.max(record.history_start);
        }
        let line = self.line_for(&record.project, spans).await?;
        let mut hands: Vec<Arc<dyn AtHand>> = Vec::new();
        if let Some(endpoint) = endpoint {
            hands.extend(self.local_wal(&self.home(endpoint), branch, head).await?);
        }
        let found = find_moment(&self.inner.store, &line, postgres_time(at), &hands).await;
        match found {
            Ok(Moment::At(lsn)) => Ok(lsn),
            Ok(Moment::AfterAll { .. }) => Ok(head),
            Err(ReadError::Missing { from, to }) => Err(hole(records, branch, (from, to))),
            Err(error) => Err(NodeError::part("find a moment in the WAL")(error)),
        }
    }

    /// A line for the reader of WAL, of whatever version the project is.
    pub(super) async fn line_for(
        &self,
        project: &ProjectId,
        spans: Vec<line::LineSpan>,
    ) -> Result<Line, NodeError> {
        let version = self.inner.registers.project(project).read().await.map_err(NodeError::Register)?.1;
        Ok(reader_line(project, major(u16::try_from(version.pg_version).unwrap_or(0))?, spans))
    }

    /// The bytes of a branch's WAL that are in a directory of this node, up to `to`.
    pub(super) async fn local_wal(
        &self,
        home: &Arc<Home>,
        branch: &BranchId,
        to: Lsn,
    ) -> Result<Option<Arc<dyn AtHand>>, NodeError> {
        let held = home.held_soon().await?;
        let Some(resident) = held.writer().filter(|r| r.branch == *branch) else { return Ok(None) };
        let filed = held.capture.as_ref().map_or(resident.from, |c| c.status().filed);
        if filed >= to {
            return Ok(None);
        }
        let dir = WalDir::open(&home.data()).map_err(NodeError::file("open the WAL of", &home.path))?;
        let (timeline, from) = (resident.timeline, resident.from.max(filed));
        Ok(Some(Arc::new(LocalWal { dir: Arc::new(dir), timeline, from, to })))
    }
}

fn in_window(record: &BranchRecord, fork: Fork) -> Result<Fork, NodeError> {
    if fork.lsn < record.history_start {
        return Err(forgotten(record, &fork.lsn.to_string()));
    }
    Ok(fork)
}

fn forgotten(record: &BranchRecord, wanted: &str) -> NodeError {
    NodeError::Window(format!(
        "{wanted} is before the history that is kept of this branch, which begins at {} ({}): choose a later point, or keep more with the project's history_retention_seconds",
        record.history_start_at, record.history_start
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_converted() {
        let at: Timestamp = "2026-11-25T10:00:00.123456Z".parse().unwrap();
        assert_eq!(postgres_time(at) % 1_000_000, 123_456);
        assert_eq!(postgres_time("2000-01-01T00:00:01Z".parse().unwrap()), 1_000_000);
        assert_eq!(postgres_time("1999-01-01T00:00:00Z".parse().unwrap()), 0);
    }
}
