//! Cutting a file.

use core::ffi::{c_char, c_int};

use super::super::guard;
use super::super::sys::{self, nr};

export!(ftruncate, ftruncate64 => (fd: c_int, len: i64) -> c_int {
    match guard::verified(fd) {
        Err(errno) => return sys::fail(errno) as c_int,
        Ok(Some(tracked)) => {
            pass!(guard::truncate(fd, tracked, len));
            return 0;
        }
        Ok(None) => {}
    }
    sys::give(sys::call(nr::FTRUNCATE, [fd as usize, len as usize, 0, 0, 0, 0])) as c_int
});

export!(truncate, truncate64 => (path: *const c_char, len: i64) -> c_int {
    let Some(tracked) = guard::at_path(sys::AT_FDCWD, path, 0) else {
        return sys::give(sys::call(nr::TRUNCATE, [path as usize, len as usize, 0, 0, 0, 0])) as c_int;
    };
    let flags = (sys::O_RDWR | sys::O_CLOEXEC) as usize;
    let fd = sys::call(nr::OPENAT, [sys::AT_FDCWD as usize, path as usize, flags, 0, 0, 0]);
    if fd < 0 {
        return sys::give(fd) as c_int;
    }
    let fd = fd as c_int;
    let result = match sys::identify_fd(fd) {
        Ok(Some(identity)) if tracked.is(&identity) => guard::truncate(fd, tracked, len),
        // Renamed between the two looks.
        _ => Err(sys::EIO),
    };
    sys::close(fd);
    pass!(result);
    0
});
