//! Quotas of a project *(extension)*: how much it may use in a period, and what happens then.
//!
//! Neon's own `settings.quota` is the same thing in other words: see [`crate::project::Quota`].

use dormouse_base::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "QuotaMeasure")]
pub enum Measure {
    /// How long endpoints are active, seconds, added up.
    ActiveSeconds,
    /// The same, each second as often as the endpoint's size has compute units.
    CuSeconds,
    /// Bytes of data in the store at the moment.
    StorageBytes,
    /// Bytes that clients get.
    EgressBytes,
    /// Bytes of WAL that are written.
    WrittenBytes,
    /// Money, by the default price sheet.
    Spend,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ActiveSeconds,
        Self::CuSeconds,
        Self::StorageBytes,
        Self::EgressBytes,
        Self::WrittenBytes,
        Self::Spend,
    ];

    /// The public name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ActiveSeconds => "active_seconds",
            Self::CuSeconds => "cu_seconds",
            Self::StorageBytes => "storage_bytes",
            Self::EgressBytes => "egress_bytes",
            Self::WrittenBytes => "written_bytes",
            Self::Spend => "spend",
        }
    }

    /// In words, as in "the project's … quota".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::ActiveSeconds => "active time",
            Self::CuSeconds => "compute time",
            Self::StorageBytes => "storage",
            Self::EgressBytes => "data transfer",
            Self::WrittenBytes => "written data",
            Self::Spend => "spending",
        }
    }

    /// The measure of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|measure| measure.name() == name)
    }
}

/// When counting begins anew. All times are UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "QuotaPeriod")]
pub enum Period {
    /// With each month.
    #[default]
    Month,
    /// With each day.
    Day,
    /// Never.
    None,
}

/// What happens when a limit is reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "QuotaAction")]
pub enum Action {
    /// It is said.
    #[default]
    Alert,
    /// The project's endpoints are suspended and not woken; clients get SQLSTATE 53400.
    Suspend,
}

/// How much of a limit is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "QuotaState")]
pub enum State {
    /// Less than the soft limit.
    #[default]
    Ok,
    /// The soft limit is reached.
    Soft,
    /// The limit is reached.
    Exceeded,
}

/// The soft limit, per cent of the limit, unless another is wanted.
pub const SOFT_PERCENT: u8 = 80;

fn soft_percent() -> u8 {
    SOFT_PERCENT
}

/// One limit, as it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "QuotaLimit")]
pub struct Limit {
    /// What is limited.
    pub measure: Measure,
    /// How much there may be in one period, more than zero.
    pub limit: f64,
    /// When it is said that the limit comes near, per cent of it, 1 to 100.
    #[serde(default = "soft_percent")]
    pub soft_percent: u8,
    /// What happens when it is reached.
    #[serde(default)]
    pub action: Action,
}

/// `PUT …/quotas`: these limits and no others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetQuotas {
    /// When counting begins anew.
    #[serde(default)]
    pub period: Period,
    /// The limits, at most one of each measure.
    pub quotas: Vec<Limit>,
}

/// `GET …/quotas`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quotas {
    /// When counting begins anew.
    pub period: Period,
    /// The limits.
    pub quotas: Vec<Quota>,
}

/// One limit, and how much of it is used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quota {
    /// What is limited.
    pub measure: Measure,
    /// How much there may be in one period.
    pub limit: f64,
    /// When it is said that the limit comes near, per cent of it.
    pub soft_percent: u8,
    /// What happens when it is reached.
    pub action: Action,
    /// How much there was in this period; some seconds old.
    pub used: f64,
    /// What that means.
    pub state: State,
    /// When counting begins anew; absent when it never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<Timestamp>,
}

/// `settings.quota` of a project, as Neon has it: limits of one month that suspend. Zero means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NeonQuota {
    /// [`Measure::ActiveSeconds`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_time_seconds: Option<u64>,
    /// [`Measure::CuSeconds`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_time_seconds: Option<u64>,
    /// [`Measure::WrittenBytes`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_data_bytes: Option<u64>,
    /// [`Measure::EgressBytes`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_transfer_bytes: Option<u64>,
    /// [`Measure::StorageBytes`], of all branches together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logical_size_bytes: Option<u64>,
}
