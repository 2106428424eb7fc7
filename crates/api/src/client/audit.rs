//! Calls about who changed what.

use dormouse_base::ProjectId;

use super::Call;
use crate::routes::{self, Method};
use crate::{Audit, PageQuery};

/// One page of what happened on the server, newest first.
pub fn list(page: &PageQuery) -> Call<Audit> {
    Call::new(Method::Get, routes::AUDIT, &[])
        .with_query("limit", page.limit)
        .with_query("cursor", page.cursor.as_deref())
}

/// One page of what happened in a project, newest first.
pub fn of_project(project: &ProjectId, page: &PageQuery) -> Call<Audit> {
    Call::new(Method::Get, routes::PROJECT_AUDIT, &[project.as_str()])
        .with_query("limit", page.limit)
        .with_query("cursor", page.cursor.as_deref())
}
