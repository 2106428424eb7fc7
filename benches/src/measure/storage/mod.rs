//! `storage`: what it costs that a database's truth is in a store and not on its machine.
//!
//! ```text
//!  storage-snapshot   store a cluster, make a directory of it     beside pg_basebackup, pgBackRest
//!  storage-start      nothing local → first row                   beside a start of what is local
//!  storage-branch     a running database → its branch's first row beside copies of the database
//!  storage-front      pgbench behind the hydration front          beside the same without
//!  storage-wal        pgbench with its WAL being stored           beside nothing, and pg_receivewal
//! ```
//!
//! Start, branch and wal measure the product from outside, as the other parts do. Snapshot and front use the
//! storage crate itself ([`lab`]), because from outside a single step of it cannot be held still. Databases
//! are pgbench's; they are kept between runs ([`cluster`], [`served`]) below the build directory and may be
//! deleted at any time.

pub(crate) mod snapshot;
mod peers;

pub(crate) mod start;
mod phases;

pub(crate) mod branch;
mod unwritten;

pub(crate) mod front;
mod behind;

pub(crate) mod wal;
mod receiver;

mod cluster;
mod lab;
mod served;
mod size;
