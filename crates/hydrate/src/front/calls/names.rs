//! Names: what a path leads to, and taking or giving one.

use core::ffi::{c_char, c_int};

use super::super::sys::{self, nr};
use super::super::{control, guard};

unsafe fn status(path: *const c_char, to: *mut u8, flags: c_int) -> c_int {
    let result = control::resolve(path, |path| {
        let dir = sys::AT_FDCWD as usize;
        // SAFETY: a C string and room for the result, says the caller.
        unsafe { sys::call(nr::NEWFSTATAT, [dir, path as usize, to as usize, flags as usize, 0, 0]) }
    });
    sys::give(result) as c_int
}

export!(stat, stat64 => (path: *const c_char, to: *mut u8) -> c_int {
    status(path, to, 0)
});

export!(lstat, lstat64 => (path: *const c_char, to: *mut u8) -> c_int {
    status(path, to, sys::AT_SYMLINK_NOFOLLOW)
});

// Programs built for a C library before 2.33.
export!(__xstat, __xstat64 => (_version: c_int, path: *const c_char, to: *mut u8) -> c_int {
    status(path, to, 0)
});

export!(__lxstat, __lxstat64 => (_version: c_int, path: *const c_char, to: *mut u8) -> c_int {
    status(path, to, sys::AT_SYMLINK_NOFOLLOW)
});

export!(access => (path: *const c_char, mode: c_int) -> c_int {
    let result = control::resolve(path, |path| {
        sys::call(nr::FACCESSAT, [sys::AT_FDCWD as usize, path as usize, mode as usize, 0, 0, 0])
    });
    sys::give(result) as c_int
});

unsafe fn remove(dir: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: a C string, says the caller.
    let (victim, result) = unsafe {
        let victim = guard::at_path(dir, path, sys::AT_SYMLINK_NOFOLLOW);
        (victim, sys::call(nr::UNLINKAT, [dir as usize, path as usize, flags as usize, 0, 0, 0]))
    };
    // Afterwards, because it may fail. Until the filler hears it, it writes into a file that has no name.
    if let (Some(tracked), 0) = (victim, result) {
        guard::unlinked(tracked);
    }
    sys::give(result) as c_int
}

export!(unlink => (path: *const c_char) -> c_int {
    remove(sys::AT_FDCWD, path, 0)
});

export!(unlinkat => (dir: c_int, path: *const c_char, flags: c_int) -> c_int {
    remove(dir, path, flags)
});

/// The filler finds files by the path they were planned with, so a file is filled before it gets another.
unsafe fn settle(dir: c_int, path: *const c_char) -> Result<(), i32> {
    // SAFETY: a C string, says the caller.
    match unsafe { guard::at_path(dir, path, sys::AT_SYMLINK_NOFOLLOW) } {
        Some(tracked) => guard::whole(tracked),
        None => Ok(()),
    }
}

unsafe fn moved(from: c_int, old: *const c_char, to: c_int, new: *const c_char, flags: u32) -> c_int {
    // SAFETY: C strings, says the caller.
    unsafe {
        pass!(settle(from, old));
        let victim = guard::at_path(to, new, sys::AT_SYMLINK_NOFOLLOW);
        if flags != 0 {
            // An exchange gives both another name.
            pass!(settle(to, new));
        }
        let arguments = [from as usize, old as usize, to as usize, new as usize, flags as usize, 0];
        let result = sys::call(nr::RENAMEAT2, arguments);
        if let (Some(tracked), 0) = (victim, result) {
            guard::unlinked(tracked);
        }
        sys::give(result) as c_int
    }
}

export!(rename => (old: *const c_char, new: *const c_char) -> c_int {
    moved(sys::AT_FDCWD, old, sys::AT_FDCWD, new, 0)
});

export!(renameat => (from: c_int, old: *const c_char, to: c_int, new: *const c_char) -> c_int {
    moved(from, old, to, new, 0)
});

export!(renameat2 => (from: c_int, old: *const c_char, to: c_int, new: *const c_char, flags: u32) -> c_int {
    moved(from, old, to, new, flags)
});

export!(linkat => (from: c_int, old: *const c_char, to: c_int, new: *const c_char, flags: c_int) -> c_int {
    pass!(settle(from, old));
    let arguments = [from as usize, old as usize, to as usize, new as usize, flags as usize, 0];
    sys::give(sys::call(nr::LINKAT, arguments)) as c_int
});

export!(link => (old: *const c_char, new: *const c_char) -> c_int {
    linkat(sys::AT_FDCWD, old, sys::AT_FDCWD, new, 0)
});
