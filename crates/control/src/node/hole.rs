//! WAL that is missing in the middle of a history: it was gone before it could be stored. No point is made there, nor
//! behind it, up to the next snapshot; whoever asks for one is told at once, and not by a branch that never starts.

use std::sync::Arc;

use dormouse_base::{BranchId, EndpointId, Lsn, ProjectId};
use dormouse_storage::branch::line::{self, Records};
use dormouse_storage::branch::record::{SnapshotKind, SnapshotRecord};
use dormouse_storage::wal::filer::Gap;
use dormouse_storage::wal::read::{self, AtHand, ReadError};

use super::near::Near;
use super::{Node, NodeError};

/// Where replay of a snapshot needs WAL from.
fn needs_from(snapshot: &SnapshotRecord) -> Lsn {
    match snapshot.kind {
        SnapshotKind::Clean => snapshot.lsn,
        SnapshotKind::Online => snapshot.redo,
    }
}

/// What to say of a hole.
pub(super) fn hole(records: &Records, branch: &BranchId, (from, to): (Lsn, Lsn)) -> NodeError {
    let record = records.get(branch);
    let behind = record.into_iter().flat_map(|record| record.snapshots.iter().filter(|s| record.counts(s)));
    let next = behind.filter(|snapshot| needs_from(snapshot) >= to).map(|snapshot| snapshot.lsn).min();
    let again = next.map(|next| format!(", or one at {next} or later")).unwrap_or_default();
    NodeError::Hole(format!(
        "the write-ahead log from {from} to {to} was lost before it could be stored: choose a point at {from} or earlier{again}"
    ))
}

impl Node {
    /// Refuses a point up to which WAL is missing. What is only not filed yet, or not listed yet, is not missing: other
    /// WAL has to be behind it.
    pub(super) async fn is_whole(
        &self,
        project: &ProjectId,
        records: &Records,
        branch: &BranchId,
        (point, head): (Lsn, Lsn),
    ) -> Result<(), NodeError> {
        // What else is wrong with a point is told by whoever makes it.
        let Ok(plan) = line::plan(records, branch, point) else { return Ok(()) };
        let Ok(mut spans) = line::line(records, branch, head) else { return Ok(()) };
        let from = needs_from(&plan.snapshot);
        spans.retain(|span| span.to > from);
        if from >= point {
            return Ok(());
        }
        let near = self.near(None, &spans).await?;
        let hands: Vec<Arc<dyn AtHand>> = near.iter().map(Near::wal).collect();
        let line = self.line_for(project, spans).await?;
        match read::plan(&self.inner.store, &line, (from, head), &hands).await {
            Err(ReadError::Missing { from, to }) if from < point && to < head => {
                Err(hole(records, branch, (from, to)))
            }
            // The store may be away: what is made of it says so.
            _ => Ok(()),
        }
    }

    /// The newest point cannot be made either before there is a snapshot behind the hole.
    pub(super) async fn is_whole_now(&self, endpoint: &EndpointId) -> Result<(), NodeError> {
        let home = self.home(endpoint);
        let held = home.held_soon().await?;
        let (Some(resident), Some(capture)) = (held.writer(), &held.capture) else { return Ok(()) };
        match capture.status().gap_behind(resident.base_redo) {
            None => Ok(()),
            Some(Gap { from, to }) => Err(NodeError::Busy(format!(
                "the write-ahead log from {from} to {to} was lost before it could be stored, and the snapshot that makes up for it is not there yet: try again in a moment, or choose a point at {from} or earlier"
            ))),
        }
    }
}
