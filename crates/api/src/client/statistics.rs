//! Calls about what was measured.

use super::Call;
use crate::routes::{self, Method};
use crate::statistics::{By, MetricList, Statistics, StatisticsQuery};

/// What was measured, period by period.
pub fn get(query: &StatisticsQuery) -> Call<Statistics> {
    let by = query.by.map(|By::Endpoint| "endpoint");
    Call::new(Method::Get, routes::STATISTICS, &[])
        .with_query("metrics", query.metrics.as_deref())
        .with_query("endpoint_id", query.endpoint_id.as_deref())
        .with_query("project_id", query.project_id.as_deref())
        .with_query("by", by)
        .with_query("from", query.from)
        .with_query("to", query.to)
        .with_query("period", query.period)
        .with_query("statistics", query.statistics.as_deref())
}

/// What is measured.
pub fn metrics() -> Call<MetricList> {
    Call::new(Method::Get, routes::STATISTICS_METRICS, &[])
}
