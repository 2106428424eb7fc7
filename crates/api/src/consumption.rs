//! Consumption: what was used, hour by hour, day by day or month by month.
//!
//! The numbers are those of the ledger, which `GET /usage` tells in our own words. What was used before there was
//! one is missing, and so are periods that are not kept any more: see `known_since`.

use dormouse_base::{ProjectId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Page;

/// The length of one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// At most 168 of them.
    Hourly,
    /// At most 60 of them.
    Daily,
    /// At most 12 of them.
    Monthly,
}

/// The query of `GET /consumption_history/…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsumptionQuery {
    /// The beginning; rounded down to the granularity.
    pub from: Timestamp,
    /// The end; rounded down as well.
    pub to: Timestamp,
    /// The length of one period.
    pub granularity: Granularity,
    /// Only these projects, by ID, with commas between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_ids: Option<String>,
    /// 1 to [`crate::page::MAX_LIMIT`] projects; [`crate::page::DEFAULT_LIMIT`] when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where the page before this one ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// `GET /consumption_history/account`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountConsumption {
    /// One billing period: there are no bills, so all time is one.
    pub periods: Vec<Period>,
}

/// `GET /consumption_history/projects`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectsConsumption {
    /// This page.
    pub projects: Vec<ProjectConsumption>,
    /// Absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagination: Option<Page>,
}

/// What one project used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectConsumption {
    /// The project.
    pub project_id: ProjectId,
    /// One billing period.
    pub periods: Vec<Period>,
}

/// A billing period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Period {
    /// Always `all`.
    pub period_id: String,
    /// Always [`crate::user::PLAN`].
    pub period_plan: String,
    /// When what is counted began: the project, or this server.
    pub period_start: Timestamp,
    /// Nothing before this time is known *(extension)*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_since: Option<Timestamp>,
    /// Hour by hour, day by day or month by month.
    pub consumption: Vec<Timeframe>,
}

/// What was used in one hour, day or month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Timeframe {
    /// Its beginning.
    pub timeframe_start: Timestamp,
    /// Its end.
    pub timeframe_end: Timestamp,
    /// How long endpoints were active, seconds, added up.
    pub active_time_seconds: u64,
    /// The same, each second as often as the endpoint's size had compute units.
    pub compute_time_seconds: u64,
    /// Bytes of WAL that were written.
    pub written_data_bytes: u64,
    /// Bytes of data and of its past in the store, mean of the period.
    pub synthetic_storage_size_bytes: u64,
    /// Bytes of data, each as often as it was there for an hour.
    pub data_storage_bytes_hour: u64,
    /// Bytes that clients got.
    pub data_transfer_bytes: u64,
}
