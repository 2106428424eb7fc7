//! What a branch takes in the store, whether it is all there, and what nobody needs any more.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::{BranchId, ProjectId};
use dormouse_storage::branch::record::BranchRecord;
use dormouse_storage::fsck;
use dormouse_storage::gc::{Collector, Options, Windows};

use super::{Node, NodeError};
use crate::db::{Db, projects};
use crate::model::defaults;
use crate::vault::{Checked, Collected, Finding, Sizes};

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

    pub(super) async fn check_store(
        &self,
        of: Option<(&ProjectId, Option<&BranchId>)>,
    ) -> Result<Checked, NodeError> {
        let (project, branch) = of.map_or((None, None), |(p, b)| (Some(p.clone()), b.cloned()));
        let scope = fsck::Scope { project, branch, quick: false };
        let found =
            fsck::check(&self.inner.store, &scope).await.map_err(NodeError::part("check the store"))?;
        let findings = found.findings.into_iter().map(|f| Finding {
            project: f.project,
            branch: f.branch,
            object: f.object,
            problem: f.problem,
        });
        Ok(Checked {
            branches: found.branches,
            objects: found.objects,
            bytes: found.bytes,
            findings: findings.collect(),
        })
    }

    pub(super) async fn collect_garbage(&self) -> Result<Collected, NodeError> {
        let _one_at_a_time = self.inner.collecting.lock().await;
        let templates: BTreeSet<String> =
            self.inner.templates.lock().await.values().map(|template| template.id.clone()).collect();
        let options = Options { templates, ..Options::default() };
        let (store, leases) = (self.inner.store.clone(), self.inner.leases.clone());
        let collector = Collector::new(store, leases, Arc::clone(&self.inner.windows), options);
        let done = collector.collect().await.map_err(NodeError::part("collect garbage"))?;
        for (project, why) in &done.frozen {
            tracing::warn!(%project, why, "nothing of this project is deleted");
        }
        Ok(Collected {
            deleted: done.deleted,
            deleted_bytes: done.deleted_bytes,
            waiting: done.waiting,
            rewritten: done.rewritten,
        })
    }
}
