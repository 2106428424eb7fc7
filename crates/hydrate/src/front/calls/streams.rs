//! Streams of the C library. They read inside the library where we cannot see it, so a file that becomes one is
//! filled whole. PostgreSQL opens only small files this way, and the control file.

use core::ffi::{c_char, c_int};
use core::sync::atomic::{AtomicPtr, Ordering};

use super::super::sys;
use super::super::{active, control, guard, table};
use super::descriptors::open_at;

/// A C library's stream.
type Stream = *mut u8;

unsafe extern "C" {
    fn fileno(stream: Stream) -> c_int;
    fn fclose(stream: Stream) -> c_int;
}

/// The C library's own function, looked up at the first call.
unsafe fn real(place: &AtomicPtr<u8>, name: &core::ffi::CStr) -> *mut u8 {
    let known = place.load(Ordering::Relaxed);
    if !known.is_null() {
        return known;
    }
    // SAFETY: a C string.
    let found = unsafe { sys::dlsym(sys::RTLD_NEXT, name.as_ptr()) };
    place.store(found, Ordering::Relaxed);
    found
}

unsafe fn whole(fd: c_int) -> Result<(), i32> {
    match sys::identify_fd(fd)?.and_then(|identity| table::find(&identity)) {
        Some(tracked) => guard::whole(tracked),
        None => Ok(()),
    }
}

unsafe fn open_stream(path: *const c_char, mode: *const c_char) -> Stream {
    type Open = unsafe extern "C" fn(*const c_char, *const c_char) -> Stream;
    static REAL: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
    // SAFETY: C strings, says the caller; the function found has this signature.
    unsafe {
        let found = real(&REAL, c"fopen");
        if found.is_null() {
            let _errno_set = sys::fail(sys::ENOSYS);
            return core::ptr::null_mut();
        }
        let real = core::mem::transmute::<*mut u8, Open>(found);
        if active() && *mode as u8 == b'w' && guard::at_path(sys::AT_FDCWD, path, 0).is_some() {
            // Cut it the careful way first; then the library's own cut changes nothing.
            match open_at(sys::AT_FDCWD, path, sys::O_RDWR | sys::O_TRUNC | sys::O_CLOEXEC, 0) {
                fd if fd >= 0 => {
                    table::remember(fd as c_int, 0);
                    sys::close(fd as c_int);
                }
                error => {
                    let _errno_set = sys::give(error);
                    return core::ptr::null_mut();
                }
            }
        }
        let stream = core::cell::Cell::new(core::ptr::null_mut());
        let _found = control::resolve(path, |path| {
            stream.set(real(path, mode));
            if stream.get().is_null() { -(sys::errno() as isize) } else { 0 }
        });
        let stream = stream.get();
        if !stream.is_null() && active() {
            table::remember(fileno(stream), 0);
            if let Err(errno) = whole(fileno(stream)) {
                fclose(stream);
                let _errno_set = sys::fail(errno);
                return core::ptr::null_mut();
            }
        }
        stream
    }
}

export!(fopen, fopen64 => (path: *const c_char, mode: *const c_char) -> Stream {
    open_stream(path, mode)
});

export!(fdopen => (fd: c_int, mode: *const c_char) -> Stream {
    type Open = unsafe extern "C" fn(c_int, *const c_char) -> Stream;
    static REAL: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
    let found = real(&REAL, c"fdopen");
    let result = if !active() { Ok(()) } else { whole(fd) };
    if found.is_null() || result.is_err() {
        let _errno_set = sys::fail(result.err().unwrap_or(sys::ENOSYS));
        return core::ptr::null_mut();
    }
    core::mem::transmute::<*mut u8, Open>(found)(fd, mode)
});
