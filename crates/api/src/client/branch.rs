//! Calls about branches.

use dormouse_base::{BranchId, ProjectId};

use super::Call;
use crate::PageQuery;
use crate::branch::{
    BranchChanged, BranchReply, BranchStored, Branches, CreateBranch, CreatedBranch, DeleteBranchQuery,
    RestoreBranch, UpdateBranch,
};
use crate::routes::{self, Method};
use crate::schema::{CompareQuery, CompareReply, SchemaQuery, SchemaReply};

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

/// Makes a branch of another one.
pub fn create(project: &ProjectId, request: &CreateBranch) -> Call<CreatedBranch> {
    Call::new(Method::Post, routes::BRANCHES, &[project.as_str()]).with_body(request)
}

/// Removes a branch with all its data.
pub fn delete(project: &ProjectId, branch: &BranchId, query: DeleteBranchQuery) -> Call<BranchChanged> {
    Call::new(Method::Delete, routes::BRANCH, &[project.as_str(), branch.as_str()])
        .with_query("recursive", query.recursive)
}

/// Makes it the one that is meant when none is named.
pub fn set_default(project: &ProjectId, branch: &BranchId) -> Call<BranchChanged> {
    Call::new(Method::Post, routes::BRANCH_SET_DEFAULT, &[project.as_str(), branch.as_str()])
}

/// Gives it the data of another branch, or of its own past; what it has now is kept under another name.
pub fn restore(project: &ProjectId, branch: &BranchId, request: &RestoreBranch) -> Call<BranchChanged> {
    Call::new(Method::Post, routes::BRANCH_RESTORE, &[project.as_str(), branch.as_str()]).with_body(request)
}

/// The definitions of one of its databases as SQL.
pub fn schema(project: &ProjectId, branch: &BranchId, query: &SchemaQuery) -> Call<SchemaReply> {
    Call::new(Method::Get, routes::BRANCH_SCHEMA, &[project.as_str(), branch.as_str()])
        .with_query("db_name", Some(&query.db_name))
        .with_query("lsn", query.lsn)
        .with_query("timestamp", query.timestamp)
}

/// How they differ from another branch's.
pub fn compare_schema(project: &ProjectId, branch: &BranchId, query: &CompareQuery) -> Call<CompareReply> {
    Call::new(Method::Get, routes::BRANCH_COMPARE_SCHEMA, &[project.as_str(), branch.as_str()])
        .with_query("db_name", Some(&query.db_name))
        .with_query("base_branch_id", query.base_branch_id.as_ref())
        .with_query("lsn", query.lsn)
        .with_query("timestamp", query.timestamp)
        .with_query("base_lsn", query.base_lsn)
        .with_query("base_timestamp", query.base_timestamp)
}

/// Stores what it has now.
pub fn store(project: &ProjectId, branch: &BranchId) -> Call<BranchStored> {
    Call::new(Method::Post, routes::BRANCH_STORE, &[project.as_str(), branch.as_str()])
}
