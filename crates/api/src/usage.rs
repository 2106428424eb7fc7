//! Usage: what branches and projects used, from the ledger *(extension)*.
//!
//! The ledger keeps whole hours, days and months (UTC), so a time that is asked for is widened to them; the
//! report says which time it is about in the end. What was deleted meanwhile is still told.

use std::ops::{Add, AddAssign};

use dormouse_base::{BranchId, ProjectId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "UsageTotals")]
pub struct Totals {
    /// How long endpoints were active, seconds, added up.
    pub active_seconds: f64,
    /// The same, each second as often as the endpoint's size had compute units.
    pub cu_seconds: f64,
    /// How long endpoints were paused, seconds, added up.
    pub paused_seconds: f64,
    /// Bytes of data, each as often as it was there for an hour.
    pub storage_byte_hours: f64,
    /// The same for what is kept of the past.
    pub history_byte_hours: f64,
    /// Bytes that clients got.
    pub egress_bytes: u64,
    /// Bytes that clients sent.
    pub ingress_bytes: u64,
    /// How often endpoints became active.
    pub wakes: u64,
    /// Statements that clients ran.
    pub queries: u64,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, more: Self) {
        self.active_seconds += more.active_seconds;
        self.cu_seconds += more.cu_seconds;
        self.paused_seconds += more.paused_seconds;
        self.storage_byte_hours += more.storage_byte_hours;
        self.history_byte_hours += more.history_byte_hours;
        self.egress_bytes = self.egress_bytes.saturating_add(more.egress_bytes);
        self.ingress_bytes = self.ingress_bytes.saturating_add(more.ingress_bytes);
        self.wakes = self.wakes.saturating_add(more.wakes);
        self.queries = self.queries.saturating_add(more.queries);
    }
}

impl Add for Totals {
    type Output = Self;

    fn add(mut self, more: Self) -> Self {
        self += more;
        self
    }
}

impl std::iter::Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Self::add)
    }
}

/// The length of one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "UsageGranularity")]
pub enum Granularity {
    /// Kept for 35 days.
    Hour,
    /// Kept for 400 days.
    Day,
    /// Kept for 10 years.
    Month,
}

impl Granularity {
    /// All of them, the shortest first.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// The public name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// The query of `GET /usage`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "UsageQuery")]
pub struct Query {
    /// The beginning; that of this month when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// The end; now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// The length of the periods; no periods when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granularity: Option<Granularity>,
    /// Only this project, by ID, or by name while it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// Only this branch, by ID, or with a project by name; a deleted one by its last name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_id: Option<String>,
}

/// `GET /usage`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "UsageReport")]
pub struct Report {
    /// The beginning of what is told: a whole hour, or a whole day where hours are not kept any more.
    pub from: Timestamp,
    /// Its end, not later than now.
    pub to: Timestamp,
    /// The length of the periods, if they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granularity: Option<Granularity>,
    /// Since when there is a ledger: nothing before is known.
    pub known_since: Timestamp,
    /// All that was asked for.
    pub totals: Totals,
    /// The same by project, ordered by ID; only those that used something.
    pub projects: Vec<ProjectUsage>,
    /// The same by branch, ordered by project and ID; only those that used something.
    pub branches: Vec<BranchUsage>,
    /// The same by time, without gaps; empty unless a granularity was asked for.
    pub periods: Vec<UsagePeriod>,
}

/// What a project used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectUsage {
    /// The project.
    pub project_id: ProjectId,
    /// Its name, or the last one that it had.
    pub name: String,
    /// It does not exist any more.
    pub deleted: bool,
    /// What it used.
    pub totals: Totals,
}

/// What a branch used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BranchUsage {
    /// Its project.
    pub project_id: ProjectId,
    /// The branch.
    pub branch_id: BranchId,
    /// Its name, or the last one that it had.
    pub name: String,
    /// It does not exist any more.
    pub deleted: bool,
    /// What it used.
    pub totals: Totals,
}

/// What was used in one hour, day or month.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UsagePeriod {
    /// Its beginning.
    pub start: Timestamp,
    /// Its end.
    pub end: Timestamp,
    /// What was used.
    pub totals: Totals,
}
