//! The object store: a directory, S3, GCS or Azure, behind one small handle.
//!
//! ```text
//!   Store (store)  put · create · get · get_range(s) · list · delete
//!      │  attempt: time-outs by size, retries with back-off and a deadline, counted (metrics)
//!      ▼
//!   FaultStore (fault), only when asked for: errors, delays, truncated bodies, stale lists, flipped bytes
//!      ▼
//!   the backend (open): a durable directory (local, root), memory, S3, GCS, Azure, WebDAV
//! ```
//!
//! The one thing that decides between two writers is *create if absent*; [`format`] proves at each opening
//! that the store honours it. A new operation goes into `store.rs` and through `attempt.rs`; a new kind of
//! store into `open.rs`.

mod attempt;
mod error;
pub mod fault;
pub mod format;
mod listing;
mod local;
mod metrics;
mod open;
mod ranges;
mod root;
mod store;

#[cfg(test)]
mod tests;

pub use attempt::Limits;
pub use error::{OpenError, StoreError};
pub use fault::{FaultHandle, FaultPlan, FaultStore};
pub use format::Expected;
pub use metrics::StoreStats;
pub use open::StoreOptions;
pub use ranges::{RANGE_GAP, RANGE_MAX, RANGES_AT_ONCE};
pub use store::{Created, Listed, Store};
