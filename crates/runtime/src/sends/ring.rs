//! Several sends by one system call.

#![allow(unsafe_code, reason = "the kernel reads memory that a submission points to")]

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::{IoUring, opcode, types};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{SendFlags, Shutdown, send, shutdown};

/// A socket, and which of the bytes it gets.
pub(super) type Outgoing<'a> = (BorrowedFd<'a>, Range<usize>);

/// What a thread submits by.
pub(super) struct Ring {
    /// None when it has failed once: then each send is a call.
    uring: Option<IoUring>,
}

impl Ring {
    /// One for so many sends at once, for this thread.
    ///
    /// # Errors
    /// When the kernel has no io_uring (6.1 or newer is needed), or forbids it.
    pub(super) fn new(most: usize) -> io::Result<Self> {
        let entries = u32::try_from(most.next_power_of_two()).map_err(io::Error::other)?;
        // Completions are looked for by this thread alone, and never interrupt it.
        let uring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(entries)?;
        Ok(Self { uring: Some(uring) })
    }

    /// Sends each of `all`, no more than it was made for, without waiting. Returns how much of each was taken; what
    /// failed has taken nothing.
    pub(super) fn send(&mut self, bytes: &mut Vec<u8>, all: &[Outgoing<'_>]) -> Vec<usize> {
        let mut taken = vec![None; all.len()];
        if all.len() > 1
            && let Some(uring) = &mut self.uring
            && let Err(error) = together(uring, bytes, all, &mut taken)
        {
            give_up(uring, bytes, all, &mut taken);
            self.uring = None;
            tracing::warn!(%error, "io_uring failed; from now on every send is a call");
        }
        let alone = |(taken, outgoing): (Option<usize>, &Outgoing<'_>)| {
            taken.unwrap_or_else(|| send_alone(outgoing.0, &bytes[outgoing.1.clone()]))
        };
        taken.into_iter().zip(all).map(alone).collect()
    }
}

/// What is said of one that the kernel did not get rid of.
fn send_alone(socket: BorrowedFd<'_>, bytes: &[u8]) -> usize {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    retry_on_intr(|| send(socket, bytes, flags)).unwrap_or_default()
}

/// Fills in `taken`. There is room for all of them, as nothing waits in the ring between two calls.
fn together(
    uring: &mut IoUring,
    bytes: &[u8],
    all: &[Outgoing<'_>],
    taken: &mut [Option<usize>],
) -> io::Result<()> {
    debug_assert!(all.len() <= uring.params().sq_entries() as usize, "one for each message");
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let flags = i32::from_ne_bytes(flags.bits().to_ne_bytes());
    for (index, (socket, range)) in all.iter().enumerate() {
        let bytes = &bytes[range.clone()];
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let entry = opcode::Send::new(types::Fd(socket.as_raw_fd()), bytes.as_ptr(), length)
            .flags(flags)
            .build()
            .user_data(index as u64);
        // SAFETY: the socket is borrowed and the bytes are not touched until this function has seen its completion, or
        // `give_up` has seen to it that they stay.
        unsafe { uring.submission().push(&entry) }.map_err(io::Error::other)?;
    }
    let mut missing = all.len();
    while missing > 0 {
        // The first call does them all: none may wait. Whatever is missing then is waited for.
        let want = usize::from(uring.submission().is_empty());
        match uring.submit_and_wait(want) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(0) if want == 0 => return Err(Errno::AGAIN.into()),
            Ok(_) => {}
        }
        missing -= reap(uring, taken);
    }
    Ok(())
}

/// Takes note of what is over.
fn reap(uring: &mut IoUring, taken: &mut [Option<usize>]) -> usize {
    let mut count = 0;
    for done in uring.completion() {
        let index = usize::try_from(done.user_data()).unwrap_or(usize::MAX);
        if let Some(taken) = taken.get_mut(index) {
            *taken = Some(usize::try_from(done.result()).unwrap_or_default());
            count += 1;
        }
    }
    count
}

/// The ring cannot be used any more. What it has not begun is left to the caller; what it has begun and not told, never
/// seen to happen, cannot be said again: that connection ends, and the bytes stay where the kernel was told they are.
fn give_up(uring: &mut IoUring, bytes: &mut Vec<u8>, all: &[Outgoing<'_>], taken: &mut [Option<usize>]) {
    reap(uring, taken);
    let begun = all.len().saturating_sub(uring.submission().len());
    let mut untold = false;
    for ((socket, range), taken) in all.iter().zip(taken).take(begun).filter(|(_, taken)| taken.is_none()) {
        let _broken_for_both = shutdown(socket, Shutdown::Both);
        *taken = Some(range.len());
        untold = true;
    }
    if untold {
        let copy = bytes.clone();
        std::mem::forget(std::mem::replace(bytes, copy));
    }
}
