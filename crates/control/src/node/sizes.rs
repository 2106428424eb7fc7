//! What a branch takes in the store, and how long its past is kept.

use std::time::Duration;

use dormouse_base::{BranchId, ProjectId};
use dormouse_storage::branch::record::BranchRecord;
use dormouse_storage::gc::Windows;

use super::{Node, NodeError};
use crate::db::{Db, projects};
use crate::model::defaults;
use crate::vault::Sizes;

/// How long the past of each project's branches is kept, as its settings say.
#[derive(Debug, Clone)]
pub(crate) struct Retention {
    /// The metadata.
    pub(crate) db: Db,
}

impl Windows for Retention {
    fn window(&self, project: &ProjectId, _: &BranchRecord) -> Option<Duration> {
        let row = self.db.read("read a project", |db| projects::get(db, project));
        // What cannot be read, or is not known here, keeps everything.
        let row = row.ok().flatten()?;
        let wish = row.settings.history_retention_seconds.unwrap_or(defaults::HISTORY_RETENTION_SECONDS);
        u64::try_from(wish).ok().map(Duration::from_secs)
    }
}

impl Node {
    pub(super) async fn sizes_of(&self, project: &ProjectId, branch: &BranchId) -> Result<Sizes, NodeError> {
        let sizes = self.inner.usage.branch(project, branch).await;
        let sizes = sizes.map_err(NodeError::part("measure a branch"))?;
        Ok(Sizes { logical: sizes.logical, own: sizes.own, history: sizes.history })
    }
}
