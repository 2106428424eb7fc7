//! Opening, closing and copying descriptors.

use core::ffi::{c_char, c_int};

use super::super::sys::{self, nr};
use super::super::{active, control, guard, table};

unsafe extern "C" {
    fn fork() -> c_int;
}

/// Opens, learns who the file is, and cuts it the careful way if asked to.
pub(super) unsafe fn open_at(dir: c_int, path: *const c_char, flags: c_int, mode: u32) -> isize {
    let watched = active();
    let cuts = watched && flags & sys::O_TRUNC != 0;
    let asked = if cuts { flags & !sys::O_TRUNC } else { flags };
    let fd = control::resolve(path, |path| {
        // SAFETY: a C string, says the caller.
        unsafe { sys::call(nr::OPENAT, [dir as usize, path as usize, asked as usize, mode as usize, 0, 0]) }
    });
    if fd < 0 || !watched {
        return fd;
    }
    let fd = fd as c_int;
    let result = match table::learn(fd) {
        // Who cannot be known cannot be trusted.
        Err(_) => Err(sys::EIO),
        Ok(_) if !cuts => Ok(()),
        Ok(Some(_)) if flags & sys::O_ACCMODE == 0 => Err(sys::EINVAL),
        Ok(Some(tracked)) => guard::truncate(fd, tracked, 0),
        Ok(None) => {
            // SAFETY: touches no memory.
            match unsafe { sys::call(nr::FTRUNCATE, [fd as usize, 0, 0, 0, 0, 0]) } {
                // A pipe or a device, for which the flag means nothing.
                errno if errno == -(sys::EINVAL as isize) || errno >= 0 => Ok(()),
                errno => Err(-errno as i32),
            }
        }
    };
    match result {
        Ok(()) => fd as isize,
        Err(errno) => {
            table::remember(fd, 0);
            sys::close(fd);
            -(errno as isize)
        }
    }
}

export!(open, open64 => (path: *const c_char, flags: c_int, mode: u32) -> c_int {
    sys::give(open_at(sys::AT_FDCWD, path, flags, mode)) as c_int
});

export!(openat, openat64 => (dir: c_int, path: *const c_char, flags: c_int, mode: u32) -> c_int {
    sys::give(open_at(dir, path, flags, mode)) as c_int
});

export!(__open_2, __open64_2 => (path: *const c_char, flags: c_int) -> c_int {
    sys::give(open_at(sys::AT_FDCWD, path, flags, 0)) as c_int
});

export!(__openat_2, __openat64_2 => (dir: c_int, path: *const c_char, flags: c_int) -> c_int {
    sys::give(open_at(dir, path, flags, 0)) as c_int
});

export!(creat, creat64 => (path: *const c_char, mode: u32) -> c_int {
    const CREATE_WRITE: c_int = 0o100 | 1;
    sys::give(open_at(sys::AT_FDCWD, path, CREATE_WRITE | sys::O_TRUNC, mode)) as c_int
});

export!(close => (fd: c_int) -> c_int {
    // Before the call: afterwards the number may already be somebody else's.
    table::remember(fd, 0);
    sys::give(sys::call(nr::CLOSE, [fd as usize, 0, 0, 0, 0, 0])) as c_int
});

unsafe fn copied(from: c_int, result: isize) -> c_int {
    if result >= 0 {
        table::copy(from, result as c_int);
    }
    sys::give(result) as c_int
}

export!(dup => (fd: c_int) -> c_int {
    copied(fd, sys::call(nr::DUP, [fd as usize, 0, 0, 0, 0, 0]))
});

export!(dup2 => (from: c_int, to: c_int) -> c_int {
    const F_GETFD: usize = 1;
    if from == to {
        let valid = sys::call(nr::FCNTL, [from as usize, F_GETFD, 0, 0, 0, 0]);
        return if valid < 0 { sys::give(valid) as c_int } else { to };
    }
    copied(from, sys::call(nr::DUP3, [from as usize, to as usize, 0, 0, 0, 0]))
});

export!(dup3 => (from: c_int, to: c_int, flags: c_int) -> c_int {
    copied(from, sys::call(nr::DUP3, [from as usize, to as usize, flags as usize, 0, 0, 0]))
});

export!(fcntl, fcntl64 => (fd: c_int, command: c_int, argument: usize) -> c_int {
    const COPIES: [c_int; 2] = [0, 1030];
    let result = sys::call(nr::FCNTL, [fd as usize, command as usize, argument, 0, 0, 0]);
    if COPIES.contains(&command) { copied(fd, result) } else { sys::give(result) as c_int }
});

// A child of `vfork` shares our memory but not our descriptors: what it opens and copies would be noted for ours.
export!(vfork => () -> c_int {
    fork()
});
