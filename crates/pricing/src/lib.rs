//! Usage turned into money: what the same use would have cost elsewhere, and on the user's own terms.
//!
//! ```text
//!  usage (seconds, milli-CU-seconds, byte-seconds, bytes) ──┐
//!                                                           ├─► bill: lines, total, always-on total, notes
//!  sheet (a dated TOML file: prices, allowances, sizes) ────┘
//! ```
//!
//! Prices are data: no provider is named in the code, so that a price that changes is a change of a file in
//! `sheets/`, and a user's own sheet is as good as the built-in ones. Arithmetic is in integers ([`money`]),
//! so a bill can be recomputed by hand to the last digit. Nothing here reads a file or the clock: `server`
//! reads the user's sheets, `control` brings the usage. The formulas for people are in `docs/reference/cost.md`.

pub mod money;
pub mod usage;
pub mod estimate;
pub mod sheet;
pub mod bill;
pub mod pricing;

pub use bill::{Bill, Line};
pub use estimate::{Estimate, EstimateError};
pub use money::{Fixed, Money};
pub use pricing::Pricing;
pub use sheet::{Sheet, SheetError};
pub use usage::{Database, Period, Project, Usage};
