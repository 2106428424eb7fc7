//! What a branch takes in the store.

use dormouse_base::{BranchId, ProjectId};
use dormouse_storage::key;

use super::{Node, NodeError, store_error};
use crate::vault::Sizes;

impl Node {
    pub(super) async fn sizes_of(&self, project: &ProjectId, branch: &BranchId) -> Result<Sizes, NodeError> {
        let record = self.inner.registers.record(project, branch).await?;
        let newest = record.snapshots.last();
        let prefix = key::branch(project, branch);
        let listed = self.inner.store.list(&prefix, None).await.map_err(store_error("list a branch"))?;
        let wal = listed.iter().filter(|l| l.key.name().ends_with(".wal")).map(|l| l.size).sum();
        let own = record.snapshots.iter().map(|s| s.added_bytes).sum();
        Ok(Sizes { logical: newest.map_or(0, |s| s.logical_bytes), own, history: wal })
    }
}
