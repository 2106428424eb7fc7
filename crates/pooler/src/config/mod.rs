//! PgBouncer's vocabulary: every setting by its name, what Dormouse makes of it, and the files that hold them.
//!
//! ```text
//!   pgbouncer.ini ─► ini ─┐                    ┌─► Settings   all of them, typed, after the layers
//!   SET name = value ─────┼─► table (Setting) ─┤
//!   endpoint, role ─► Layer                    └─► Limits     the few that a pool's books look at, Copy
//!   userlist.txt ─► userlist
//! ```
//!
//! People who come from PgBouncer bring its names, its units (seconds, with a fraction) and its zero that means
//! off; all of them hold here. A setting that Dormouse does by other means, or does not need, is still known:
//! it is accepted, kept for SHOW CONFIG, and [`Setting::note`] says what to use instead. PgBouncer's HBA file
//! ([`hba`]) is only read where ordinary servers are behind the pooler.
//!
//! Where the next change goes: a setting is one entry in `settings.rs` (used) or `known.rs` (accepted).

mod error;
pub mod hba;
pub mod ini;
mod known;
mod layer;
mod layers;
mod limits;
mod settings;
mod table;
mod times;
pub mod userlist;
mod value;

pub use error::ConfigError;
pub use layer::Layer;
pub use layers::{Layers, MAX_LAYERS, Place};
pub use limits::Limits;
pub use settings::{Settings, names};
pub use table::{Kind, Scope, Setting, find, shown, table};
pub use times::{Times, UnderWay};
pub use value::{PoolMode, Value};

#[cfg(test)]
mod tests;
