//! Is this range present? If not: have it filled, and only then let the call through.

use core::ffi::{c_char, c_int};

use super::table::{self, Tracked};
use super::{ask, sys};
use crate::layout::{FILL, TRUNCATE, TRUNCATED, UNLINKED};

/// Makes the range present. Ready in a few nanoseconds when it is.
#[inline]
pub(super) fn range(fd: c_int, offset: i64, len: usize) -> Result<(), i32> {
    match table::tracked(fd)? {
        Some(tracked) => tracked_range(fd, tracked, offset, len as u64),
        None => Ok(()),
    }
}

/// The same for calls that work at the descriptor's own position. With `appends` the end of the file counts too.
#[inline]
pub(super) fn position(fd: c_int, len: usize, appends: bool) -> Result<(), i32> {
    match table::tracked(fd)? {
        Some(tracked) => at_position(fd, tracked, len as u64, appends),
        None => Ok(()),
    }
}

fn at_position(fd: c_int, tracked: Tracked, len: u64, appends: bool) -> Result<(), i32> {
    const SEEK_CUR: usize = 1;
    // SAFETY: touches no memory.
    let at = unsafe { sys::call(sys::nr::LSEEK, [fd as usize, 0, SEEK_CUR, 0, 0, 0]) };
    if at >= 0 {
        tracked_range(fd, tracked, at as i64, len)?;
    }
    if appends && len > 0 {
        // The descriptor may be in append mode, then the write goes to the last chunk.
        tracked_range(fd, tracked, tracked.entry.size.saturating_sub(1) as i64, 1)?;
    }
    Ok(())
}

#[inline]
fn tracked_range(fd: c_int, tracked: Tracked, offset: i64, len: u64) -> Result<(), i32> {
    let Ok(offset) = u64::try_from(offset) else { return Ok(()) };
    let Some((first, last)) = tracked.chunks(offset, len) else { return Ok(()) };
    if tracked.present(first, last) {
        return Ok(());
    }
    fill(fd, tracked, first, last)
}

/// As [`table::tracked`], but looked at again: a number may have been closed and used again behind our back
/// (`fclose` does not tell).
pub(super) fn verified(fd: c_int) -> Result<Option<Tracked>, i32> {
    let Some(tracked) = table::tracked(fd)? else { return Ok(None) };
    match sys::identify_fd(fd)? {
        Some(identity) if tracked.is(&identity) => Ok(Some(tracked)),
        _ => table::learn(fd),
    }
}

#[cold]
fn fill(fd: c_int, tracked: Tracked, first: u64, last: u64) -> Result<(), i32> {
    match verified(fd)? {
        None => return Ok(()),
        Some(now) if now.index != tracked.index => return whole(now),
        Some(_) => {}
    }
    ask::ask(FILL, tracked.index, first, last)?;
    if tracked.present(first, last) { Ok(()) } else { Err(sys::EIO) }
}

/// Makes a whole file present.
pub(super) fn whole(tracked: Tracked) -> Result<(), i32> {
    let Some(last) = u64::from(tracked.entry.chunks).checked_sub(1) else { return Ok(()) };
    if tracked.complete() || tracked.present(0, last) {
        return Ok(());
    }
    ask::ask(FILL, tracked.index, 0, last)?;
    if tracked.present(0, last) { Ok(()) } else { Err(sys::EIO) }
}

/// The file with holes that a path leads to.
///
/// SAFETY: `path` is a C string.
pub(super) unsafe fn at_path(dir: c_int, path: *const c_char, flags: c_int) -> Option<Tracked> {
    if !super::active() {
        return None;
    }
    // SAFETY: passed on.
    let identity = unsafe { sys::identify(dir, path, flags) };
    table::find(&identity.ok()??).filter(|tracked| !tracked.complete())
}

/// Cuts a file: the filler makes the new end durable first and holds its fills back meanwhile.
pub(super) fn truncate(fd: c_int, tracked: Tracked, len: i64) -> Result<(), i32> {
    let Ok(wanted) = u64::try_from(len) else { return Err(sys::EINVAL) };
    let mut connection = ask::Own::new();
    connection.ask(TRUNCATE, tracked.index, wanted)?;
    // SAFETY: touches no memory.
    let result = unsafe { sys::call(sys::nr::FTRUNCATE, [fd as usize, len as usize, 0, 0, 0, 0]) };
    let errno = if result < 0 { -result } else { 0 };
    // A filler that dies now finds out by the file's size.
    let _told = connection.ask(TRUNCATED, tracked.index, errno as u64);
    if errno == 0 { Ok(()) } else { Err(errno as i32) }
}

/// Tells that a file was unlinked. Only a hint, so nobody waits long.
pub(super) fn unlinked(tracked: Tracked) {
    ask::hint(UNLINKED, tracked.index);
}
