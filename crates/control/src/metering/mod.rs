//! Metering: what was used, written down so that a crash loses at most one heartbeat and nothing is counted twice.
//!
//! ```text
//!  state changes, sizes ──► Meter ─► Ledger (pure) ─► Batch ─► db::usage ─► GET /usage, quotas
//!  proxy's counters ────────┘  ▲
//!  sizes of branches ──────────┘  reconcile::metering: the heartbeat
//! ```
//!
//! * [`gain`]: what was used in an hour. [`moment`]: a point in time that outlives a server.
//! * [`ledger`]: the core, and why it does not count twice.
//! * [`meter`]: the ledger as the rest of control holds it.
//! * [`report`]: a time as whole months, days and hours.
//! * [`quota`]: limits of projects.

pub mod gain;
pub mod ledger;
pub mod meter;
pub mod moment;
pub mod report;
pub mod quota;

pub use gain::{Gain, HOUR_MS, Hour, Traffic};
pub use ledger::{Account, Batch, Doing, Ledger, Level, Mark};
pub use meter::{Clients, HEARTBEAT, Meter};
pub use moment::Moment;
pub use quota::Guard;
