//! Calls about the quotas of a project.

use super::Call;
use crate::quota::{Quotas, SetQuotas};
use crate::routes::{self, Method};

/// The limits of a project, and how much of them is used.
pub fn get(project: &str) -> Call<Quotas> {
    Call::new(Method::Get, routes::QUOTAS, &[project])
}

/// These limits and no others.
pub fn set(project: &str, request: &SetQuotas) -> Call<Quotas> {
    Call::new(Method::Put, routes::QUOTAS, &[project]).with_body(request)
}
