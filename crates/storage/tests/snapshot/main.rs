//! Snapshots and restores with real PostgreSQL: what was recorded of a database's content before a snapshot
//! is what a restored directory answers. [`cluster`] runs PostgreSQL, [`lab`] holds a store and takes and
//! restores. The tests with `#[ignore]` are measurements: run them in a release build with `--nocapture`.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "tests")]

mod cluster;
mod control_file;
mod damage;
mod figures;
mod golden;
mod history;
mod hostile;
mod lab;
mod lazy;
mod reused;
mod running;
mod told;
