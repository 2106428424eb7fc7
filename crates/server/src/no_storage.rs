//! Stands in for storage until there is one: projects work on local files alone, everything that needs
//! history says that it is not there.

use dormouse_base::{BranchId, EndpointId, Kind, Lsn, ProjectId};
use dormouse_control::vault::{Checked, Collected, Fork, NewBranch, Point, Sizes, Vault, VaultError, Window};

/// See the module.
#[derive(Debug)]
pub struct NoStorage;

fn none<T>() -> Result<T, VaultError> {
    let message = "this server has no storage for branches and history".to_owned();
    Err(VaultError { kind: Kind::Unavailable, code: "no-storage", message })
}

#[async_trait::async_trait]
impl Vault for NoStorage {
    async fn create_root(
        &self,
        _: &ProjectId,
        _: &BranchId,
        _: u16,
        _: serde_json::Value,
    ) -> Result<(), VaultError> {
        Ok(())
    }
    async fn resolve(
        &self,
        _: &ProjectId,
        _: &BranchId,
        _: Option<&EndpointId>,
        _: Point,
    ) -> Result<Fork, VaultError> {
        none()
    }
    async fn create_branch(&self, _: NewBranch) -> Result<(), VaultError> {
        none()
    }
    async fn delete_branch(&self, _: &ProjectId, _: &BranchId) -> Result<(), VaultError> {
        Ok(())
    }
    async fn delete_project(&self, _: &ProjectId) -> Result<(), VaultError> {
        Ok(())
    }
    async fn set_meta(
        &self,
        _: &ProjectId,
        _: Option<&BranchId>,
        _: serde_json::Value,
    ) -> Result<(), VaultError> {
        Ok(())
    }
    async fn window(&self, _: &ProjectId, _: &BranchId) -> Result<Window, VaultError> {
        none()
    }
    async fn sizes(&self, _: &ProjectId, _: &BranchId) -> Result<Sizes, VaultError> {
        none()
    }
    async fn snapshot(&self, _: &EndpointId) -> Result<Lsn, VaultError> {
        none()
    }
    async fn evict(&self, _: &EndpointId) -> Result<(), VaultError> {
        none()
    }
    async fn check(&self, _: Option<(&ProjectId, Option<&BranchId>)>) -> Result<Checked, VaultError> {
        none()
    }
    async fn collect(&self) -> Result<Collected, VaultError> {
        none()
    }
}
