//! The books of one pool (endpoint, database, role): who has a backend, who waits, and what may be opened.
//!
//! ```text
//!                 checkout                      checkin / opened
//!   a client ──────────────► Books ◄──────────────────────────── a backend that is free
//!      │ Ready: one that was idle      │ Handed: to the client that has waited longest
//!      │ Open:  start one, and wait    │ Kept:   idle now
//!      │ Wait:  stand in line          │ Close:  too old, not wanted, or another pool's turn
//!      └ Refuse: there is no hope      └
//! ```
//!
//! Everything is pure: time comes in, and what is to be done comes out, so that the rules can be held against a
//! model. The books count what they promised: an [`Opening`] must come back as opened or failed, a [`Receipt`] as
//! checked in or closed; neither can be copied. The rules, in the order in which they win:
//!
//! 1. Never more backends than the limits say, and no more than the shared caps ([`Caps`]) give.
//! 2. Clients are served in the order in which they came.
//! 3. No client waits while a backend is idle, unless the pool is paused.
//!
//! Where the next change goes: a new reason to close is a variant of [`CloseReason`] and a line in
//! `Books::unfit`; a new clock is a step of `tick.rs`; commands of the console are in `command.rs`.

mod books;
mod caps;
mod aside;
mod command;
mod counts;
mod farewell;
mod gate;
mod lack;
mod lease;
mod seats;
mod state;
mod tick;
mod unopened;
mod waiters;

pub use books::{Books, Checkin, Checkout, Refusal};
pub use caps::{Caps, CapsGate, MemberId};
pub use command::Killed;
pub use counts::Counts;
pub use farewell::Farewell;
pub use gate::{Gate, NoCap};
pub use lack::Lacks;
pub use lease::{CloseReason, Lease, Opening, Receipt};
pub use seats::{Full, Seats};
pub use state::{Event, State};
pub use tick::Actions;
pub use unopened::OpenFailed;
pub use waiters::WaiterId;

#[cfg(test)]
mod tests;
