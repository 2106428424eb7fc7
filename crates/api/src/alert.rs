//! Alert *(extension)*: a rule looks at a statistic, period by period, and each subject of it has a state; webhooks are
//! told when one changes.
//!
//! A rule without a `scope` is about everything; `each` says what has a state of its own: every endpoint, every project,
//! or the server as a whole. The server's rules exist from the start (`default`); they can be changed and switched off,
//! and deleting one brings it back as it was. Who is told is a file of its own, `alert/webhook.rs`.

use std::fmt;

use dormouse_base::{AlertRuleId, EndpointId, ProjectId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::statistics::{Metric, Statistic, Unit};

mod webhook;

pub use webhook::{
    CreateWebhook, Delivery, DeliveryState, Webhook, WebhookCreated, WebhookReply, WebhookTested, Webhooks,
};

/// The `clear_ratio` of a rule that does not say: 5 % back from the threshold.
pub const DEFAULT_CLEAR_RATIO: f64 = 0.95;

/// Where a subject of a rule is.
/// Their order is from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Nothing was measured lately: asleep, most of the time.
    NoData,
    /// As it should be.
    Ok,
    /// Beyond the first threshold.
    Warning,
    /// Beyond the second threshold.
    Critical,
}

impl AlertState {
    /// All of them.
    pub const ALL: [AlertState; 4] =
        [AlertState::NoData, AlertState::Ok, AlertState::Warning, AlertState::Critical];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            AlertState::NoData => "no_data",
            AlertState::Ok => "ok",
            AlertState::Warning => "warning",
            AlertState::Critical => "critical",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

impl fmt::Display for AlertState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// On which side of its thresholds a rule is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Comparison {
    /// Broken by more.
    #[serde(rename = ">")]
    Above,
    /// Broken by less.
    #[serde(rename = "<")]
    Below,
}

/// What has a state of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Each {
    /// Every endpoint in the scope.
    Endpoint,
    /// Every project in the scope, as a whole.
    Project,
    /// The server as a whole.
    Server,
}

/// What a rule or an alert is about; the whole server when empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Scope {
    /// Only this project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// Only this endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_id: Option<EndpointId>,
}

/// When something is worth telling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rule {
    /// The rule.
    pub id: AlertRuleId,
    /// For people.
    pub name: String,
    /// What is looked at.
    pub metric: Metric,
    /// What its figures are.
    pub unit: Unit,
    /// Which statistic of it.
    pub statistic: Statistic,
    /// Of periods of so many seconds.
    pub period_seconds: u32,
    /// So many periods in a row must agree before a state changes.
    pub datapoints: u32,
    /// On which side it is broken.
    pub comparison: Comparison,
    /// Beyond it: `warning`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<f64>,
    /// Beyond it: `critical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical: Option<f64>,
    /// A threshold counts as left when the figure is back by this: below `threshold × clear_ratio` (for `<`: above
    /// `threshold ÷ clear_ratio`).
    pub clear_ratio: f64,
    /// What it is about.
    #[serde(default)]
    pub scope: Scope,
    /// What has a state of its own.
    pub each: Each,
    /// Whether it is looked at.
    pub enabled: bool,
    /// Whether it came with the server.
    pub default: bool,
}

/// `GET /alerts/rules`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rules {
    /// All of them, the server's own first.
    pub rules: Vec<Rule>,
}

/// `GET /alerts/rules/{rule_id}`, and the reply to a change of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RuleReply {
    /// The rule.
    pub rule: Rule,
}

/// `POST /alerts/rules`. At least one threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CreateRule {
    /// For people.
    pub name: String,
    /// What is looked at.
    pub metric: Metric,
    /// Which statistic; `average` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistic: Option<Statistic>,
    /// 10, 60, 300 or 3600; 60 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_seconds: Option<u32>,
    /// 1 to 60; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datapoints: Option<u32>,
    /// `>` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// Beyond it: `warning`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<f64>,
    /// Beyond it: `critical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical: Option<f64>,
    /// More than 0, at most 1; 0.95 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear_ratio: Option<f64>,
    /// What it is about; everything when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// What has a state of its own; when absent `endpoint`, for the cost `server` or the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<Each>,
    /// Whether it is looked at; it is when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// `PATCH /alerts/rules/{rule_id}`: what is absent stays. Metric, scope and `each` cannot change: make another rule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UpdateRule {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which statistic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistic: Option<Statistic>,
    /// 10, 60, 300 or 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_seconds: Option<u32>,
    /// 1 to 60.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datapoints: Option<u32>,
    /// On which side it is broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// Beyond it: `warning`; `null` = no such threshold.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    #[schemars(with = "Option<f64>")]
    pub warning: Option<Option<f64>>,
    /// Beyond it: `critical`; `null` = no such threshold.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    #[schemars(with = "Option<f64>")]
    pub critical: Option<Option<f64>>,
    /// More than 0, at most 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear_ratio: Option<f64>,
    /// Whether it is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// Tells `null` from a field that is not there.
fn said<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<f64>>, D::Error> {
    Option::<f64>::deserialize(from).map(Some)
}

/// `POST /alerts/rules/{rule_id}/test`: what the rule says now, and a notice marked as a test to every webhook. No state
/// changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RuleTested {
    /// What the last complete period says, for each subject that has data.
    pub subjects: Vec<Subject>,
    /// The notices that were sent, one for each webhook that listens.
    pub deliveries: Vec<Delivery>,
}

/// What a rule says of one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Subject {
    /// Whom it is about.
    pub scope: Scope,
    /// The figure of the last complete period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The state that this figure alone would lead to.
    pub state: AlertState,
}

/// The query of `GET /alerts`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertsQuery {
    /// Only alerts of this project, by ID or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// Only alerts in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<AlertState>,
    /// The most changes in `history`: 1 to [`crate::page::MAX_LIMIT`]; [`crate::page::DEFAULT_LIMIT`] when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// `GET /alerts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alerts {
    /// Every subject of an enabled rule that something was measured of in the last hour, the worst first; at most 1,000.
    pub alerts: Vec<Alert>,
    /// The last changes of state, newest first.
    pub history: Vec<Change>,
}

/// The state of one subject of a rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alert {
    /// The rule.
    pub rule_id: AlertRuleId,
    /// The rule's name.
    pub name: String,
    /// What is looked at.
    pub metric: Metric,
    /// What its figures are.
    pub unit: Unit,
    /// Whom it is about; the whole server when empty.
    pub scope: Scope,
    /// Where it is.
    pub state: AlertState,
    /// The figure of the last period that was looked at; absent when nothing was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The threshold that the state is about; absent when `ok` and `no_data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// When it came there.
    pub since: Timestamp,
}

/// One change of state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Grows with every change of the server.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// The rule.
    pub rule_id: AlertRuleId,
    /// The rule's name.
    pub name: String,
    /// What is looked at.
    pub metric: Metric,
    /// Whom it is about; the whole server when empty.
    pub scope: Scope,
    /// Where it was.
    pub from: AlertState,
    /// Where it is since then.
    pub to: AlertState,
    /// The figure that decided; absent when nothing was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}
