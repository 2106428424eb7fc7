//! The hidden control file: while the directory has holes, `global/pg_control` is in another place, which only
//! an active front finds. Without the front PostgreSQL sees no database here.

use core::ffi::{CStr, c_char};

use super::sys;
use crate::layout::{CONTROL, HIDDEN_CONTROL};

/// Longest path that is looked at.
const MAX_PATH: usize = 4096;

/// Calls `attempt` with the path, and with the hidden name when the path is the control file's and is not there.
/// The filler may give it its real name at any moment, so the real one is tried again after the hidden one.
#[inline]
pub(super) fn resolve(path: *const c_char, attempt: impl Fn(*const c_char) -> isize) -> isize {
    let result = attempt(path);
    if result != -(sys::ENOENT as isize) || path.is_null() || !super::active() {
        return result;
    }
    hidden(path, result, attempt)
}

#[cold]
fn hidden(path: *const c_char, result: isize, attempt: impl Fn(*const c_char) -> isize) -> isize {
    // SAFETY: the kernel has just read it as a C string.
    let bytes = unsafe { CStr::from_ptr(path) }.to_bytes();
    let mut other = [0u8; MAX_PATH];
    let Some(before) = before_control(bytes) else { return result };
    let len = before.len() + HIDDEN_CONTROL.len();
    if len >= MAX_PATH {
        return result;
    }
    other[..before.len()].copy_from_slice(before);
    other[before.len()..len].copy_from_slice(HIDDEN_CONTROL.as_bytes());
    let found = attempt(other.as_ptr().cast());
    if found == -(sys::ENOENT as isize) { attempt(path) } else { found }
}

/// The data directory as the path names it, with its slash, when the path is a control file's.
fn before_control(path: &[u8]) -> Option<&[u8]> {
    let before = path.strip_suffix(CONTROL.as_bytes())?;
    (before.is_empty() || before.ends_with(b"/")).then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_control_file_has_another_name() {
        for yes in ["global/pg_control", "/data/global/pg_control", "./global/pg_control"] {
            assert!(before_control(yes.as_bytes()).is_some(), "{yes}");
        }
        for no in ["pg_control", "xglobal/pg_control", "global/pg_control.hydrating", "global/pg_controller"]
        {
            assert!(before_control(no.as_bytes()).is_none(), "{no}");
        }
    }
}
