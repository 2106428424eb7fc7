//! Calls about money.

use super::Call;
use crate::cost::{Cost, CostQuery, Estimate, EstimateRequest, PriceSheets};
use crate::routes::{self, Method};

/// What a month cost.
pub fn get(query: &CostQuery) -> Call<Cost> {
    Call::new(Method::Get, routes::COST, &[])
        .with_query("month", query.month.as_deref())
        .with_query("project_id", query.project_id.as_deref())
        .with_query("sheet", query.sheet.as_deref())
}

/// What a month would cost.
pub fn estimate(month: &EstimateRequest) -> Call<Estimate> {
    Call::new(Method::Post, routes::COST_ESTIMATE, &[]).with_body(month)
}

/// The price sheets.
pub fn sheets() -> Call<PriceSheets> {
    Call::new(Method::Get, routes::COST_SHEETS, &[])
}
