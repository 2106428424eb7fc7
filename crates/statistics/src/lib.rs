//! What was measured, period by period, in bounded space; and when that is worth telling.
//!
//! ```text
//!   sample ─► Book: the open period of each length, in memory ──flush──► Store: SQLite, 15 days
//!                         │                                               │
//!                         └──────────────► query ◄───────────────────────┘
//!                                            │
//!   alert::Rule ─► the figure of the last complete period ─► alert::step ─► state
//! ```
//!
//! Read in this order. [`summary`] is what is kept of a period's samples; [`tier`] says which periods there are and how
//! long each is kept; [`subject`] whom a series is about. [`book`] collects, [`store`] keeps, [`recorder`] joins the two
//! and answers [`query`]. [`alert`] is the rules' state machine, without I/O; [`webhook`] how notices are signed, retried
//! and where they may go.
//!
//! A new metric is a variant of [`dormouse_api::statistics::Metric`]; who measures it is control's.

pub mod summary;
pub mod tier;
pub mod subject;
pub mod book;
pub mod store;
pub mod recorder;
pub mod query;
pub mod alert;
pub mod webhook;

pub use query::{Answer, Question};
pub use recorder::{Counts, Recorder};
pub use store::StoreError;
pub use subject::{Key, Subject};
pub use summary::Summary;
