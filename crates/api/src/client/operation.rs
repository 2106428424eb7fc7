//! Calls about operations.

use dormouse_base::{OperationId, ProjectId};

use super::Call;
use crate::PageQuery;
use crate::operation::{OperationReply, Operations};
use crate::routes::{self, Method};

/// One page of a project's operations, newest first.
pub fn list(project: &ProjectId, page: &PageQuery) -> Call<Operations> {
    Call::new(Method::Get, routes::OPERATIONS, &[project.as_str()])
        .with_query("limit", page.limit)
        .with_query("cursor", page.cursor.as_deref())
}

/// One operation.
pub fn get(project: &ProjectId, operation: &OperationId) -> Call<OperationReply> {
    Call::new(Method::Get, routes::OPERATION, &[project.as_str(), operation.as_str()])
}
