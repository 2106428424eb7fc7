//! Whether everything is in the store, and what nobody needs any more.

use std::sync::Arc;
use std::time::Duration;

use dormouse_storage::fsck;
use dormouse_storage::gc::plan::Limits;
use dormouse_storage::gc::{Collector, Options};

use super::{Node, NodeError};
use crate::vault::{CheckWish, Checked, CollectWish, Collected, Finding};

/// What runs is filed within this time before a check; later it is a finding.
const FILE_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

impl Node {
    pub(super) async fn check_store(&self, wish: &CheckWish) -> Result<Checked, NodeError> {
        let CheckWish { project, branch, quick } = wish.clone();
        // Branches of a running parent begin where its WAL may not be in the store yet.
        self.file_everything(FILE_WITHIN).await;
        let scope = fsck::Scope { project, branch, quick };
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
            orphans: found.orphans,
            orphan_bytes: found.orphan_bytes,
            findings: findings.collect(),
        })
    }

    /// One collection at a time. It trims registers as well.
    pub(super) async fn collect_garbage(&self, wish: CollectWish) -> Result<Collected, NodeError> {
        let _one_at_a_time = self.inner.collecting.lock().await;
        let templates = self.templates().await?;
        let limits = limits(wish.grace);
        // Its windows and leases are not known here.
        let others = self.homes().iter().filter_map(|home| home.taken_over()).collect();
        let options = Options { templates, limits, others, dry_run: wish.dry_run, ..Options::default() };
        let (store, leases) = (self.inner.store.clone(), self.inner.leases.clone());
        let collector = Collector::new(store, leases, Arc::clone(&self.inner.windows), options);
        let collector = collector.counting(self.inner.metrics.garbage.clone());
        let done = collector.collect().await.map_err(NodeError::part("collect garbage"))?;
        for (project, why) in &done.frozen {
            tracing::warn!(%project, why, "nothing of this project is deleted");
        }
        let leftovers = if wish.dry_run { 0 } else { self.sweep_leftovers().await? };
        Ok(Collected {
            deleted: done.deleted,
            deleted_bytes: done.deleted_bytes,
            waiting: done.waiting,
            retired: done.retired,
            rewritten: done.rewritten,
            leftovers,
            frozen: done.frozen,
            strange: done.strange_count,
        })
    }

    /// What writes that a crash interrupted left in a directory store.
    async fn sweep_leftovers(&self) -> Result<u64, NodeError> {
        let place = self.inner.store.directory().unwrap_or(&self.inner.data).to_owned();
        let swept = self.inner.store.sweep_leftovers().await;
        swept.map_err(NodeError::file("remove what interrupted writes left in", &place))
    }
}

fn limits(grace: Option<Duration>) -> Limits {
    let usual = Limits::default();
    Limits { grace: grace.unwrap_or(usual.grace), ..usual }
}

#[cfg(test)]
mod tests {
    use dormouse_base::{EndpointId, Epoch, ProjectId};
    use dormouse_compute::postgres::discover::Installations;
    use dormouse_compute::sandbox::identity::{Identities, Identity};

    use super::super::resident::{Fresh, Resident};
    use super::super::standing::tests::record;
    use super::*;
    use crate::directory::Directories;

    #[tokio::test]
    async fn garbage_of_what_another_server_took_over_is_left_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identities::Own(Identity { uid: 1, gid: 1 });
        let directories = Directories::open(dir.path(), Installations::default(), identity).unwrap();
        let node = Node::in_memory(dir.path(), directories);
        let branch = record(&[(1, 0, Some(100)), (2, 100, None)]);
        let project: ProjectId = branch.project.clone();
        node.make_project(&project, 18).await.unwrap();
        node.inner.registers.branch(&project, &branch.branch).create_first(branch).await.unwrap();
        let home = node.home(&EndpointId::generate());
        for epoch in [2, 1] {
            let mut resident = Resident::new(Fresh::sample(epoch - 1, 0), None, false);
            resident.epoch = Some(Epoch(epoch));
            home.held().await.unwrap().resident = Some(resident);
            node.look_up(&home).await.unwrap();
            let frozen = node.collect_garbage(CollectWish::default()).await.unwrap().frozen;
            let named = frozen.iter().any(|(which, why)| *which == project && why.contains("another server"));
            assert_eq!(named, epoch == 1, "{frozen:?}");
            home.held().await.unwrap().standing = super::super::standing::Standing::Unknown;
        }
    }
}
