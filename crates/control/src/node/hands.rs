//! WAL that is at hand without the store: what directories of this node have not filed yet, and what a clean
//! snapshot brings along.

use std::sync::Arc;

use dormouse_base::{BranchId, Epoch, Lsn, Timeline};
use dormouse_storage::branch::line::{self, Plan};
use dormouse_storage::manifest::Manifest;
use dormouse_storage::wal::read::AtHand;

use super::home::Home;
use super::ready::Wish;
use super::{Node, NodeError};

impl Node {
    /// Local WAL of the branch and its ancestors that the store does not have yet.
    pub(super) async fn hands(&self, wish: &Wish<'_>) -> Result<Vec<Arc<dyn AtHand>>, NodeError> {
        let mut hands = Vec::new();
        let spans = line::line(&wish.records, &wish.spec.branch, wish.target).map_err(NodeError::Line)?;
        for home in self.homes() {
            if home.endpoint == wish.spec.endpoint {
                continue;
            }
            let Some((branch, epoch)) = writer_in(&home).await? else { continue };
            let span = spans.iter().find(|span| span.branch == branch && Some(span.epoch) == epoch);
            if let Some(to) = span.map(|span| span.to) {
                hands.extend(self.local_wal(&home, &branch, to).await?);
            }
        }
        Ok(hands)
    }
}

/// The WAL that a clean snapshot brings along: the last record before its end, which no writer filed.
#[derive(Debug)]
pub(super) struct SnapshotWal {
    timeline: Timeline,
    system_identifier: u64,
    at: Lsn,
    bytes: Vec<u8>,
}

impl SnapshotWal {
    pub(super) fn of(plan: &Plan, manifest: &Manifest) -> Option<Arc<dyn AtHand>> {
        let pages = manifest.wal.iter().max_by_key(|pages| pages.at)?;
        let whole = usize::try_from(plan.snapshot.lsn.since(pages.at)).ok()?;
        Some(Arc::new(Self {
            timeline: plan.snapshot.timeline,
            system_identifier: manifest.header.system_identifier,
            at: pages.at,
            bytes: pages.bytes.get(..whole)?.to_vec(),
        }))
    }
}

impl AtHand for SnapshotWal {
    fn timeline(&self) -> Timeline {
        self.timeline
    }

    fn range(&self) -> (Lsn, Lsn) {
        (self.at, self.at.plus(self.bytes.len() as u64))
    }

    fn read(&self, from: Lsn, max: usize) -> std::io::Result<Vec<u8>> {
        let at = usize::try_from(from.since(self.at)).unwrap_or(usize::MAX);
        let rest = self.bytes.get(at..).unwrap_or_default();
        Ok(rest[..rest.len().min(max)].to_vec())
    }

    fn system_identifier(&self) -> Option<u64> {
        Some(self.system_identifier)
    }
}

/// Whose writer's directory it is.
async fn writer_in(home: &Home) -> Result<Option<(BranchId, Option<Epoch>)>, NodeError> {
    let held = home.held().await?;
    Ok(held.writer().map(|resident| (resident.branch.clone(), resident.epoch)))
}
