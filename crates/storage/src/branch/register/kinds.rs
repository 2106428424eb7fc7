//! The registers that exist, and how to find them all again after a disaster.

use dormouse_base::{BranchId, ProjectId};

use super::Register;
use crate::branch::record::{BranchRecord, ProjectRecord};
use crate::key::{self, Key};
use crate::object::{Store, StoreError};

/// The register of a branch.
pub type BranchRegister = Register<BranchRecord>;

/// The register of a project.
pub type ProjectRegister = Register<ProjectRecord>;

impl BranchRegister {
    /// The register of this branch.
    #[must_use]
    pub fn of(store: &Store, project: &ProjectId, branch: &BranchId) -> Self {
        Self::new(store, key::branch_register(project, branch))
    }
}

impl ProjectRegister {
    /// The register of this project.
    #[must_use]
    pub fn of(store: &Store, project: &ProjectId) -> Self {
        Self::new(store, key::project_register(project))
    }
}

/// All projects of a store, deleted ones too, in order.
///
/// # Errors
/// When the store cannot be listed.
pub async fn projects(store: &Store) -> Result<Vec<ProjectId>, StoreError> {
    ids(store, &key::projects()).await
}

/// All branches of a project, deleted ones too, in order.
///
/// # Errors
/// When the store cannot be listed.
pub async fn branches(store: &Store, project: &ProjectId) -> Result<Vec<BranchId>, StoreError> {
    ids(store, &key::branches(project)).await
}

async fn ids<I: std::str::FromStr>(store: &Store, prefix: &Key) -> Result<Vec<I>, StoreError> {
    let mut found = Vec::new();
    for name in store.children(prefix).await? {
        match name.parse() {
            Ok(id) => found.push(id),
            Err(_) => tracing::warn!(%prefix, name, "not an identifier; ignored"),
        }
    }
    Ok(found)
}
