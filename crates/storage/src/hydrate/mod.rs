//! Filling the holes of a sparse directory just before PostgreSQL touches them: the filler.
//!
//! ```text
//!   PostgreSQL + front ──"fill chunk 7 of file 3"──► serve ─► fill ─► Source (packs)
//!        ▲                                                     │ pwrite into the hole, then set the bit
//!        └──────────── presence file (mapped) ◄────────────────┘
//! ```
//!
//! Read in this order. [`plan`] says what is missing. [`source`] gives the bytes. [`handle`] is what the rest of
//! the server sees: [`Hydration::begin`] for a directory that was just made, [`Hydration::resume`] after a
//! restart. Inside: `presence` (the file that the front maps), `state` (what survives a restart), `anchor` (whether
//! the directory is a copy by now), `beneath` (opening files in a hostile directory), `filler` and `fill` (one
//! chunk), `truncate` (ordered with fills), `serve` (the front's requests), `ahead` and `background` (chunks before
//! they are asked for; completion). [`symbols`] decides whether a `postgres` can be served by the front at all.
//!
//! What must hold: a bit is set after its bytes are in the file, never before; only holes below the truncation
//! watermark are written; what cannot be filled is an error, never zeros. The durable truth is the file
//! system's own map of holes: bits are believed as long as PostgreSQL runs on the directory only. And only the
//! directory that was made is filled, no copy of it.

pub mod plan;
pub mod source;
pub mod handle;
pub mod install;
pub mod metrics;
pub mod symbols;
mod ahead;
mod anchor;
mod background;
mod beneath;
mod fill;
mod filler;
mod opening;
mod presence;
mod serve;
mod sparse;
mod state;
mod truncate;

pub use fill::maps_holes;
pub use handle::{HydrateError, Hydration, Life, Place, Progress, Tuning, stored_plan};
pub use install::install_front;
pub use metrics::Metrics;
pub use plan::{Bits, LazyFile, Plan};
pub use source::{Source, SourceError};
