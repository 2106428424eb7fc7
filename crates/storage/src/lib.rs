//! The truth of every database, kept in an object store; the node's disk is a cache of it.
//!
//! ```text
//!   compute's directory ──► snapshot ──► chunks in packs, manifest, boot pack ──┐
//!   compute's WAL ────────► wal ───────► pieces ────────────────────────────────┤──► object (store)
//!   branch operations ────► branch ────► registers (numbered versions) ─────────┘
//!                                                        │
//!   new directory ◄── restore + hydrate ◄── line (which snapshot, which WAL) ◄───┘
//! ```
//!
//! Read in this order. [`key`] is the layout of the store, in one place. [`object`] talks to it.
//! [`chunk`] is the unit of data, [`pack`] the object that holds many, [`manifest`] the list of a snapshot;
//! [`snapshot`] makes one of a directory and [`restore`] a directory of one.
//! [`branch`] says what a branch is and finds, for any point of its history, the snapshot and the WAL
//! that make it ([`branch::line`], pure). [`gc`] deletes what nothing reaches any more, [`fsck`] proves that
//! what is reached is whole, [`usage`] tells what it takes.

pub mod key;
pub mod object;
pub mod chunk;
pub mod pack;
pub mod manifest;
pub mod snapshot;
pub mod restore;

pub mod branch;
pub mod hydrate;
pub mod wal;
pub mod gc;
pub mod fsck;
pub mod usage;

pub use object::{Store, StoreError};
