//! The conversation with the filler: one Unix socket per process, one request at a time.
//!
//! A forked child has its parent's descriptor and must not talk on it, so the connection belongs to a
//! process ID. A request that finds the connection in use (another thread, or a signal handler above a
//! request of the same thread) makes a connection of its own instead of waiting: there is nothing to
//! deadlock on.
//!
//! Waiting is counted in slices, not on the clock: a compute that is frozen in the middle of a request
//! must not find its patience gone when it thaws.

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

use super::sys::{self, nr};
use super::table;
use crate::layout::{REPLY_LEN, REQUEST_LEN, Request, WAIT_MILLIS};

/// The longest piece of waiting that counts as waiting.
const SLICE_MILLIS: i64 = 1000;
/// Between two attempts to reach a filler that is not there.
const RETRY_MILLIS: i64 = 20;
/// How long a hint may take.
const HINT_MILLIS: i64 = 500;
/// Our descriptor stays away from the low numbers, which programs like to count and close.
const LOWEST_DESCRIPTOR: usize = 500;

/// `sockaddr_un` of the filler and its length, written by `start` before anything else runs.
static ADDRESS: Address = Address(core::cell::UnsafeCell::new(([0; 110], 0)));

struct Address(core::cell::UnsafeCell<([u8; 110], usize)>);

// SAFETY: written once, by the constructor, before there is a second thread and before `ACTIVE` is stored.
unsafe impl Sync for Address {}

static CONNECTION: AtomicI32 = AtomicI32::new(-1);
static OWNER: AtomicU32 = AtomicU32::new(0);
static INODE: AtomicU64 = AtomicU64::new(0);
static BUSY: AtomicBool = AtomicBool::new(false);
static SEQUENCE: AtomicU32 = AtomicU32::new(1);

/// Sets the path of the filler's socket.
///
/// SAFETY: only the constructor may call it.
pub(super) unsafe fn set_address(path: &[u8]) -> Result<(), ()> {
    if path.len() >= 108 {
        return Err(());
    }
    // SAFETY: nobody else runs yet.
    let (bytes, len) = unsafe { &mut *ADDRESS.0.get() };
    bytes[..2].copy_from_slice(&1u16.to_ne_bytes());
    bytes[2..2 + path.len()].copy_from_slice(path);
    *len = 2 + path.len() + 1;
    Ok(())
}

/// Why a request got no answer.
enum Lost {
    /// The connection broke: make a new one, ask again.
    Broken,
    /// No time left.
    Late,
}

fn patience() -> i64 {
    i64::from(table::header().map_or(WAIT_MILLIS, |header| header.wait_millis))
}

/// Asks and waits for the answer, through restarts of the filler.
pub(super) fn ask(op: u32, file: u32, a: u64, b: u64) -> Result<(), i32> {
    let shared = !BUSY.swap(true, Ordering::Acquire);
    let mut own = Own { fd: if shared { inherited() } else { -1 }, left: patience() };
    let result = own.insist(op, file, a, b);
    if shared {
        keep(&mut own);
        BUSY.store(false, Ordering::Release);
    }
    result
}

/// Asks once, without insisting.
pub(super) fn hint(op: u32, file: u32) {
    let mut own = Own { fd: connect().unwrap_or(-1), left: HINT_MILLIS };
    if own.fd >= 0 {
        let _unheard = own.exchange(&request(op, file, 0, 0));
    }
}

/// Closes the process's connection: children that it forks shall not hold it.
pub(super) fn hang_up() {
    if !BUSY.swap(true, Ordering::Acquire) {
        drop(Own { fd: inherited(), left: 0 });
        CONNECTION.store(-1, Ordering::Relaxed);
        BUSY.store(false, Ordering::Release);
    }
}

/// The process's connection, if it is still what it was.
fn inherited() -> c_int {
    let fd = CONNECTION.swap(-1, Ordering::Relaxed);
    if fd < 0 {
        return -1;
    }
    // Somebody may have closed our number and opened something else under it.
    let ours = inode(fd).is_some_and(|inode| inode == INODE.load(Ordering::Relaxed));
    if !ours {
        return -1;
    }
    if OWNER.load(Ordering::Relaxed) != own_pid() {
        sys::close(fd);
        return -1;
    }
    fd
}

fn keep(own: &mut Own) {
    if let Some(inode) = inode(own.fd) {
        INODE.store(inode, Ordering::Relaxed);
        OWNER.store(own_pid(), Ordering::Relaxed);
        CONNECTION.store(own.fd, Ordering::Relaxed);
        own.fd = -1;
    }
}

fn own_pid() -> u32 {
    // SAFETY: touches no memory.
    unsafe { sys::call(nr::GETPID, [0; 6]) as u32 }
}

fn inode(fd: c_int) -> Option<u64> {
    let mut stat = [0u64; 18];
    if fd < 0 {
        return None;
    }
    // SAFETY: `stat` is as large as the kernel's (144 bytes; smaller elsewhere), the path is a constant.
    let result = unsafe {
        let (path, to) = (c"".as_ptr() as usize, (&raw mut stat) as usize);
        sys::call(nr::NEWFSTATAT, [fd as usize, path, to, sys::AT_EMPTY_PATH as usize, 0, 0])
    };
    (result == 0).then_some(stat[1])
}

fn request(op: u32, file: u32, a: u64, b: u64) -> Request {
    Request { op, file, a, b, sequence: SEQUENCE.fetch_add(1, Ordering::Relaxed) }
}

fn connect() -> Option<c_int> {
    const UNIX: usize = 1;
    const STREAM_NONBLOCK_CLOEXEC: usize = 1 | 0o4000 | 0o200_0000;
    const F_DUPFD_CLOEXEC: usize = 1030;
    // SAFETY: the address was written before the front became active; the kernel only reads it.
    unsafe {
        let low = sys::call(nr::SOCKET, [UNIX, STREAM_NONBLOCK_CLOEXEC, 0, 0, 0, 0]);
        if low < 0 {
            return None;
        }
        let high = sys::call(nr::FCNTL, [low as usize, F_DUPFD_CLOEXEC, LOWEST_DESCRIPTOR, 0, 0, 0]);
        let fd = if high >= 0 { high } else { low };
        if high >= 0 {
            sys::close(low as c_int);
        }
        let (address, len) = &*ADDRESS.0.get();
        if sys::call(nr::CONNECT, [fd as usize, address.as_ptr() as usize, *len, 0, 0, 0]) < 0 {
            sys::close(fd as c_int);
            return None;
        }
        Some(fd as c_int)
    }
}

/// A connection that belongs to one call.
pub(super) struct Own {
    fd: c_int,
    /// Milliseconds of waiting left.
    left: i64,
}

impl Drop for Own {
    fn drop(&mut self) {
        self.reset();
    }
}

impl Own {
    pub(super) fn new() -> Self {
        Self { fd: -1, left: patience() }
    }

    fn reset(&mut self) {
        if self.fd >= 0 {
            sys::close(self.fd);
            self.fd = -1;
        }
    }

    /// Asks; the answer comes on the same connection as long as that lives.
    pub(super) fn ask(&mut self, op: u32, file: u32, a: u64) -> Result<(), i32> {
        self.insist(op, file, a, 0)
    }

    fn insist(&mut self, op: u32, file: u32, a: u64, b: u64) -> Result<(), i32> {
        loop {
            if self.fd < 0 {
                self.fd = connect().unwrap_or(-1);
            }
            let answer =
                if self.fd < 0 { Err(Lost::Broken) } else { self.exchange(&request(op, file, a, b)) };
            match answer {
                Ok(0) => return Ok(()),
                Ok(sys::EAGAIN) | Err(Lost::Broken) => {}
                Ok(errno) => return Err(errno),
                Err(Lost::Late) => self.left = 0,
            }
            // An answer that comes later must not be taken for the next one's.
            self.reset();
            if self.left <= 0 {
                return Err(sys::EIO);
            }
            sys::nap(RETRY_MILLIS);
            self.left -= RETRY_MILLIS;
        }
    }

    fn exchange(&mut self, request: &Request) -> Result<i32, Lost> {
        self.send(&request.encode())?;
        let mut reply = [0u8; REPLY_LEN];
        let mut have = 0;
        while have < REPLY_LEN {
            // SAFETY: the kernel writes into the rest of `reply`.
            let got = unsafe {
                let (to, len) = (reply[have..].as_mut_ptr() as usize, REPLY_LEN - have);
                sys::call(nr::RECVFROM, [self.fd as usize, to, len, 0, 0, 0])
            };
            match -got as i32 {
                sys::EAGAIN => self.wait()?,
                sys::EINTR => {}
                errno if errno >= 0 => return Err(Lost::Broken),
                _ => have += got as usize,
            }
        }
        let word = |at: usize| u32::from_ne_bytes([reply[at], reply[at + 1], reply[at + 2], reply[at + 3]]);
        if word(0) == request.sequence { Ok(word(4) as i32) } else { Err(Lost::Broken) }
    }

    fn send(&mut self, bytes: &[u8; REQUEST_LEN]) -> Result<(), Lost> {
        const NO_SIGNAL: usize = 0x4000;
        loop {
            // SAFETY: the kernel reads `bytes`.
            let sent = unsafe {
                sys::call(
                    nr::SENDTO,
                    [self.fd as usize, bytes.as_ptr() as usize, REQUEST_LEN, NO_SIGNAL, 0, 0],
                )
            };
            match -sent as i32 {
                sys::EINTR => {}
                // A fresh request always fits the buffer; anything else is a broken connection.
                _ if sent == REQUEST_LEN as isize => return Ok(()),
                _ => return Err(Lost::Broken),
            }
        }
    }

    /// Waits for bytes to read.
    fn wait(&mut self) -> Result<(), Lost> {
        const POLLIN: u64 = 1;
        if self.left <= 0 {
            return Err(Lost::Late);
        }
        let slice = self.left.min(SLICE_MILLIS);
        // struct pollfd: descriptor, events, revents.
        let poll = [self.fd as u32, POLLIN as u32];
        let time = [slice / 1000, slice % 1000 * 1_000_000];
        let began = sys::millis();
        // SAFETY: one pollfd and a timespec, both live.
        unsafe {
            sys::call(nr::PPOLL, [(&raw const poll) as usize, 1, (&raw const time) as usize, 0, 8, 0]);
        }
        self.left -= (sys::millis() - began).clamp(0, slice);
        Ok(())
    }
}
