//! Pooler *(extension)*: its settings, and the commands of its console. Names and values are PgBouncer's.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `GET /pooler`, and the reply to `PATCH /pooler`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pooler {
    /// All settings, by name.
    pub settings: Vec<PoolerSetting>,
    /// What differs from them for an endpoint, a database or a role.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<PoolerLayer>,
}

/// Settings of the pools that have all that is named here; whoever names more wins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolerLayer {
    /// Of this endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// For this database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// As this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The settings, by name.
    pub settings: BTreeMap<String, String>,
}

/// One setting, as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolerSetting {
    /// Its name.
    pub name: String,
    /// Its value, as text.
    pub value: String,
    /// What it is when nobody sets it.
    pub default: String,
    /// Whether it has an effect. Some of PgBouncer's are only accepted.
    pub used: bool,
}

/// `PATCH /pooler`: all are set, or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpdatePooler {
    /// New values as text; `null` goes back to the default, or to what holds for more pools.
    pub settings: BTreeMap<String, Option<String>>,
    /// For the pools of this endpoint only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// For the pools of this database only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// For the pools of this role only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// `POST /pooler/command`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolerCommand {
    /// A command of the console, such as `SHOW POOLS`.
    pub command: String,
}

/// The reply to `POST /pooler/command`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolerAnswer {
    /// The columns of what was shown.
    pub columns: Vec<String>,
    /// A cell for each column.
    pub rows: Vec<Vec<Option<String>>>,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
}
