//! Calls about projects.

use dormouse_base::ProjectId;

use super::Call;
use crate::PageQuery;
use crate::connection::{ConnectionUriQuery, ConnectionUriReply};
use crate::endpoint::ProjectWoken;
use crate::import::{ImportDirectory, ImportedProject};
use crate::project::{CreateProject, CreatedProject, ProjectChanged, ProjectReply, Projects, UpdateProject};
use crate::routes::{self, Method};

/// One page of projects.
pub fn list(page: &PageQuery) -> Call<Projects> {
    Call::new(Method::Get, routes::PROJECTS, &[])
        .with_query("limit", page.limit)
        .with_query("cursor", page.cursor.as_deref())
        .with_query("search", page.search.as_deref())
}

/// Makes a project with a branch, an endpoint, a role and a database.
pub fn create(request: &CreateProject) -> Call<CreatedProject> {
    Call::new(Method::Post, routes::PROJECTS, &[]).with_body(request)
}

/// Makes a project from a data directory on the server's machine.
pub fn import(request: &ImportDirectory) -> Call<ImportedProject> {
    Call::new(Method::Post, routes::PROJECTS_IMPORT, &[]).with_body(request)
}

/// One project.
pub fn get(project: &ProjectId) -> Call<ProjectReply> {
    Call::new(Method::Get, routes::PROJECT, &[project.as_str()])
}

/// Changes a project.
pub fn update(project: &ProjectId, request: &UpdateProject) -> Call<ProjectChanged> {
    Call::new(Method::Patch, routes::PROJECT, &[project.as_str()]).with_body(request)
}

/// Removes a project with all its data.
pub fn delete(project: &ProjectId) -> Call<ProjectReply> {
    Call::new(Method::Delete, routes::PROJECT, &[project.as_str()])
}

/// A connection string with the password.
pub fn connection_uri(project: &ProjectId, query: &ConnectionUriQuery) -> Call<ConnectionUriReply> {
    Call::new(Method::Get, routes::CONNECTION_URI, &[project.as_str()])
        .with_query("database_name", Some(&query.database_name))
        .with_query("role_name", Some(&query.role_name))
        .with_query("branch_id", query.branch_id.as_ref())
        .with_query("endpoint_id", query.endpoint_id.as_ref())
        .with_query("pooled", query.pooled)
}

/// Wakes all its endpoints; the reply comes when they are active, or could not be woken.
pub fn wake(project: &ProjectId) -> Call<ProjectWoken> {
    Call::new(Method::Post, routes::PROJECT_WAKE, &[project.as_str()])
}
