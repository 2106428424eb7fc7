//! The directory of a new branch, as a clone of its stopped parent's.
//!
//! ```text
//!   the branch never had a writer                          else: the store
//!   nobody asked for the store alone                       else: the store
//!   whoever wrote the last byte before its first one …
//!      has its directory on this node, without holes       else: the store
//!      stands still, cleanly, exactly there, all filed     else: the store
//!   ─► its files, sharing blocks ─► PostgreSQL goes on there, on the same timeline, with nothing to replay
//! ```
//!
//! It is as if the parent had taken a clean snapshot at its end and the branch were made of that, without the
//! store in between. The store knows all of it nevertheless: everything that the parent wrote is filed before
//! ([`Node::filed_end`]), so the branch can be made of the parent's last snapshot and that WAL at any time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_base::{Lsn, Timeline, with_causes};
use dormouse_compute::State;
use dormouse_runtime::task;
use dormouse_storage::branch::line::{self, LineSpan};
use dormouse_storage::key::Key;
use dormouse_storage::restore::clone::can_share;
use dormouse_storage::restore::{Copied, RestoreError, Sharing, clone_directory};
use dormouse_storage::snapshot;

use super::home::{Held, Home};
use super::ready::Wish;
use super::resident::{Purpose, Resident, SNAPSHOT_STATE};
use super::ways::LocalClone;
use super::{Node, NodeError};

/// The rest of a stopped parent's WAL is filed within this time, or the branch is made of what the store has.
const FILE_WITHIN: Duration = Duration::from_secs(2);

/// A draft that is a clone.
pub(super) struct Twin {
    /// The snapshot that its parent was last stored as: manifest, redo, position.
    pub(super) base: (Key, Lsn, Lsn),
    timeline: Timeline,
    end: Lsn,
    hot: Vec<(String, u32)>,
}

impl Twin {
    pub(super) fn resident(self, wish: &Wish<'_>) -> Resident {
        let mut resident = Resident::new(wish.fresh(self.timeline, self.end), Some(self.base), false);
        resident.hot = self.hot;
        resident
    }
}

impl Node {
    /// The draft as a clone of the directory of whoever wrote last before the branch begins. `None`: that is
    /// not possible; whatever is in the draft's place does not count.
    ///
    /// # Errors
    /// When what this node holds cannot be read.
    pub(super) async fn twin(
        &self,
        home: &Arc<Home>,
        wish: &Wish<'_>,
        draft: &Path,
    ) -> Result<Option<Twin>, NodeError> {
        let record = wish.records.get(&wish.spec.branch);
        let is_new = record.is_some_and(|record| record.spans.is_empty());
        if wish.purpose != Purpose::Write || !is_new || home.is_of_store_alone() {
            return Ok(None);
        }
        let spans = line::line(&wish.records, &wish.spec.branch, wish.target).map_err(NodeError::Line)?;
        let Some(last) = spans.last().filter(|last| last.to == wish.target) else { return Ok(None) };
        let Some(sharing) = self.sharing().await else { return Ok(None) };
        for other in self.homes() {
            if other.endpoint == home.endpoint {
                continue;
            }
            let is_it = |r: &Resident| r.branch == last.branch && r.epoch == Some(last.epoch);
            if !other.held().await?.writer().is_some_and(is_it) {
                continue;
            }
            if self.filed_end(&other).await? != Some(last.to) {
                return Ok(None);
            }
            // Until the clone is made nothing starts in there: a start needs this lock.
            let mut held = other.held().await?;
            let Some(twin) = self.fitting(&other, &mut held, last).await? else { return Ok(None) };
            let started = Mono::now();
            match self.clone_of(&other, &twin, home, wish, draft, sharing).await {
                Ok(Some(copied)) => {
                    tracing::info!(endpoint = %home.endpoint, parent = %other.endpoint, ?copied,
                        ms = started.elapsed().as_millis(), "cloned the directory of a stopped parent");
                    return Ok(Some(twin));
                }
                Ok(None) => tracing::debug!(parent = %other.endpoint, "not left where its WAL ends"),
                // The store has all of it as well.
                Err(error) => tracing::warn!(endpoint = %home.endpoint, parent = %other.endpoint,
                    error = with_causes(&error), "the parent's directory was not cloned"),
            }
            return Ok(None);
        }
        Ok(None)
    }

    /// How a clone may be made here, if at all.
    async fn sharing(&self) -> Option<Sharing> {
        match self.inner.ways.local_clone {
            LocalClone::Never => None,
            LocalClone::Always => Some(Sharing::May),
            LocalClone::Auto => {
                let computes = self.inner.data.join("computes");
                let tried =
                    self.inner.found.shares.get_or_init(|| task::blocking(move || can_share(&computes)));
                tried.await.then_some(Sharing::Must)
            }
        }
    }

    /// The end of what a stopped compute wrote, when the store has all of it. `None`: it runs, or the store
    /// takes longer than a start should wait.
    async fn filed_end(&self, home: &Arc<Home>) -> Result<Option<Lsn>, NodeError> {
        if self.computes()?.state(&home.endpoint) != State::Stopped {
            return Ok(None);
        }
        if let Some(end) = home.held().await?.stopped_at {
            return Ok(Some(end));
        }
        // It stopped a moment ago.
        let filed = tokio::time::timeout(FILE_WITHIN, self.file_all(home, None)).await;
        Ok(filed.ok().and_then(Result::ok).flatten())
    }

    /// What a clone of this directory would be, if it is still that writer's, and whole.
    async fn fitting(
        &self,
        home: &Arc<Home>,
        held: &mut Held,
        last: &LineSpan,
    ) -> Result<Option<Twin>, NodeError> {
        if held.hydration.as_ref().is_some_and(|hydration| hydration.is_complete()) {
            self.note_complete(home, held).await?;
        }
        if self.computes()?.state(&home.endpoint) != State::Stopped {
            return Ok(None);
        }
        let is_it = |r: &&Resident| r.branch == last.branch && r.epoch == Some(last.epoch);
        let whole = held.writer().filter(is_it).filter(|r| !r.lazy && r.timeline == last.timeline);
        Ok(whole.and_then(|resident| {
            let base = (resident.base.clone()?, resident.base_redo, resident.base_lsn);
            Some(Twin { base, timeline: last.timeline, end: last.to, hot: resident.hot.clone() })
        }))
    }

    /// Clones. `None`: the control file does not say what everybody believes.
    async fn clone_of(
        &self,
        parent: &Home,
        twin: &Twin,
        home: &Home,
        wish: &Wish<'_>,
        draft: &Path,
        sharing: Sharing,
    ) -> Result<Option<Copied>, NodeError> {
        let identity = self.inner.identities.for_slot(wish.spec.slot);
        let owner = Some((identity.uid, identity.gid));
        let directories = self.inner.directories.clone();
        let (source, target, place) = (parent.data(), draft.to_owned(), home.path.clone());
        let [theirs, ours] = [parent, home].map(|home| home.path.join(SNAPSHOT_STATE));
        let (base, end, timeline) = (twin.base.0.clone(), twin.end, twin.timeline);
        let cloning = move || {
            let left = snapshot::left(&source).map_err(RestoreError::Source);
            let left = left.map_err(NodeError::part("look at the parent's directory"))?;
            let Some(left) = left.filter(|left| left.end == end && left.timeline == timeline) else {
                return Ok(None);
            };
            directories.prepare_draft(&place, &target).map_err(NodeError::Directory)?;
            let cloned = clone_directory(&source, &left, &target, owner, sharing);
            let cloned = cloned.map_err(NodeError::part("clone the parent's directory"))?;
            let remembered = cloned.remember(&base, &theirs, &ours);
            remembered.map_err(NodeError::part("remember what a new directory looks like"))?;
            Ok(Some(cloned.copied))
        };
        task::blocking(cloning).await
    }
}
