//! What control asks of storage, as a trait of its own, the way [`crate::computes`] does it for computes.
//!
//! The vault knows branches by their *storage ID*. It is the public branch ID until a branch is
//! restored or reset: then the public branch gets a new line of history underneath (a new storage ID),
//! and the old line lives on under a branch of another name.

use std::fmt::Debug;

use dormouse_base::{BranchId, EndpointId, Kind, Lsn, ProjectId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::computes::ComputeError;

pub mod upkeep;

#[cfg(test)]
pub(crate) mod recorder;

pub use upkeep::{CheckWish, Checked, CollectWish, Collected, Finding, Overview};

/// Storage did not do what was asked. Safe to show to the owner of the project.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct VaultError {
    /// What to do about it.
    pub kind: Kind,
    /// A kebab-case stem, such as `history-window`.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

impl From<ComputeError> for VaultError {
    fn from(error: ComputeError) -> Self {
        Self { kind: error.kind, code: error.code, message: error.message }
    }
}

/// A point in a branch's history, as a person names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// Now: everything that was committed when the question is asked.
    Head,
    /// Everything that ends at or before this position.
    Lsn(Lsn),
    /// Everything that was committed up to this moment.
    Time(Timestamp),
}

/// A point that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    /// The position.
    pub lsn: Lsn,
    /// Its wall-clock time, as far as it is known.
    pub at: Option<Timestamp>,
}

/// A branch to be made from another one.
#[derive(Debug, Clone, PartialEq)]
pub struct NewBranch {
    /// The project.
    pub project: ProjectId,
    /// The storage ID of the new branch; making it twice is making it once.
    pub branch: BranchId,
    /// The storage ID of the parent.
    pub parent: BranchId,
    /// The position, from [`Vault::resolve`].
    pub fork: Fork,
    /// What is to be found again after a disaster.
    pub meta: serde_json::Value,
}

/// How far back a branch can be restored, and how far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The earliest position that can be restored.
    pub start: Lsn,
    /// Its time, as far as it is known.
    pub start_at: Option<Timestamp>,
    /// The newest position that is in the store.
    pub stored: Lsn,
}

/// What a branch takes, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// All its files, as PostgreSQL sees them, at its newest snapshot.
    pub logical: u64,
    /// Stored bytes that only this branch refers to.
    pub own: u64,
    /// Stored WAL and superseded chunks that are kept for its past.
    pub history: u64,
}

/// The storage of this server.
#[async_trait::async_trait]
pub trait Vault: Send + Sync + Debug + 'static {
    /// Makes the first branch of a project from the template of a version.
    async fn create_root(
        &self,
        project: &ProjectId,
        branch: &BranchId,
        pg_version: u16,
        meta: serde_json::Value,
    ) -> Result<(), VaultError>;

    /// Makes the first branch of a project from the directory that its endpoint has on this machine:
    /// adopt the directory of this endpoint as the beginning of its branch. The cluster in it is cleanly
    /// stopped and already ours. Durable when it returns; doing it again changes nothing.
    async fn import(
        &self,
        project: &ProjectId,
        branch: &BranchId,
        endpoint: &EndpointId,
        pg_version: u16,
    ) -> Result<(), VaultError>;

    /// Finds a point of a branch's history. Outside the window: an error that names the window.
    /// `endpoint` is the branch's read-write endpoint: if it runs, the head is asked there.
    async fn resolve(
        &self,
        project: &ProjectId,
        branch: &BranchId,
        endpoint: Option<&EndpointId>,
        point: Point,
    ) -> Result<Fork, VaultError>;

    /// Makes a branch. Durable when it returns; making the same one again changes nothing.
    async fn create_branch(&self, new: NewBranch) -> Result<(), VaultError>;

    /// Removes a branch from the store; its computes are gone. Removing it again is no error. The caller
    /// has made sure that no branch needs it.
    async fn delete_branch(&self, project: &ProjectId, branch: &BranchId) -> Result<(), VaultError>;

    /// Removes everything of a project.
    async fn delete_project(&self, project: &ProjectId) -> Result<(), VaultError>;

    /// Stores what is to be found again after a disaster, for a branch or (`None`) the project.
    async fn set_meta(
        &self,
        project: &ProjectId,
        branch: Option<&BranchId>,
        meta: serde_json::Value,
    ) -> Result<(), VaultError>;

    /// How far back it can go.
    async fn window(&self, project: &ProjectId, branch: &BranchId) -> Result<Window, VaultError>;

    /// What it takes.
    async fn sizes(&self, project: &ProjectId, branch: &BranchId) -> Result<Sizes, VaultError>;

    /// Takes a snapshot of an endpoint's branch now: online when it runs, clean when it sleeps.
    async fn snapshot(&self, endpoint: &EndpointId) -> Result<Lsn, VaultError>;

    /// Removes an endpoint's local directory; what only it holds is stored first. It is Stopped.
    async fn evict(&self, endpoint: &EndpointId) -> Result<(), VaultError>;

    /// Moves an endpoint's local directory aside as it is, and forgets it. It is Stopped. Nothing there is no error.
    async fn set_aside(&self, endpoint: &EndpointId) -> Result<(), VaultError>;

    /// An endpoint's local directory is about to be removed together with its branch: nothing of it is worth
    /// storing. Ends what is being done with it. It is Stopped and does not start any more.
    async fn abandon(&self, endpoint: &EndpointId) -> Result<(), VaultError> {
        let _nothing_is_done_with_it = endpoint;
        Ok(())
    }

    /// Checks that every reference resolves and every hash holds.
    async fn check(&self, wish: &CheckWish) -> Result<Checked, VaultError>;

    /// Deletes what nothing reaches.
    async fn collect(&self, wish: CollectWish) -> Result<Collected, VaultError>;

    /// How far the WAL of each writer on this server is in the store, from memory.
    fn filed(&self) -> Vec<(EndpointId, Lsn)> {
        Vec::new()
    }

    /// The store, and what this server holds of branches. Asks the store nothing that takes long.
    async fn overview(&self) -> Result<Overview, VaultError>;
}
