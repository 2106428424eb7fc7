//! The WAL service: receives, keeps, files and serves the WAL of running computes.
//!
//! ```text
//!   pg_wal of a compute ──► source::files ──┐
//!                                           ├──► filer ──► pieces in the store ──► read ──► segment files
//!   walsender ──► source::stream (spool) ───┘        │                               │
//!                                                 reader (records, commit times) ◄───┘
//! ```
//!
//! Read in this order. [`page`] and [`record`] are what PostgreSQL writes; [`reader`] finds the records in a
//! stream of bytes, [`blocks`] what they touch. [`piece`] is what the store holds. [`source`] is where bytes come from, [`filer`] puts
//! them into the store, [`read`] gets them back as files that a recovery can use.
//!
//! Three positions matter: what the compute has flushed, what is *filed* (safe in the store), and what the
//! source was told to *release*. Always `released ≤ filed ≤ flushed`.

pub mod page;
pub mod record;
pub mod reader;
pub mod blocks;
pub mod piece;
pub mod source;
pub mod filer;
pub mod read;

pub use filer::Filer;
pub use page::Major;
pub use reader::{Invalid, Reader};
pub use record::{Kind, Record};
