//! What projects and branches used in the month that runs (UTC), in Neon's words, as part of their own replies.
//!
//! The numbers are those of `GET /usage`, some seconds old, rounded down to whole ones; deleted branches are in those of
//! their project. What went before is in `GET /usage` and `GET /consumption_history/…`.

use dormouse_base::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was used in the month that runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Used {
    /// How long endpoints were active, seconds, added up.
    pub active_time_seconds: u64,
    /// The same, each second as often as the endpoint's size had compute units.
    pub compute_time_seconds: u64,
    /// An older name of `compute_time_seconds`; always equal to it.
    pub cpu_used_sec: u64,
    /// Bytes of WAL that were filed in the store.
    pub written_data_bytes: u64,
    /// Bytes that clients got.
    pub data_transfer_bytes: u64,
}

/// What a project used, and what it has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProjectUsed {
    /// Of all its branches.
    #[serde(flatten)]
    pub used: Used,
    /// Bytes of data in the month that runs, each as often as it was there for an hour.
    pub data_storage_bytes_hour: u64,
    /// Data and history in the store, bytes, as they were measured last; absent before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synthetic_storage_size: Option<u64>,
    /// When the month began.
    pub consumption_period_start: Timestamp,
    /// When it ends.
    pub consumption_period_end: Timestamp,
    /// When its quotas begin anew; absent when they never do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_reset_at: Option<Timestamp>,
    /// When one of its endpoints became active or stopped being so last; absent when that never happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_last_active_at: Option<Timestamp>,
}
