//! Session settings: what a client set, and what must be replayed on another backend.
//!
//! ```text
//!  startup ──► Settings of the client ◄── Tracker ◄── Change ◄── sql::Effect of a statement that succeeded
//!                   │
//!                   ├── replay ──► one simple Query that makes a backend the same
//!                   │
//!              Settings of the backend ◄── Tracker of the backend, fed with the same changes
//! ```
//!
//! Client and backend each have a tracker, for they differ in what `RESET` means: the backend goes back to what
//! the server gave it, the client to what it asked for at startup. The next link finds the difference.
//! [`Reported`] is the other direction: which ParameterStatus values a client has been told.

mod map;
mod change;
mod tracker;
mod replay;
mod capture;
mod startup;
mod foreign;
mod reported;
mod style;

#[cfg(test)]
mod tests;

pub use capture::{CAPTURE_ROLE, capture_sql, may_be_hidden};
pub use change::Change;
pub use map::{MAX_BYTES, MAX_SETTINGS, Settings, SettingsError};
pub use replay::{replay, replay_afresh};
pub use reported::{MAX_REPORTED, Reported};
pub use startup::{Startup, StartupError};
pub use style::is_whole_style;
pub use tracker::{MAX_SAVEPOINTS, Tracker, Uncertain};

/// A setting of two halves, of which a value may have only one ([`is_whole_style`]).
pub const DATE_STYLE: &str = "datestyle";

/// The name under which the role of `SET ROLE` is kept.
pub const ROLE: &str = "role";

/// The value of that one with which nobody's role is played. It is kept as any other: the session may begin with a role.
pub const NO_ROLE: &str = "none";

/// The name under which the role of `SET SESSION AUTHORIZATION` is kept.
pub const SESSION_AUTHORIZATION: &str = "session_authorization";
