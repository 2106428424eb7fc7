//! What front and filler agree on: names, the presence file, the messages.
//!
//! Presence file: [`Header`], then one [`Entry`] per file, then a hash table from inode number to entry
//! (`u32`, entry + 1, open addressing), then the bits: one per chunk, set = all bytes of the chunk are in the
//! file or were made by PostgreSQL itself. Bits are only ever set. The filler writes the file, PostgreSQL
//! maps it read-only.
//!
//! Both sides are built together, so numbers are in the machine's own order; [`VERSION`] guards against a
//! front that was installed by another build.

use core::sync::atomic::AtomicU32;

/// The only variable that a launch sets beside `LD_PRELOAD`: the directory with the three files below.
pub const DIR_VARIABLE: &str = "DORMOUSE_HYDRATE_DIR";
/// The presence file in that directory.
pub const PRESENCE_NAME: &str = "presence";
/// The filler's Unix socket in that directory.
pub const SOCKET_NAME: &str = "socket";
/// A page that is absent at every start and has to arrive through the front.
pub const CANARY_NAME: &str = "canary";

/// The control file, relative to the data directory.
pub const CONTROL: &str = "global/pg_control";
/// Where it is while the directory has holes, so that PostgreSQL cannot start without the front. Not in `global`: a
/// base backup takes files with a point there for relations and checks their pages.
pub const HIDDEN_CONTROL: &str = "pg_control.hydrating";

/// Bytes in a chunk.
pub const CHUNK: u64 = 256 * 1024;
/// Bytes of the canary file.
pub const CANARY_SIZE: u64 = 4096;
/// Begins every presence file.
pub const MAGIC: u64 = 0x646f_726d_6f75_7365;
/// Raised with every change of this file.
pub const VERSION: u32 = 1;
/// How long the front waits for a chunk before the read fails.
pub const WAIT_MILLIS: u32 = 30_000;

/// The beginning of the presence file.
#[repr(C)]
#[derive(Debug)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`VERSION`].
    pub version: u32,
    /// 1 = every chunk of every file is present: the front stands aside.
    pub complete: AtomicU32,
    /// Bytes of the presence file.
    pub total: u64,
    /// Number of entries, the canary's included, which is the last.
    pub files: u32,
    /// Slots of the hash table, a power of two.
    pub slots: u32,
    /// Where the entries begin.
    pub entries_at: u64,
    /// Where the hash table begins.
    pub slots_at: u64,
    /// How long the front waits for the filler, milliseconds.
    pub wait_millis: u32,
    /// Not used.
    pub reserved: u32,
    /// Tells one hydration from another.
    pub nonce: [u8; 16],
    /// The machine's boot this file was made in: bits do not survive one.
    pub boot: [u8; 16],
    /// The canary's page is made of repetitions of this.
    pub canary: [u8; 32],
}

/// A file with holes.
#[repr(C)]
#[derive(Debug)]
pub struct Entry {
    /// Device, `major << 32 | minor`.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// When the inode was made, seconds: together with the number it names one inode for ever. 0 = not known.
    pub born: i64,
    /// The nanoseconds of it.
    pub born_nanos: u32,
    /// Chunks of the original file.
    pub chunks: u32,
    /// Bytes of the original file.
    pub size: u64,
    /// Where its bits begin; a multiple of eight.
    pub bits_at: u64,
    /// [`COMPLETE`], [`GONE`].
    pub flags: AtomicU32,
    /// Not used.
    pub reserved: u32,
}

/// Flag of an entry: all its bits are set.
pub const COMPLETE: u32 = 1;
/// Flag of an entry: no path leads to it any more. What is absent stays absent.
pub const GONE: u32 = 2;

/// The first slot to look at for an inode number.
#[must_use]
pub const fn slot_of(ino: u64, slots: u32) -> u32 {
    ((ino.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32) & (slots - 1)
}

/// Bytes of a [`Request`] on the wire.
pub const REQUEST_LEN: usize = 32;
/// Bytes of a reply on the wire: sequence number, then errno (0 = done).
pub const REPLY_LEN: usize = 8;

/// Fill chunks `a..=b` of `file`.
pub const FILL: u32 = 1;
/// `file` is about to be cut to `a` bytes. Until [`TRUNCATED`] or the end of the connection its fills wait.
pub const TRUNCATE: u32 = 2;
/// The cut was made (`a` = 0) or failed (`a` = errno).
pub const TRUNCATED: u32 = 3;
/// `file` was unlinked: a hint, to be verified.
pub const UNLINKED: u32 = 4;

/// What the front says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// One of the four above.
    pub op: u32,
    /// Index of the entry.
    pub file: u32,
    /// First argument.
    pub a: u64,
    /// Second argument.
    pub b: u64,
    /// Comes back in the reply.
    pub sequence: u32,
}

impl Request {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; REQUEST_LEN] {
        let mut out = [0; REQUEST_LEN];
        out[..4].copy_from_slice(&self.op.to_ne_bytes());
        out[4..8].copy_from_slice(&self.file.to_ne_bytes());
        out[8..16].copy_from_slice(&self.a.to_ne_bytes());
        out[16..24].copy_from_slice(&self.b.to_ne_bytes());
        out[24..28].copy_from_slice(&self.sequence.to_ne_bytes());
        out
    }

    /// From bytes.
    #[must_use]
    pub fn decode(bytes: &[u8; REQUEST_LEN]) -> Self {
        let word = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| {
            let (low, high) = (u64::from(word(at)), u64::from(word(at + 4)));
            if cfg!(target_endian = "little") { high << 32 | low } else { low << 32 | high }
        };
        Self { op: word(0), file: word(4), a: long(8), b: long(16), sequence: word(24) }
    }
}

/// The reply to request `sequence`.
#[must_use]
pub fn reply(sequence: u32, errno: u32) -> [u8; REPLY_LEN] {
    let (s, e) = (sequence.to_ne_bytes(), errno.to_ne_bytes());
    [s[0], s[1], s[2], s[3], e[0], e[1], e[2], e[3]]
}

/// Functions of the C library that the front answers. A `postgres` that reaches files through others is
/// hydrated before it starts.
pub const WRAPPED: &[&str] = &[
    "__lxstat",
    "__lxstat64",
    "__open64_2",
    "__open_2",
    "__openat64_2",
    "__openat_2",
    "__pread64_chk",
    "__pread_chk",
    "__read_chk",
    "__xstat",
    "__xstat64",
    "access",
    "close",
    "copy_file_range",
    "creat",
    "creat64",
    "dup",
    "dup2",
    "dup3",
    "fallocate",
    "fallocate64",
    "fcntl",
    "fcntl64",
    "fdopen",
    "fopen",
    "fopen64",
    "ftruncate",
    "ftruncate64",
    "io_uring_queue_init",
    "io_uring_queue_init_mem",
    "io_uring_queue_init_params",
    "link",
    "linkat",
    "lstat",
    "lstat64",
    "mmap",
    "mmap64",
    "open",
    "open64",
    "openat",
    "openat64",
    "posix_fallocate",
    "posix_fallocate64",
    "pread",
    "pread64",
    "preadv",
    "preadv2",
    "preadv64",
    "preadv64v2",
    "pwrite",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "pwritev64",
    "pwritev64v2",
    "read",
    "readv",
    "rename",
    "renameat",
    "renameat2",
    "sendfile",
    "sendfile64",
    "splice",
    "stat",
    "stat64",
    "truncate",
    "truncate64",
    "unlink",
    "unlinkat",
    "vfork",
    "write",
    "writev",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_survive_the_wire() {
        let request = Request { op: FILL, file: 7, a: u64::MAX - 3, b: 1 << 40, sequence: 9 };
        assert_eq!(Request::decode(&request.encode()), request);
        assert_eq!(reply(1, 28)[..4], 1u32.to_ne_bytes());
    }

    #[test]
    fn slots_are_in_range() {
        for ino in 0..1000 {
            assert!(slot_of(ino * 0x1_0001, 64) < 64);
        }
    }
}
