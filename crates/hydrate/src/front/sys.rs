//! The kernel, without the C library: a system call gives its result or the negative errno, and touches
//! neither `errno` nor a thread's cancellation.

use core::ffi::{CStr, c_char, c_int};

/// System call numbers.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
pub(super) mod nr {
    pub(in super::super) const READ: usize = 0;          pub(in super::super) const WRITE: usize = 1;
    pub(in super::super) const CLOSE: usize = 3;         pub(in super::super) const LSEEK: usize = 8;
    pub(in super::super) const MMAP: usize = 9;          pub(in super::super) const PREAD: usize = 17;
    pub(in super::super) const PWRITE: usize = 18;       pub(in super::super) const READV: usize = 19;
    pub(in super::super) const WRITEV: usize = 20;       pub(in super::super) const DUP: usize = 32;
    pub(in super::super) const GETPID: usize = 39;       pub(in super::super) const SENDFILE: usize = 40;
    pub(in super::super) const SOCKET: usize = 41;       pub(in super::super) const CONNECT: usize = 42;
    pub(in super::super) const SENDTO: usize = 44;       pub(in super::super) const RECVFROM: usize = 45;
    pub(in super::super) const FCNTL: usize = 72;        pub(in super::super) const TRUNCATE: usize = 76;
    pub(in super::super) const FTRUNCATE: usize = 77;    pub(in super::super) const CLOCK_GETTIME: usize = 228;
    pub(in super::super) const EXIT_GROUP: usize = 231;  pub(in super::super) const OPENAT: usize = 257;
    pub(in super::super) const NEWFSTATAT: usize = 262;  pub(in super::super) const UNLINKAT: usize = 263;
    pub(in super::super) const LINKAT: usize = 265;      pub(in super::super) const FACCESSAT: usize = 269;
    pub(in super::super) const PPOLL: usize = 271;       pub(in super::super) const SPLICE: usize = 275;
    pub(in super::super) const FALLOCATE: usize = 285;   pub(in super::super) const DUP3: usize = 292;
    pub(in super::super) const PREADV: usize = 295;      pub(in super::super) const PWRITEV: usize = 296;
    pub(in super::super) const RENAMEAT2: usize = 316;   pub(in super::super) const COPY_FILE_RANGE: usize = 326;
    pub(in super::super) const PREADV2: usize = 327;     pub(in super::super) const PWRITEV2: usize = 328;
    pub(in super::super) const STATX: usize = 332;
}

/// System call numbers.
#[cfg(target_arch = "aarch64")]
#[rustfmt::skip]
pub(super) mod nr {
    pub(in super::super) const DUP: usize = 23;          pub(in super::super) const DUP3: usize = 24;
    pub(in super::super) const FCNTL: usize = 25;        pub(in super::super) const UNLINKAT: usize = 35;
    pub(in super::super) const LINKAT: usize = 37;       pub(in super::super) const TRUNCATE: usize = 45;
    pub(in super::super) const FTRUNCATE: usize = 46;    pub(in super::super) const FALLOCATE: usize = 47;
    pub(in super::super) const FACCESSAT: usize = 48;    pub(in super::super) const OPENAT: usize = 56;
    pub(in super::super) const CLOSE: usize = 57;        pub(in super::super) const LSEEK: usize = 62;
    pub(in super::super) const READ: usize = 63;         pub(in super::super) const WRITE: usize = 64;
    pub(in super::super) const READV: usize = 65;        pub(in super::super) const WRITEV: usize = 66;
    pub(in super::super) const PREAD: usize = 67;        pub(in super::super) const PWRITE: usize = 68;
    pub(in super::super) const PREADV: usize = 69;       pub(in super::super) const PWRITEV: usize = 70;
    pub(in super::super) const SENDFILE: usize = 71;     pub(in super::super) const PPOLL: usize = 73;
    pub(in super::super) const SPLICE: usize = 76;       pub(in super::super) const NEWFSTATAT: usize = 79;
    pub(in super::super) const EXIT_GROUP: usize = 94;   pub(in super::super) const CLOCK_GETTIME: usize = 113;
    pub(in super::super) const GETPID: usize = 172;      pub(in super::super) const SOCKET: usize = 198;
    pub(in super::super) const CONNECT: usize = 203;     pub(in super::super) const SENDTO: usize = 206;
    pub(in super::super) const RECVFROM: usize = 207;    pub(in super::super) const MMAP: usize = 222;
    pub(in super::super) const RENAMEAT2: usize = 276;   pub(in super::super) const COPY_FILE_RANGE: usize = 285;
    pub(in super::super) const PREADV2: usize = 286;     pub(in super::super) const PWRITEV2: usize = 287;
    pub(in super::super) const STATX: usize = 291;
}

pub(super) const EINTR: i32 = 4;
pub(super) const EIO: i32 = 5;
pub(super) const EAGAIN: i32 = 11;
pub(super) const EINVAL: i32 = 22;
pub(super) const ENOENT: i32 = 2;
pub(super) const ENOSYS: i32 = 38;
pub(super) const EOPNOTSUPP: i32 = 95;
pub(super) const AT_FDCWD: c_int = -100;
pub(super) const AT_SYMLINK_NOFOLLOW: c_int = 0x100;
pub(super) const AT_EMPTY_PATH: c_int = 0x1000;
pub(super) const O_RDWR: c_int = 2;
pub(super) const O_ACCMODE: c_int = 3;
pub(super) const O_TRUNC: c_int = 0o1000;
pub(super) const O_CLOEXEC: c_int = 0o200_0000;

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
    pub(super) fn dlsym(handle: *mut u8, name: *const c_char) -> *mut u8;
    pub(super) fn getenv(name: *const c_char) -> *const c_char;
    pub(super) fn unsetenv(name: *const c_char) -> c_int;
}

/// `dlsym`: what the program itself would find.
pub(super) const RTLD_DEFAULT: *mut u8 = core::ptr::null_mut();
/// `dlsym`: what comes after us.
pub(super) const RTLD_NEXT: *mut u8 = usize::MAX as *mut u8;

/// A system call.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) unsafe fn call(number: usize, a: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the kernel's calling convention; what the arguments point to is the caller's promise.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a[0], in("rsi") a[1], in("rdx") a[2], in("r10") a[3], in("r8") a[4], in("r9") a[5],
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// A system call.
#[cfg(target_arch = "aarch64")]
#[inline]
pub(super) unsafe fn call(number: usize, a: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the kernel's calling convention; what the arguments point to is the caller's promise.
    unsafe {
        core::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a[0] => result,
            in("x1") a[1], in("x2") a[2], in("x3") a[3], in("x4") a[4], in("x5") a[5],
            options(nostack),
        );
    }
    result
}

/// The C library's way to return: −1 and `errno`.
#[inline]
pub(super) fn give(result: isize) -> isize {
    if (-4095..0).contains(&result) {
        // SAFETY: the C library gives a valid pointer for the calling thread.
        unsafe { *__errno_location() = -result as c_int };
        return -1;
    }
    result
}

/// An error, the C library's way.
#[cold]
pub(super) fn fail(errno: i32) -> isize {
    give(-(errno as isize))
}

/// `errno` of this thread.
pub(super) fn errno() -> i32 {
    // SAFETY: as above.
    unsafe { *__errno_location() }
}

/// An identity of a file that holds for ever.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) born: i64,
    pub(super) born_nanos: u32,
}

/// What `statx` writes.
#[repr(C, align(8))]
struct Statx([u8; 256]);

/// Who a file is: by descriptor (empty path) or by path. `None` for what is not a regular file.
///
/// SAFETY: `path` is a C string.
pub(super) unsafe fn identify(fd: c_int, path: *const c_char, flags: c_int) -> Result<Option<Identity>, i32> {
    const TYPE_INO_BIRTH: usize = 0x1 | 0x100 | 0x800;
    let mut out = Statx([0; 256]);
    // SAFETY: `out` has the size that statx writes.
    let result = unsafe {
        let to = (&raw mut out) as usize;
        call(nr::STATX, [fd as usize, path as usize, flags as usize, TYPE_INO_BIRTH, to, 0])
    };
    if result < 0 {
        return Err(-result as i32);
    }
    let word = |at: usize| u32::from_ne_bytes([out.0[at], out.0[at + 1], out.0[at + 2], out.0[at + 3]]);
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    if word(28) & 0xf000 != 0x8000 {
        return Ok(None);
    }
    let dev = u64::from(word(136)) << 32 | u64::from(word(140));
    let has_birth = word(0) & 0x800 != 0;
    let (born, born_nanos) = if has_birth { (long(80) as i64, word(88)) } else { (0, 0) };
    Ok(Some(Identity { dev, ino: long(32), born, born_nanos }))
}

/// Who the file behind a descriptor is.
pub(super) fn identify_fd(fd: c_int) -> Result<Option<Identity>, i32> {
    // SAFETY: the path is a constant.
    unsafe { identify(fd, c"".as_ptr(), AT_EMPTY_PATH) }
}

/// The monotonic clock, milliseconds.
pub(super) fn millis() -> i64 {
    let mut time = [0i64; 2];
    // SAFETY: `time` is as large as a timespec.
    unsafe { call(nr::CLOCK_GETTIME, [1, (&raw mut time) as usize, 0, 0, 0, 0]) };
    time[0] * 1000 + time[1] / 1_000_000
}

/// Sleeps, or less when a signal comes.
pub(super) fn nap(millis: i64) {
    let time = [millis / 1000, millis % 1000 * 1_000_000];
    // SAFETY: ppoll of no descriptors reads the timespec only.
    unsafe { call(nr::PPOLL, [0, 0, (&raw const time) as usize, 0, 8, 0]) };
}

/// Closes a descriptor of our own.
pub(super) fn close(fd: c_int) {
    // SAFETY: touches no memory.
    unsafe { call(nr::CLOSE, [fd as usize, 0, 0, 0, 0, 0]) };
}

/// Says why PostgreSQL will not start, in its log.
pub(super) fn say(text: &CStr) {
    let bytes = text.to_bytes();
    // SAFETY: the text is valid for its length.
    unsafe { call(nr::WRITE, [2, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0]) };
}
