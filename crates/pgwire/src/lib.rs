//! PostgreSQL's frontend/backend protocol, version 3, as bytes and states. No sockets, no clock, no tasks.
//!
//! ```text
//!  client ──► startup ──► auth::scram ──► frame/frontend ──► …bytes…  ──► PostgreSQL
//!         ◄── backend, client_error ◄──── scan (headers only) ◄──────────
//! ```
//!
//! Everything a peer can send ends in a value or an error, never in a panic, and every length is checked
//! against a name in [`limit`] before memory is spent on it. Callers own the I/O: they read bytes, ask a
//! function here what they mean, and write what another function returns.
//!
//! Where the next change goes: a new message is a new file in [`frontend`] (a server reads it) or [`backend`]
//! (a server writes it); a new error code is a constant in [`sqlstate`]; a new way to prove who you are is a
//! new module in [`auth`].

// In reading order; the formatter sorts only within a group.
pub mod limit;
pub mod tag;

mod cursor;
mod encode;
pub mod frame;

pub mod startup;

pub mod options;

pub mod backend;
pub mod frontend;

pub mod scan;

pub mod auth;

pub mod client_error;
pub mod sqlstate;

pub use client_error::ClientError;
pub use cursor::Malformed;
pub use encode::Encode;
pub use frame::{Frame, FrameError, Header};
pub use sqlstate::SqlState;
