//! What pools have done, in PgBouncer's numbers.
//!
//! ```text
//!   session ─► Counters += …      one per pool, in its books' lock: plain additions, nothing atomic
//!                 │ snapshot
//!                 ▼
//!              Averages           once per `stats_period`: what happened in it
//!   console ─► Totals             pools of one database added up, with their averages
//! ```
//!
//! Times are in microseconds and bytes in bytes, as in SHOW STATS. Waits are also counted by length
//! ([`Histogram`]), because an average hides the one client in a hundred that waited for a second.
//!
//! Where the next change goes: a counter is one line in `counters.rs`; its column is in `admin/show/stats.rs`.

mod averages;
mod counters;
mod histogram;

pub use averages::{Averages, Period};
pub use counters::Counters;
pub use histogram::{BOUNDS, Histogram};
