//! Calls about roles.

use dormouse_base::{BranchId, ProjectId};

use super::Call;
use crate::role::{CreateRole, RoleChanged, RolePassword, RoleReply, Roles};
use crate::routes::{self, Method};

/// All roles of a branch.
pub fn list(project: &ProjectId, branch: &BranchId) -> Call<Roles> {
    Call::new(Method::Get, routes::ROLES, &[project.as_str(), branch.as_str()])
}

/// Makes a role; the reply has its password.
pub fn create(project: &ProjectId, branch: &BranchId, request: &CreateRole) -> Call<RoleChanged> {
    Call::new(Method::Post, routes::ROLES, &[project.as_str(), branch.as_str()]).with_body(request)
}

/// One role.
pub fn get(project: &ProjectId, branch: &BranchId, role: &str) -> Call<RoleReply> {
    Call::new(Method::Get, routes::ROLE, &[project.as_str(), branch.as_str(), role])
}

/// Removes a role.
pub fn delete(project: &ProjectId, branch: &BranchId, role: &str) -> Call<RoleChanged> {
    Call::new(Method::Delete, routes::ROLE, &[project.as_str(), branch.as_str(), role])
}

/// The password in the clear.
pub fn reveal(project: &ProjectId, branch: &BranchId, role: &str) -> Call<RolePassword> {
    Call::new(Method::Get, routes::ROLE_REVEAL, &[project.as_str(), branch.as_str(), role])
}

/// Gives the role a new random password; the reply has it.
pub fn reset(project: &ProjectId, branch: &BranchId, role: &str) -> Call<RoleChanged> {
    Call::new(Method::Post, routes::ROLE_RESET, &[project.as_str(), branch.as_str(), role])
}
