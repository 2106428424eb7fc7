//! Calls about what was used.

use super::Call;
use crate::routes::{self, Method};
use crate::usage::{Query, Report};

/// What was used.
pub fn report(query: &Query) -> Call<Report> {
    Call::new(Method::Get, routes::USAGE, &[])
        .with_query("from", query.from)
        .with_query("to", query.to)
        .with_query("granularity", query.granularity.map(crate::usage::Granularity::name))
        .with_query("project_id", query.project_id.as_deref())
        .with_query("branch_id", query.branch_id.as_deref())
}
