//! Calls about snapshots.

use dormouse_base::{BranchId, ProjectId};

use super::Call;
use crate::routes::{self, Method};
use crate::snapshot::{
    CreateSnapshotQuery, RestoreSnapshot, SnapshotChanged, SnapshotDeleted, SnapshotRestored, Snapshots,
    UpdateSnapshot,
};

/// All snapshots of a project.
pub fn list(project: &ProjectId) -> Call<Snapshots> {
    Call::new(Method::Get, routes::SNAPSHOTS, &[project.as_str()])
}

/// Keeps the data of a branch.
pub fn create(project: &ProjectId, branch: &BranchId, query: &CreateSnapshotQuery) -> Call<SnapshotChanged> {
    Call::new(Method::Post, routes::BRANCH_SNAPSHOT, &[project.as_str(), branch.as_str()])
        .with_query("lsn", query.lsn)
        .with_query("timestamp", query.timestamp)
        .with_query("name", query.name.as_ref())
        .with_query("expires_at", query.expires_at)
}

/// Changes its name, or when it goes.
pub fn update(project: &ProjectId, snapshot: &str, request: &UpdateSnapshot) -> Call<SnapshotChanged> {
    Call::new(Method::Patch, routes::SNAPSHOT, &[project.as_str(), snapshot]).with_body(request)
}

/// Removes it.
pub fn delete(project: &ProjectId, snapshot: &str) -> Call<SnapshotDeleted> {
    Call::new(Method::Delete, routes::SNAPSHOT, &[project.as_str(), snapshot])
}

/// Makes a branch with its data, or gives the data to an existing one.
pub fn restore(project: &ProjectId, snapshot: &str, request: &RestoreSnapshot) -> Call<SnapshotRestored> {
    Call::new(Method::Post, routes::SNAPSHOT_RESTORE, &[project.as_str(), snapshot]).with_body(request)
}
