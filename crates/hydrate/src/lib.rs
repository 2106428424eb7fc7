//! What stands between PostgreSQL and a file with holes.
//!
//! ```text
//!   PostgreSQL ──open, pread, pwrite, ftruncate…──► front (LD_PRELOAD) ──► kernel
//!                                                    │ reads the presence file; a chunk is absent:
//!                                                    └──socket──► filler (`storage::hydrate`): fetch, write, set bit
//! ```
//!
//! [`layout`] is what both sides share: the presence file, the messages, the names. [`FRONT`] is the front,
//! compiled by `build.rs` and carried as bytes, so that the server is still one file. `front` is its source;
//! here it is only checked by the compiler and the linter, never called and never exported.
//!
//! The next function of the C library that PostgreSQL learns to use goes to `front/calls` *and* to
//! [`layout::WRAPPED`].

pub mod layout;
#[allow(dead_code, reason = "it is called by PostgreSQL, in the shared object")]
mod front;

/// The front: an ELF shared object for `LD_PRELOAD`.
pub static FRONT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/front.so"));
