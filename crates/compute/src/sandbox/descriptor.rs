//! Waiting on a plain file descriptor (pidfd, inotify) in the executor.

#![allow(
    unsafe_code,
    reason = "tokio asks its caller to promise that the descriptor stays the same; an OwnedFd does"
)]

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor for reading.
///
/// # Errors
/// When the descriptor cannot be polled.
pub fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd always returns the same descriptor, which stays open while it is owned, and
    // nobody outside takes it out of the AsyncFd.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}
