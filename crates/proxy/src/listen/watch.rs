//! A listening socket that an executor watches, and that is accepted from by hand.
//!
//! Tokio's own listeners give each client to the executor that watches, although another will serve it: two system
//! calls for nothing.

#![allow(
    unsafe_code,
    reason = "watching a descriptor that is not Tokio's own is a promise about who closes it"
)]

use std::io;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::bound::Listening;

/// Has the executor that runs this watch for clients.
///
/// # Errors
/// When the system cannot watch one more.
pub(super) fn watch(listening: Arc<Listening>) -> io::Result<AsyncFd<Arc<Listening>>> {
    // SAFETY: a `Listening` has one socket, which nobody can take out or replace, and the `Arc` keeps it open.
    Ok(unsafe { AsyncFd::register_with_interest(listening, Interest::READABLE) }?)
}
