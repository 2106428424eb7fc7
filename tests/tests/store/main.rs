//! The object store against real servers and a real full disk.
//!
//! Two servers that were written without us speak S3: `s3s-fs` in this process, and `moto` from Python
//! (`scripts/setup --tests`). Neither is trusted to arbitrate between two processes: S3 does, they
//! may look before they write. So races here stay inside one handle, or are between creates that a real
//! server must refuse one after the other.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot be set up has failed")]

mod contract;
mod full;
mod moto;
mod s3s;
