//! How much of a file the machine has in memory: `cachestat`, since Linux 6.5. It neither reads nor maps anything.

#![allow(unsafe_code, reason = "one system call that no safe crate offers")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Its number, the same on all machines but old ones; libc does not name it everywhere.
const CACHESTAT: libc::c_long = 451;

/// Pages are counted, of this many bytes on every machine that we build for but a few with larger ones.
const PAGE: u64 = 4096;

/// What the kernel wants to know.
#[repr(C)]
struct Range {
    off: u64,
    len: u64,
}

/// What it tells.
#[repr(C)]
#[derive(Default)]
struct Counts {
    cache: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Bytes of a part of a file that are in memory, in whole pages.
///
/// # Errors
/// When the kernel does not know this question.
pub(super) fn bytes(file: &File, offset: u64, length: u64) -> io::Result<u64> {
    let range = Range { off: offset, len: length };
    let mut counts = Counts::default();
    // SAFETY: the descriptor is open as long as `file` lives; both structs are of the layout that the kernel
    // documents, live until the call returns, and only `counts` is written to.
    let result = unsafe {
        libc::syscall(
            CACHESTAT,
            file.as_raw_fd(),
            std::ptr::from_ref(&range),
            std::ptr::from_mut(&mut counts),
            0_u32,
        )
    };
    if result == 0 { Ok(counts.cache * PAGE) } else { Err(io::Error::last_os_error()) }
}
