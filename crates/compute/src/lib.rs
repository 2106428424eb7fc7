//! The life of one PostgreSQL process tree: from a directory on disk to a running, sandboxed server
//! and back.
//!
//! Read in this order. [`state`] is the whole life cycle as a pure function. [`spec`] says what to
//! run; [`host`] is everything this crate asks of the rest of the product (which data directory,
//! what to apply, whom to tell), so that it can be tested and reused without them. [`fleet`] holds
//! one [`endpoint`] actor per endpoint; the actor alone starts, freezes and stops its compute.
//! [`postgres`] knows PostgreSQL's files and habits, [`sandbox`] the operating system's.
//!
//! This crate never *makes* a data directory (storage does, through [`host::Host`]); the one
//! exception is [`template`], which builds the pristine cluster that new projects are copied from.
//! [`limits`] gives it a size, [`prewarm`] remembers its working set. [`import`] turns the copy of a foreign cluster into one of ours.

pub mod activity;
pub mod admission;
pub mod endpoint;
pub mod event;
pub mod fleet;
pub mod host;
pub mod host_change;
pub mod import;
pub mod limits;
pub mod metrics;
pub mod prewarm;
pub mod postgres;
pub mod sandbox;
pub mod spec;
pub mod state;
pub mod template;

pub use endpoint::{Endpoint, Lease, WakeError};
pub use fleet::{Fleet, FleetConfig};
pub use host::Host;
pub use host_change::HostChange;
pub use spec::Spec;
pub use state::State;
