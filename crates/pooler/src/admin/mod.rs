//! The console: PgBouncer's, on the database `dormouse` (and `pgbouncer`), so that people and tools that watch
//! PgBouncer can watch Dormouse.
//!
//! ```text
//!   bytes ─► Console (messages) ─► Command ─► caller: does it, or fills rows ─► Reply ─► Console ─► bytes
//!                                  parse                     show::pools(…)              encode
//! ```
//!
//! Pure: the caller owns the socket and knows the pools. Commands, columns, their types and the texts of errors
//! are those of PgBouncer 1.25. What it lacks and costs little is added: the extended protocol (drivers that
//! prepare everything would fail), empty queries (pings), and codes that fit the errors.
//!
//! Where the next change goes: a command is a variant in `command.rs`; a SHOW is a variant in `show/mod.rs`, its
//! columns there, and a row type in a file of its own.

mod command;
mod console;
mod encode;
mod error;
mod reply;
pub mod show;

pub use command::{Command, ShutdownMode, parse};
pub use console::{Action, Console, MAX_PREPARED};
pub use encode::welcome;
pub use error::AdminError;
pub use reply::Reply;
pub use show::{Columns, Show, Table, Width};

#[cfg(test)]
mod tests;
