//! Calls about the server as a whole and about the caller.

use super::Call;
use crate::project::Projects;
use crate::routes::{self, Method};
use crate::{Organizations, Status, User};

/// The version and every endpoint's state.
pub fn status() -> Call<Status> {
    Call::new(Method::Get, routes::STATUS, &[])
}

/// Who the API key belongs to.
pub fn user() -> Call<User> {
    Call::new(Method::Get, routes::USER, &[])
}

/// The caller's organisations: always none.
pub fn organizations() -> Call<Organizations> {
    Call::new(Method::Get, routes::USER_ORGANIZATIONS, &[])
}

/// Projects that others share with the caller: always none.
pub fn shared_projects() -> Call<Projects> {
    Call::new(Method::Get, routes::PROJECTS_SHARED, &[])
}
