//! A price sheet: what one provider's plan costs at one date, as a TOML file.
//!
//! Everything that differs between providers is a field here; the names are explained for people who write
//! their own in `docs/reference/cost.md`. A sheet is checked while it is read, so that an error names the line
//! and the field ([`read`]); what has been read can be priced without further errors. A new way to bill is a
//! field here, its use in [`crate::bill`], and a row in the document.

pub mod read;
pub mod builtin;
mod tiers;
mod compute;
mod rows;

use jiff::civil::Date;
use serde::Deserialize;

use crate::money::Fixed;

pub use compute::{Capacity, Compute, Size, Sizes, Sleep};
pub use read::SheetError;
pub use rows::PriceRow;
pub use tiers::{Tier, Tiers};

/// The most characters of an ID.
pub const MAX_ID: usize = 64;

/// What one plan of one provider costs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sheet {
    /// Its name in commands and replies: lower-case letters, digits and `-`.
    #[serde(deserialize_with = "read::id")]
    pub id: String,
    /// Who sells it.
    #[serde(deserialize_with = "read::text")]
    pub provider: String,
    /// Under which name.
    #[serde(deserialize_with = "read::text")]
    pub plan: String,
    /// The day at which these prices were true.
    #[serde(deserialize_with = "read::date")]
    pub dated: Date,
    /// Where they are published.
    #[serde(deserialize_with = "read::text")]
    pub source: String,
    /// The currency, as in ISO 4217.
    #[serde(deserialize_with = "read::currency")]
    pub currency: String,
    /// Where in the world, in the provider's words.
    #[serde(deserialize_with = "read::text")]
    pub region: String,
    /// What the reader of a bill must know: what is left out, what could not be verified.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What is paid whatever is used.
    #[serde(default)]
    pub fees: Fees,
    /// The compute.
    pub compute: Compute,
    /// Data. Absent: nothing is asked for it.
    pub storage: Option<Storage>,
    /// History for restores. Absent: nothing is asked for it.
    pub history: Option<History>,
    /// Bytes to clients. Absent: nothing is asked for them.
    pub egress: Option<Transfer>,
    /// Reads and writes of storage. Absent: nothing is asked for them.
    pub io: Option<Requests>,
    /// Branches beyond a number.
    pub branches: Option<Branches>,
    /// What the plan does not allow to exceed, at any price.
    #[serde(default)]
    pub limits: Limits,
}

/// What is paid per month and account, whatever is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fees {
    /// The plan itself.
    pub monthly: Fixed,
    /// The bill is at least this.
    pub minimum: Fixed,
    /// So much compute is paid for with the plan, in money.
    pub compute_credit: Fixed,
}

/// What a GB is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Giga {
    /// 10⁹ bytes.
    #[default]
    #[serde(rename = "GB")]
    Decimal,
    /// 2³⁰ bytes.
    #[serde(rename = "GiB")]
    Binary,
}

impl Giga {
    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Decimal => 1_000_000_000,
            Self::Binary => 1 << 30,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decimal => "GB",
            Self::Binary => "GiB",
        }
    }
}

/// How data is billed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// What the numbers here count.
    #[serde(default)]
    pub unit: Giga,
    /// Per month, all databases together.
    pub price: Tiers,
    /// A database is billed for at least so much.
    #[serde(default)]
    pub minimum_per_database: Fixed,
    /// Only these sizes can be had; the next larger one is billed. Empty = any size.
    #[serde(default, deserialize_with = "read::ascending")]
    pub sizes: Vec<Fixed>,
    /// So much of each database costs nothing.
    #[serde(default)]
    pub included_per_database: Fixed,
}

/// How history is billed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// What the numbers here count.
    #[serde(default)]
    pub unit: Giga,
    /// Per month, all databases together.
    pub price: Tiers,
    /// As much as is billed for data costs nothing.
    #[serde(default)]
    pub included_up_to_storage: bool,
}

/// How bytes to clients are billed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// What the numbers here count.
    #[serde(default)]
    pub unit: Giga,
    /// All databases together, per month.
    pub price: Tiers,
}

/// How reads and writes of storage are billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requests {
    /// A million of them.
    pub price_per_million: Fixed,
}

/// How branches are billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branches {
    /// So many of each project cost nothing.
    pub included_per_project: u32,
    /// One more, for a month.
    pub price: Fixed,
}

/// What a plan does not allow. What goes beyond is not billed, but said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The largest compute, CU.
    pub max_cu: Option<Fixed>,
    /// Capacity × time of one project in a month, in the unit of `[compute]`.
    pub compute_per_project: Option<Fixed>,
    /// Data of one project, GB.
    pub storage_per_project: Option<Fixed>,
    /// Bytes to clients of the account in a month, GB.
    pub egress: Option<Fixed>,
    /// Projects.
    pub projects: Option<u32>,
}
