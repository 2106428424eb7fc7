//! The constructor: runs when the dynamic linker has loaded us, before PostgreSQL's `main`.
//!
//! Everything is checked here, once; later code trusts the mapping. What fails leaves the front in state
//! `FAILED` with a line in the log, and PostgreSQL without a control file.

use core::ffi::{CStr, c_char, c_int};
use core::mem::size_of;
use core::sync::atomic::Ordering;

use super::sys::{self, nr};
use super::{ACTIVE, FAILED, STATE, ask, table};
use crate::layout::{
    CANARY_NAME, CANARY_SIZE, CHUNK, DIR_VARIABLE, Entry, Header, MAGIC, PRESENCE_NAME, SOCKET_NAME, VERSION,
};

#[cfg(dormouse_front)]
#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = begin;

/// A path on the stack.
struct Path {
    bytes: [u8; 512],
    len: usize,
}

impl Path {
    fn of(dir: &[u8], name: &str) -> Option<Self> {
        let mut path = Self { bytes: [0; 512], len: 0 };
        for part in [dir, b"/", name.as_bytes()] {
            path.bytes.get_mut(path.len..path.len + part.len())?.copy_from_slice(part);
            path.len += part.len();
        }
        // The byte behind the end must be there, and is zero.
        (path.len < path.bytes.len()).then_some(path)
    }

    fn pointer(&self) -> *const c_char {
        self.bytes.as_ptr().cast()
    }
}

extern "C" fn begin() {
    let mut name = [0u8; 32];
    name[..DIR_VARIABLE.len()].copy_from_slice(DIR_VARIABLE.as_bytes());
    // SAFETY: the names are C strings; the environment is not used by anybody else yet. What `getenv` gives is
    // copied before the variable is removed.
    unsafe {
        let value = sys::getenv(name.as_ptr().cast());
        if value.is_null() {
            return;
        }
        let mut dir = [0u8; 256];
        let text = CStr::from_ptr(value).to_bytes();
        let fits = text.len() < dir.len();
        if fits {
            dir[..text.len()].copy_from_slice(text);
        }
        let result = if fits {
            prepare(&dir[..text.len()])
        } else {
            Err(c"dormouse: the hydration path is too long\n")
        };
        // Programs that PostgreSQL starts are not its backends.
        sys::unsetenv(name.as_ptr().cast());
        sys::unsetenv(c"LD_PRELOAD".as_ptr());
        if let Err(why) = result {
            STATE.store(FAILED, Ordering::Release);
            sys::say(why);
        }
    }
}

fn prepare(dir: &[u8]) -> Result<(), &'static CStr> {
    let why = c"dormouse: the presence file of this directory cannot be used; PostgreSQL must not start\n";
    let (presence, socket, canary) =
        (Path::of(dir, PRESENCE_NAME), Path::of(dir, SOCKET_NAME), Path::of(dir, CANARY_NAME));
    let (presence, socket, canary) = (presence.ok_or(why)?, socket.ok_or(why)?, canary.ok_or(why)?);
    // SAFETY: we are the constructor.
    unsafe { ask::set_address(&socket.bytes[..socket.len]) }.map_err(|()| why)?;
    let header = map(&presence).ok_or(why)?;
    table::MAP.store((&raw const *header).cast_mut(), Ordering::Release);
    STATE.store(ACTIVE, Ordering::Release);
    let sings = listen(header, &canary);
    ask::hang_up();
    sings.ok_or(c"dormouse: the canary page did not arrive through the front; PostgreSQL must not start\n")
}

/// Maps the presence file and checks that everything it points to lies in it.
fn map(path: &Path) -> Option<&'static Header> {
    const READ_ONLY_SHARED: [usize; 2] = [1, 1];
    const SEEK_END: usize = 2;
    // SAFETY: the path is a C string; the mapping is checked before anything is read from it.
    let (base, len) = unsafe {
        let flags = sys::O_CLOEXEC as usize;
        let fd = sys::call(nr::OPENAT, [sys::AT_FDCWD as usize, path.pointer() as usize, flags, 0, 0, 0]);
        if fd < 0 {
            return None;
        }
        let len = sys::call(nr::LSEEK, [fd as usize, 0, SEEK_END, 0, 0, 0]);
        let [read, shared] = READ_ONLY_SHARED;
        let base = sys::call(nr::MMAP, [0, len.max(0) as usize, read, shared, fd as usize, 0]);
        sys::close(fd as c_int);
        if len < size_of::<Header>() as isize || (-4095..0).contains(&base) {
            return None;
        }
        (base as *const Header, len as u64)
    };
    // SAFETY: mapped, long enough, aligned to a page, never unmapped.
    let header = unsafe { &*base };
    let shape = header.magic == MAGIC && header.version == VERSION && header.total == len;
    let entries_end = header.entries_at.checked_add(u64::from(header.files) * size_of::<Entry>() as u64)?;
    let slots_end = header.slots_at.checked_add(u64::from(header.slots) * 4)?;
    let aligned = header.entries_at % 8 == 0 && header.slots_at % 4 == 0 && header.slots.is_power_of_two();
    if !shape || !aligned || entries_end > len || slots_end > len || header.files == 0 {
        return None;
    }
    for index in 0..header.files {
        // SAFETY: all entries lie in the mapping.
        let entry = unsafe {
            &*base.cast::<u8>().add(header.entries_at as usize).cast::<Entry>().add(index as usize)
        };
        let bits_end = entry.bits_at.checked_add(u64::from(entry.chunks).div_ceil(64) * 8)?;
        if entry.bits_at % 8 != 0 || bits_end > len || u64::from(entry.chunks) < entry.size.div_ceil(CHUNK) {
            return None;
        }
    }
    Some(header)
}

/// Reads the canary the way that PostgreSQL reads: through the names that its own symbol table leads to.
fn listen(header: &'static Header, canary: &Path) -> Option<()> {
    type Open = unsafe extern "C" fn(*const c_char, c_int, u32) -> c_int;
    type Pread = unsafe extern "C" fn(c_int, *mut u8, usize, i64) -> isize;
    type Close = unsafe extern "C" fn(c_int) -> c_int;
    let mut page = [0u8; CANARY_SIZE as usize];
    // SAFETY: whoever is first under these names has the C library's signatures (`open` may be variadic, which
    // for three arguments is the same call).
    let read = unsafe {
        let (open, pread, close) = (
            sys::dlsym(sys::RTLD_DEFAULT, c"open".as_ptr()),
            sys::dlsym(sys::RTLD_DEFAULT, c"pread".as_ptr()),
            sys::dlsym(sys::RTLD_DEFAULT, c"close".as_ptr()),
        );
        if open.is_null() || pread.is_null() || close.is_null() {
            return None;
        }
        let open = core::mem::transmute::<*mut u8, Open>(open);
        let pread = core::mem::transmute::<*mut u8, Pread>(pread);
        let close = core::mem::transmute::<*mut u8, Close>(close);
        let fd = open(canary.pointer(), sys::O_CLOEXEC, 0);
        if fd < 0 {
            return None;
        }
        let read = pread(fd, page.as_mut_ptr(), page.len(), 0);
        close(fd);
        read
    };
    let right = page.chunks_exact(header.canary.len()).all(|part| part == header.canary);
    (read == page.len() as isize && right).then_some(())
}
