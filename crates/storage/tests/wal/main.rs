//! The WAL service with real PostgreSQL: what is captured is what was written, and what is restored is what
//! was captured. Each file is one area; a version of PostgreSQL that is not installed is left out.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot be set up has failed")]

mod cluster;
mod load;
mod reading;
mod restoring;
mod filing;
mod streaming;
mod measuring;
