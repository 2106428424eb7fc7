//! Calls about databases.

use dormouse_base::{BranchId, ProjectId};

use super::Call;
use crate::database::{CreateDatabase, DatabaseChanged, DatabaseReply, Databases, UpdateDatabase};
use crate::routes::{self, Method};

/// All databases of a branch, the oldest first.
pub fn list(project: &ProjectId, branch: &BranchId) -> Call<Databases> {
    Call::new(Method::Get, routes::DATABASES, &[project.as_str(), branch.as_str()])
}

/// Makes a database.
pub fn create(project: &ProjectId, branch: &BranchId, request: &CreateDatabase) -> Call<DatabaseChanged> {
    Call::new(Method::Post, routes::DATABASES, &[project.as_str(), branch.as_str()]).with_body(request)
}

/// One database.
pub fn get(project: &ProjectId, branch: &BranchId, database: &str) -> Call<DatabaseReply> {
    Call::new(Method::Get, routes::DATABASE, &[project.as_str(), branch.as_str(), database])
}

/// Changes a database.
pub fn update(
    project: &ProjectId,
    branch: &BranchId,
    database: &str,
    request: &UpdateDatabase,
) -> Call<DatabaseChanged> {
    Call::new(Method::Patch, routes::DATABASE, &[project.as_str(), branch.as_str(), database])
        .with_body(request)
}

/// Removes a database with all its data.
pub fn delete(project: &ProjectId, branch: &BranchId, database: &str) -> Call<DatabaseChanged> {
    Call::new(Method::Delete, routes::DATABASE, &[project.as_str(), branch.as_str(), database])
}
