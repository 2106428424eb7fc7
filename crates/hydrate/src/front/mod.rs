//! The front: what PostgreSQL calls instead of the C library, for files only.
//!
//! Order of reading: [`start`] (the constructor: map the presence file, read the canary), [`calls`] (the
//! functions that PostgreSQL calls), [`guard`] (is this range present?), [`table`] (which descriptor is which
//! file), [`ask`] (the conversation with the filler), [`control`] (the hidden control file), [`sys`] (the kernel).
//!
//! Rules of the house: no allocation, no lock that is waited for, nothing that may not be done in a signal
//! handler or between fork and exec. In doubt the call fails: a hole must never be read as zeros.

#![allow(unsafe_code, reason = "functions of the C library, called by C, on top of system calls")]

mod ask;
mod calls;
mod control;
mod guard;
mod start;
mod sys;
mod table;

use core::sync::atomic::{AtomicU32, Ordering};

/// What the front is doing in this process.
static STATE: AtomicU32 = AtomicU32::new(INERT);

/// Not asked for (or not yet): every call goes to the kernel.
const INERT: u32 = 0;
/// At work.
const ACTIVE: u32 = 1;
/// Asked for, but it cannot work. The control file stays hidden, so PostgreSQL cannot start.
const FAILED: u32 = 2;

fn active() -> bool {
    STATE.load(Ordering::Acquire) == ACTIVE
}

/// Ends the process: the last resort of a panic, which no code here has.
pub(crate) fn die() -> ! {
    loop {
        // SAFETY: ends the process, touches no memory.
        unsafe {
            sys::call(sys::nr::EXIT_GROUP, [127, 0, 0, 0, 0, 0]);
        }
    }
}
