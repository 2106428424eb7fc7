//! The registers of branches and projects, each opened once and remembered.

use std::collections::HashMap;
use std::sync::Arc;

use dormouse_base::{BranchId, ProjectId};
use dormouse_storage::Store;
use dormouse_storage::branch::line::{MAX_DEPTH, Records};
use dormouse_storage::branch::record::{BranchRecord, Origin};
use dormouse_storage::branch::register::{BranchRegister, ProjectRegister, RegisterError};
use parking_lot::Mutex;

use super::NodeError;

/// Registers that are remembered; then all are forgotten and read again when needed.
const MAX_REMEMBERED: usize = 20_000;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Registers {
    store: Store,
    branches: Arc<Mutex<HashMap<(ProjectId, BranchId), BranchRegister>>>,
}

impl Registers {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, branches: Arc::default() }
    }

    /// The register of a branch. Nothing is read yet.
    pub(crate) fn branch(&self, project: &ProjectId, branch: &BranchId) -> BranchRegister {
        let mut all = self.branches.lock();
        if all.len() > MAX_REMEMBERED {
            all.clear();
        }
        let key = (project.clone(), branch.clone());
        all.entry(key).or_insert_with(|| BranchRegister::of(&self.store, project, branch)).clone()
    }

    /// What a branch was when it was read last; nothing is asked of the store.
    pub(crate) fn hint(&self, project: &ProjectId, branch: &BranchId) -> Option<BranchRecord> {
        self.branch(project, branch).hint_of_value()
    }

    /// The register of a project. Nothing is read yet.
    pub(crate) fn project(&self, project: &ProjectId) -> ProjectRegister {
        ProjectRegister::of(&self.store, project)
    }

    /// What a branch is now.
    ///
    /// # Errors
    /// When it is not there or the store fails.
    pub(crate) async fn record(
        &self,
        project: &ProjectId,
        branch: &BranchId,
    ) -> Result<BranchRecord, NodeError> {
        let read = self.branch(project, branch).read().await;
        read.map(|(_, record)| record).map_err(NodeError::Register)
    }

    /// A branch and its ancestors. A deleted ancestor still tells what it was.
    ///
    /// # Errors
    /// When one is missing or the store fails.
    pub(crate) async fn family(&self, project: &ProjectId, branch: &BranchId) -> Result<Records, NodeError> {
        let mut records = Records::new();
        let mut next = Some(branch.clone());
        while let Some(id) = next.take().filter(|_| records.len() < MAX_DEPTH) {
            let version = self.branch(project, &id).version().await.map_err(NodeError::Register)?;
            if let Some(at) = version.deleted_at.filter(|_| id == *branch) {
                let register = self.branch(project, &id).prefix().clone();
                return Err(NodeError::Register(RegisterError::Deleted { register, at }));
            }
            if let Origin::Branch { parent, .. } = &version.value.origin {
                next = Some(parent.clone()).filter(|parent| !records.contains_key(parent));
            }
            records.insert(id, version.value);
        }
        Ok(records)
    }
}
