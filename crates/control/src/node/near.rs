//! WAL that a directory in the making needs and that need not come from the store: what ancestors on this node have
//! not filed yet, and what a clean snapshot brings along.

use std::sync::Arc;
use std::time::Duration;

use dormouse_base::{Lsn, Timeline, with_causes};
use dormouse_storage::branch::line::{LineSpan, Plan};
use dormouse_storage::manifest::Manifest;
use dormouse_storage::wal::read::{Assembled, AtHand, Line, ReadError, Target, assemble};

use super::home::Home;
use super::{Node, NodeError};

/// When bytes of an ancestor's files are of no use or not wanted, the store has them within this time, or the
/// start fails.
const FILE_WITHIN: Duration = Duration::from_secs(30);

/// What an ancestor's directory on this node has, up to where the line leaves it.
#[derive(Debug)]
pub(super) struct Near {
    home: Arc<Home>,
    upto: Lsn,
    wal: Arc<dyn AtHand>,
}

impl Near {
    pub(super) fn wal(&self) -> Arc<dyn AtHand> {
        Arc::clone(&self.wal)
    }
}

impl Node {
    /// Local WAL of a line's writers that the store does not have yet; not of `mine`, which is being made. If `mine`
    /// is to be made of the store alone, the store gets that WAL first, and there is none.
    pub(super) async fn near(&self, mine: Option<&Home>, spans: &[LineSpan]) -> Result<Vec<Near>, NodeError> {
        let mut near = Vec::new();
        for home in self.homes() {
            if mine.is_some_and(|mine| home.endpoint == mine.endpoint) {
                continue;
            }
            // Whatever is being done with a stranger's directory, nobody waits for it here.
            let Some((branch, epoch)) = home.glance().await? else { continue };
            let Some(span) = spans.iter().find(|span| span.branch == branch && span.epoch == epoch) else {
                continue;
            };
            if let Some(wal) = self.local_wal(&home, &branch, span.to).await? {
                near.push(Near { home, upto: span.to, wal });
            }
        }
        if mine.is_some_and(Home::is_of_store_alone) {
            for near in near.drain(..) {
                self.file_near(&near).await?;
            }
        }
        Ok(near)
    }

    async fn file_near(&self, near: &Near) -> Result<(), NodeError> {
        let filed = tokio::time::timeout(FILE_WITHIN, self.file_all(&near.home, Some(near.upto))).await;
        filed.map_err(|_| NodeError::Late("file the WAL of an ancestor"))?.map(drop)
    }

    /// Puts the WAL of a plan into `target`, from what is near as far as possible. Bytes of a running compute that turn
    /// out to be of no use are no reason to fail: the store gets them, and what it has is proved piece by piece.
    pub(super) async fn assembled(
        &self,
        line: &Line,
        target: Target<'_>,
        near: &[Near],
        brought: Option<Arc<dyn AtHand>>,
    ) -> Result<Assembled, ReadError> {
        let store = &self.inner.store;
        let mut hands: Vec<Arc<dyn AtHand>> = near.iter().map(Near::wal).collect();
        hands.extend(brought.clone());
        match assemble(store, line, target.clone(), &hands).await {
            Err(error) if error.blames_a_hand() && !near.is_empty() => {
                tracing::error!(
                    error = with_causes(&error),
                    "WAL at hand is of no use; taking it from the store"
                );
            }
            other => return other,
        }
        for near in near {
            if let Err(error) = self.file_near(near).await {
                tracing::warn!(endpoint = %near.home.endpoint, error = with_causes(&error), "not filed");
            }
        }
        let brought: Vec<Arc<dyn AtHand>> = brought.into_iter().collect();
        assemble(store, line, target, &brought).await
    }
}

/// The WAL that a clean snapshot brings along: the last record before its end, which no writer filed.
#[derive(Debug)]
struct SnapshotWal {
    timeline: Timeline,
    system_identifier: u64,
    at: Lsn,
    bytes: Vec<u8>,
}

/// What the snapshot of a plan brings along.
pub(super) fn brought(plan: &Plan, manifest: &Manifest) -> Option<Arc<dyn AtHand>> {
    let pages = manifest.wal.iter().max_by_key(|pages| pages.at)?;
    let whole = usize::try_from(plan.snapshot.lsn.since(pages.at)).ok()?;
    Some(Arc::new(SnapshotWal {
        timeline: plan.snapshot.timeline,
        system_identifier: manifest.header.system_identifier,
        at: pages.at,
        bytes: pages.bytes.get(..whole)?.to_vec(),
    }))
}

impl AtHand for SnapshotWal {
    fn name(&self) -> String {
        "the WAL that a clean snapshot brings along".to_owned()
    }

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
