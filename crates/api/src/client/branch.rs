//! Calls about branches.

use dormouse_base::{BranchId, ProjectId};

use super::Call;
use crate::PageQuery;
use crate::branch::{BranchChanged, BranchReply, Branches, UpdateBranch};
use crate::routes::{self, Method};

/// One page of a project's branches.
pub fn list(project: &ProjectId, page: &PageQuery) -> Call<Branches> {
    Call::new(Method::Get, routes::BRANCHES, &[project.as_str()])
        .with_query("limit", page.limit)
        .with_query("cursor", page.cursor.as_deref())
        .with_query("search", page.search.as_deref())
}

/// One branch.
pub fn get(project: &ProjectId, branch: &BranchId) -> Call<BranchReply> {
    Call::new(Method::Get, routes::BRANCH, &[project.as_str(), branch.as_str()])
}

/// Changes a branch.
pub fn update(project: &ProjectId, branch: &BranchId, request: &UpdateBranch) -> Call<BranchChanged> {
    Call::new(Method::Patch, routes::BRANCH, &[project.as_str(), branch.as_str()]).with_body(request)
}
