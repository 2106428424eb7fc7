//! What a statement's text does to the state of its session.
//!
//! ```text
//!  text ──► quick ─── plain SELECT, INSERT, UPDATE, DELETE …: no effect, one look at the bytes
//!             │ no
//!             ▼
//!        classify ── by first word ──► set       SET, RESET
//!             ▲                    ├─► control   BEGIN … ROLLBACK TO
//!             │ lexer, spelling    ├─► object    CREATE TEMP, DECLARE, COPY, PREPARE, EXPLAIN
//!             │                    └─► calls     what a query calls: advisory locks, set_config
//!             └─ next statement
//! ```
//!
//! The result says what happens if the statement succeeds; who knows that it did is `settings::Tracker` and
//! the link. It is told from the text alone: a function that sets something inside, a rule, a trigger are
//! invisible, here as in every pooler. Where a text leaves room, locks and temporary objects are reported
//! (a backend that is kept for nothing costs little), and values are left open (a wrong value would be replayed).
//!
//! A new effect is a variant of [`Effect`] and an arm in `classify` or `calls`; a word by which it can hide in
//! a query belongs into `quick` as well.

mod lexer;
mod keywords;
mod spelling;

mod effect;

mod quick;
mod classify;
mod set;
mod control;
mod object;
mod calls;
mod block;
mod moment;

#[cfg(test)]
mod tests;

pub use classify::classify;
pub(crate) use classify::statements;
pub use effect::{Discarded, Effect, Given, Shape, Value};
pub(crate) use moment::is_of_the_moment;
pub(crate) use spelling::may_be_custom;
