//! Cost: what the same use costs by price sheets of other providers, or by one's own *(extension)*.
//!
//! Amounts are in the currency of their sheet, exact to a millionth; `total` is the sum of the lines' `amount`.
//! The formulas are in `docs/reference/cost.md`.

use dormouse_base::{ProjectId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::usage::Totals;

/// The query of `GET /cost`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CostQuery {
    /// The month (UTC), such as `2026-11`; this month when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub month: Option<String>,
    /// Only this project, by ID, or by name while it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// Only this sheet, by ID; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sheet: Option<String>,
}

/// `GET /cost`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// The month, such as `2026-11`.
    pub month: String,
    /// Its beginning.
    pub from: Timestamp,
    /// Its end, not later than now.
    pub to: Timestamp,
    /// Since when there is a ledger: nothing before is known, and nothing before is billed.
    pub known_since: Timestamp,
    /// What was used.
    pub usage: Totals,
    /// The sheet that is meant when none is named.
    pub default_sheet: String,
    /// What each sheet asks for it.
    pub sheets: Vec<SheetCost>,
    /// What each project alone would cost; fees and allowances are those of an account with this project only, so
    /// these do not add up to the totals.
    pub projects: Vec<ProjectCost>,
}

/// What one sheet asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SheetCost {
    /// The sheet.
    pub id: String,
    /// Who sells it.
    pub provider: String,
    /// Under which name.
    pub plan: String,
    /// Where.
    pub region: String,
    /// The currency, as in ISO 4217.
    pub currency: String,
    /// The day at which the prices were true, such as `2026-11-12`.
    pub dated: String,
    /// What the total is made of.
    pub lines: Vec<CostLine>,
    /// What it costs.
    pub total: f64,
    /// What it would cost with every compute awake all the time.
    pub always_on_total: f64,
    /// What sleeping saves.
    pub saving: f64,
    /// The same as a percentage of `always_on_total`.
    pub saving_percent: f64,
    /// Whether the plan allows this use; `notes` say what goes beyond.
    pub fits: bool,
    /// What the reader must know.
    pub notes: Vec<String>,
}

/// One line of a bill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CostLine {
    /// What for.
    pub item: String,
    /// How much of it.
    pub quantity: f64,
    /// Of what, such as `CU-hour`.
    pub unit: String,
    /// The price of one.
    pub unit_price: f64,
    /// Quantity × price, rounded half up to a millionth; negative for a credit.
    pub amount: f64,
}

/// What one project alone would cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectCost {
    /// The project.
    pub project_id: ProjectId,
    /// Its name, or the last one that it had.
    pub name: String,
    /// What it used.
    pub totals: Totals,
    /// Totals by sheet ID.
    pub costs: std::collections::BTreeMap<String, f64>,
}

/// The body of `POST /cost/estimate`: a month of one database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EstimateRequest {
    /// Hours with work in them.
    pub hours_active: f64,
    /// Hours of the month; 730 when absent.
    #[serde(default = "hours_in_month")]
    pub hours_in_month: f64,
    /// The mean size while active, CU.
    pub average_cu: f64,
    /// The largest size, CU; `average_cu` when absent. Providers of fixed sizes are asked for this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_cu: Option<f64>,
    /// Data, GB (10⁹ bytes).
    #[serde(default)]
    pub storage_gb: f64,
    /// History for restores, GB.
    #[serde(default)]
    pub history_gb: f64,
    /// Reads and writes of storage, millions.
    #[serde(default)]
    pub io_million: f64,
    /// Sent to clients, GB.
    #[serde(default)]
    pub egress_gb: f64,
    /// How often it wakes.
    #[serde(default)]
    pub wakes: u64,
    /// Only this sheet, by ID; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sheet: Option<String>,
}

fn hours_in_month() -> f64 {
    730.0
}

/// The reply of `POST /cost/estimate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CostEstimate")]
pub struct Estimate {
    /// The sheet that is meant when none is named.
    pub default_sheet: String,
    /// What each sheet asks for it.
    pub sheets: Vec<SheetCost>,
}

/// `GET /cost/sheets`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PriceSheets {
    /// The sheet that is meant when none is named.
    pub default_sheet: String,
    /// All of them; the user's own first.
    pub sheets: Vec<PriceSheet>,
}

/// What one plan of one provider costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PriceSheet {
    /// Its name in queries.
    pub id: String,
    /// Who sells it.
    pub provider: String,
    /// Under which name.
    pub plan: String,
    /// Where.
    pub region: String,
    /// The currency, as in ISO 4217.
    pub currency: String,
    /// The day at which the prices were true.
    pub dated: String,
    /// Where they are published.
    pub source: String,
    /// Whether nothing is asked for compute while nobody works.
    pub scales_to_zero: bool,
    /// Every price.
    pub prices: Vec<Price>,
    /// What the reader must know.
    pub notes: Vec<String>,
}

/// One price of a sheet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Price {
    /// What for.
    pub item: String,
    /// Of what.
    pub unit: String,
    /// What one costs.
    pub price: f64,
    /// From how many on; absent = from the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beyond: Option<f64>,
}
