//! Reading, writing, mapping.

use core::ffi::{c_char, c_int};

use super::super::guard;
use super::super::sys::{self, nr};

/// One piece of a scattered read or write.
#[repr(C)]
pub(super) struct Iovec {
    base: *mut u8,
    len: usize,
}

/// The kernel takes no more pieces, so nor do we.
const MAX_PIECES: c_int = 1024;

unsafe fn total(pieces: *const Iovec, count: c_int) -> usize {
    if pieces.is_null() || !(0..=MAX_PIECES).contains(&count) {
        return 0;
    }
    // SAFETY: the caller of readv and the like promises `count` pieces.
    let pieces = unsafe { core::slice::from_raw_parts(pieces, count as usize) };
    pieces.iter().fold(0, |sum, piece| sum.saturating_add(piece.len))
}

export!(read => (fd: c_int, to: *mut u8, len: usize) -> isize {
    pass!(guard::position(fd, len, false));
    sys::give(sys::call(nr::READ, [fd as usize, to as usize, len, 0, 0, 0]))
});

export!(__read_chk => (fd: c_int, to: *mut u8, len: usize, _room: usize) -> isize {
    read(fd, to, len)
});

export!(pread, pread64 => (fd: c_int, to: *mut u8, len: usize, offset: i64) -> isize {
    pass!(guard::range(fd, offset, len));
    sys::give(sys::call(nr::PREAD, [fd as usize, to as usize, len, offset as usize, 0, 0]))
});

export!(__pread_chk, __pread64_chk => (fd: c_int, to: *mut u8, len: usize, offset: i64, _room: usize) -> isize {
    pread(fd, to, len, offset)
});

export!(readv => (fd: c_int, pieces: *const Iovec, count: c_int) -> isize {
    pass!(guard::position(fd, total(pieces, count), false));
    sys::give(sys::call(nr::READV, [fd as usize, pieces as usize, count as usize, 0, 0, 0]))
});

export!(preadv, preadv64 => (fd: c_int, pieces: *const Iovec, count: c_int, offset: i64) -> isize {
    pass!(guard::range(fd, offset, total(pieces, count)));
    sys::give(sys::call(nr::PREADV, [fd as usize, pieces as usize, count as usize, offset as usize, 0, 0]))
});

export!(preadv2, preadv64v2 =>
    (fd: c_int, pieces: *const Iovec, count: c_int, offset: i64, flags: c_int) -> isize {
    let len = total(pieces, count);
    pass!(if offset == -1 { guard::position(fd, len, false) } else { guard::range(fd, offset, len) });
    let flags = flags as usize;
    sys::give(sys::call(nr::PREADV2, [fd as usize, pieces as usize, count as usize, offset as usize, 0, flags]))
});

export!(write => (fd: c_int, from: *const u8, len: usize) -> isize {
    pass!(guard::position(fd, len, true));
    sys::give(sys::call(nr::WRITE, [fd as usize, from as usize, len, 0, 0, 0]))
});

export!(pwrite, pwrite64 => (fd: c_int, from: *const u8, len: usize, offset: i64) -> isize {
    pass!(guard::range(fd, offset, len));
    sys::give(sys::call(nr::PWRITE, [fd as usize, from as usize, len, offset as usize, 0, 0]))
});

export!(writev => (fd: c_int, pieces: *const Iovec, count: c_int) -> isize {
    pass!(guard::position(fd, total(pieces, count), true));
    sys::give(sys::call(nr::WRITEV, [fd as usize, pieces as usize, count as usize, 0, 0, 0]))
});

export!(pwritev, pwritev64 => (fd: c_int, pieces: *const Iovec, count: c_int, offset: i64) -> isize {
    pass!(guard::range(fd, offset, total(pieces, count)));
    sys::give(sys::call(nr::PWRITEV, [fd as usize, pieces as usize, count as usize, offset as usize, 0, 0]))
});

export!(pwritev2, pwritev64v2 =>
    (fd: c_int, pieces: *const Iovec, count: c_int, offset: i64, flags: c_int) -> isize {
    const APPEND: c_int = 0x10;
    let len = total(pieces, count);
    pass!(if offset == -1 || flags & APPEND != 0 {
        guard::position(fd, len, true)
    } else {
        guard::range(fd, offset, len)
    });
    let flags = flags as usize;
    sys::give(sys::call(nr::PWRITEV2, [fd as usize, pieces as usize, count as usize, offset as usize, 0, flags]))
});

export!(mmap, mmap64 =>
    (at: *mut u8, len: usize, protection: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut u8 {
    const ANONYMOUS: c_int = 0x20;
    if fd >= 0 && flags & ANONYMOUS == 0 {
        pass!(guard::range(fd, offset, len));
    }
    let (protection, flags) = (protection as usize, flags as usize);
    sys::give(sys::call(nr::MMAP, [at as usize, len, protection, flags, fd as usize, offset as usize])) as *mut u8
});

/// A ring would reach files without us. PostgreSQL then says that it is not supported.
///
/// SAFETY: none needed; it has the form of its neighbours.
unsafe fn no_ring() -> c_int {
    -sys::ENOSYS
}

export!(io_uring_queue_init => (_entries: u32, _ring: *mut u8, _flags: u32) -> c_int {
    no_ring()
});

export!(io_uring_queue_init_params => (_entries: u32, _ring: *mut u8, _params: *mut c_char) -> c_int {
    no_ring()
});

export!(io_uring_queue_init_mem =>
    (_entries: u32, _ring: *mut u8, _params: *mut c_char, _buffer: *mut u8, _len: usize) -> c_int {
    no_ring()
});
