//! The kernel copies from file to file, and changes where a file has space.

use core::ffi::c_int;

use super::super::guard;
use super::super::sys::{self, nr};

/// Guards a range whose offset is given by pointer, or is the descriptor's position.
unsafe fn at(fd: c_int, offset: *const i64, len: usize, writes: bool) -> Result<(), i32> {
    // SAFETY: null or a valid offset, says the caller.
    match unsafe { offset.as_ref() } {
        Some(offset) => guard::range(fd, *offset, len),
        None => guard::position(fd, len, writes),
    }
}

export!(copy_file_range =>
    (from: c_int, from_at: *mut i64, to: c_int, to_at: *mut i64, len: usize, flags: u32) -> isize {
    pass!(at(from, from_at, len, false));
    pass!(at(to, to_at, len, true));
    let flags = flags as usize;
    sys::give(sys::call(
        nr::COPY_FILE_RANGE,
        [from as usize, from_at as usize, to as usize, to_at as usize, len, flags],
    ))
});

export!(sendfile, sendfile64 => (to: c_int, from: c_int, from_at: *mut i64, len: usize) -> isize {
    pass!(at(from, from_at, len, false));
    pass!(guard::position(to, len, true));
    sys::give(sys::call(nr::SENDFILE, [to as usize, from as usize, from_at as usize, len, 0, 0]))
});

export!(splice =>
    (from: c_int, from_at: *mut i64, to: c_int, to_at: *mut i64, len: usize, flags: u32) -> isize {
    pass!(at(from, from_at, len, false));
    pass!(at(to, to_at, len, true));
    let flags = flags as usize;
    sys::give(sys::call(nr::SPLICE, [from as usize, from_at as usize, to as usize, to_at as usize, len, flags]))
});

/// Space for a range. Modes that make or move holes (anything but "keep the size") are refused while the file
/// has holes of ours: the two kinds could not be told apart after a crash.
unsafe fn allocate(fd: c_int, mode: c_int, offset: i64, len: i64) -> isize {
    const KEEP_SIZE: c_int = 1;
    match guard::verified(fd) {
        Err(errno) => return -(errno as isize),
        Ok(Some(_)) if mode & !KEEP_SIZE != 0 => return -(sys::EOPNOTSUPP as isize),
        Ok(_) => {}
    }
    if let Err(errno) = guard::range(fd, offset, usize::try_from(len).unwrap_or(0)) {
        return -(errno as isize);
    }
    // SAFETY: touches no memory.
    unsafe { sys::call(nr::FALLOCATE, [fd as usize, mode as usize, offset as usize, len as usize, 0, 0]) }
}

export!(fallocate, fallocate64 => (fd: c_int, mode: c_int, offset: i64, len: i64) -> c_int {
    sys::give(allocate(fd, mode, offset, len)) as c_int
});

// Gives the error instead of setting it.
export!(posix_fallocate, posix_fallocate64 => (fd: c_int, offset: i64, len: i64) -> c_int {
    -allocate(fd, 0, offset, len) as c_int
});
