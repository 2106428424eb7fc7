//! Event *(extension)*: one thing that happened to an endpoint, such as a wake with its phases.

use dormouse_base::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One entry of an endpoint's event list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointEvent {
    /// Grows with every event of the server.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// What, such as `woke`, `paused`, `stopped`, `resized`, `start_failed`, `crashed`.
    pub kind: String,
    /// More about it; the keys depend on `kind`.
    #[serde(default)]
    pub detail: serde_json::Map<String, serde_json::Value>,
}

/// `GET …/endpoints/{endpoint_id}/events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Events {
    /// Newest first.
    pub events: Vec<EndpointEvent>,
}

/// The query of `GET …/endpoints/{endpoint_id}/events`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventsQuery {
    /// 1 to [`crate::page::MAX_LIMIT`]; [`crate::page::DEFAULT_LIMIT`] when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}
