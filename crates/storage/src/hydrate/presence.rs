//! The file that the front maps: which chunks are present.
//!
//! The filler has the truth in its own memory and *writes* the file instead of mapping it: no `unsafe`, and a
//! compute that shares the server's user cannot make the server fault by shortening it.

use std::fs::{self, File};
use std::io;
use std::mem::{offset_of, size_of};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{Ordering, fence};

use dormouse_hydrate::layout::{
    CHUNK, COMPLETE, Entry, GONE, Header, MAGIC, PRESENCE_NAME, VERSION, slot_of,
};
use parking_lot::Mutex;

use super::beneath::Identity;
use super::plan::Bits;
use super::sparse::Sparse;

const _: () = assert!(CHUNK == crate::chunk::CHUNK, "front and store cut files the same way");

/// What makes a presence file this hydration's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) nonce: [u8; 16],
    pub(super) boot: [u8; 16],
}

/// One entry to be written.
pub(super) struct Row<'a> {
    pub(super) identity: Identity,
    pub(super) size: u64,
    pub(super) chunks: u32,
    pub(super) words: &'a [u64],
    pub(super) flags: u32,
}

/// An open presence file.
#[derive(Debug)]
pub(super) struct Presence {
    file: File,
    /// Where the bits of each entry begin. The lock orders the writes of one word.
    bits_at: Mutex<Vec<u64>>,
}

struct Bytes(Vec<u8>);

impl Bytes {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }
    fn u32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_ne_bytes());
    }
    fn u64(&mut self, at: usize, value: u64) {
        self.put(at, &value.to_ne_bytes());
    }
}

const fn align(at: usize) -> usize {
    at.next_multiple_of(64)
}

impl Presence {
    /// Makes the file. `canary` is what the canary's page is made of.
    pub(super) fn create(
        dir: &Path,
        stamp: Stamp,
        wait_millis: u32,
        canary: &[u8; 32],
        rows: &[Row<'_>],
    ) -> io::Result<Self> {
        let (bytes, bits_at) = encode(stamp, wait_millis, canary, rows);
        let (path, new) = (dir.join(PRESENCE_NAME), dir.join("presence.new"));
        let _left_over = fs::remove_file(&new);
        // Readable for the compute, which reaches it through its directory; writable for the server only.
        let file = File::options().read(true).write(true).create_new(true).mode(0o644).open(&new)?;
        file.write_all_at(&bytes, 0)?;
        fs::rename(&new, &path)?;
        Ok(Self { file, bits_at: Mutex::new(bits_at) })
    }

    /// Opens the file of a server that ended, if it is this hydration's and of this boot. Gives the bits of each
    /// entry. `None` when it cannot be used.
    pub(super) fn reopen(dir: &Path, stamp: Stamp, chunks: &[u32]) -> Option<(Self, Vec<Bits>)> {
        let file = File::options()
            .read(true)
            .write(true)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(dir.join(PRESENCE_NAME))
            .ok()?;
        let meta = file.metadata().ok()?;
        let ours = meta.is_file() && meta.uid() == rustix::process::geteuid().as_raw();
        let (entries_at, slots) = (align(size_of::<Header>()), slots_for(chunks.len()));
        let (bits_at, total) = places(entries_at, chunks, slots);
        if !ours || meta.len() != total {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(total).ok()?];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let at = |at: usize, len: usize| &bytes[at..at + len];
        let matches = at(offset_of!(Header, magic), 8) == MAGIC.to_ne_bytes()
            && at(offset_of!(Header, version), 4) == VERSION.to_ne_bytes()
            && at(offset_of!(Header, nonce), 16) == stamp.nonce
            && at(offset_of!(Header, boot), 16) == stamp.boot
            && at(offset_of!(Header, complete), 4) == 0u32.to_ne_bytes();
        if !matches {
            return None;
        }
        let word = |part: &[u8]| u64::from_ne_bytes(part.try_into().expect("eight bytes"));
        let bits = chunks.iter().zip(&bits_at).map(|(chunks, begin)| {
            let words: Vec<u64> =
                at(*begin as usize, chunks.div_ceil(64) as usize * 8).chunks_exact(8).map(word).collect();
            Bits::from_words(*chunks, &words)
        });
        let bits = bits.collect();
        Some((Self { file, bits_at: Mutex::new(bits_at) }, bits))
    }

    /// Sets the bit of a chunk whose bytes are in the file. Gives how many chunks are left, `None` when it was set.
    ///
    /// Not before the front can see it: who is told that a chunk is present, and does not see that, fails.
    pub(super) fn set(&self, index: usize, sparse: &Sparse, chunk: u32) -> io::Result<Option<u32>> {
        let bits_at = self.bits_at.lock();
        // The bytes before the bit, also on machines that reorder.
        fence(Ordering::SeqCst);
        let Some(change) = sparse.change(chunk) else { return Ok(None) };
        let at = bits_at[index] + u64::from(change.word) * 8;
        self.file.write_all_at(&change.value.to_ne_bytes(), at)?;
        sparse.set(&change);
        Ok(Some(change.left))
    }

    /// Replaces the only word of an entry: the canary's.
    pub(super) fn store(&self, index: usize, word: u64) -> io::Result<()> {
        let bits_at = self.bits_at.lock();
        fence(Ordering::SeqCst);
        self.file.write_all_at(&word.to_ne_bytes(), bits_at[index])
    }

    /// Sets an entry's flags.
    pub(super) fn flag(&self, index: usize, flags: u32) -> io::Result<()> {
        let at = align(size_of::<Header>()) + index * size_of::<Entry>() + offset_of!(Entry, flags);
        self.file.write_all_at(&flags.to_ne_bytes(), at as u64)
    }

    /// Says what the canary's page is made of now.
    pub(super) fn canary(&self, pattern: &[u8; 32]) -> io::Result<()> {
        self.file.write_all_at(pattern, offset_of!(Header, canary) as u64)
    }

    /// Says that the directory has no holes: the front stands aside.
    pub(super) fn complete(&self) -> io::Result<()> {
        self.file.write_all_at(&1u32.to_ne_bytes(), offset_of!(Header, complete) as u64)
    }
}

/// The flags of a file in this state.
pub(super) fn flags_of(sparse: &Sparse) -> u32 {
    let gone = if sparse.gone.load(Ordering::Acquire) { GONE } else { 0 };
    if sparse.absent() == 0 { gone | COMPLETE } else { gone }
}

fn slots_for(files: usize) -> u32 {
    u32::try_from((files * 2).next_power_of_two()).unwrap_or(1 << 31)
}

/// Where the bits of each entry begin, and the size of the file.
fn places(entries_at: usize, chunks: &[u32], slots: u32) -> (Vec<u64>, u64) {
    let slots_at = align(entries_at + chunks.len() * size_of::<Entry>());
    let mut at = align(slots_at + slots as usize * 4) as u64;
    let places = chunks.iter().map(|chunks| {
        let here = at;
        at += u64::from(chunks.div_ceil(64)) * 8;
        here
    });
    (places.collect(), at)
}

fn encode(stamp: Stamp, wait_millis: u32, canary: &[u8; 32], rows: &[Row<'_>]) -> (Vec<u8>, Vec<u64>) {
    let chunks: Vec<u32> = rows.iter().map(|row| row.chunks).collect();
    let (entries_at, slots) = (align(size_of::<Header>()), slots_for(rows.len()));
    let slots_at = align(entries_at + rows.len() * size_of::<Entry>());
    let (bits_at, total) = places(entries_at, &chunks, slots);
    let mut out = Bytes(vec![0; total as usize]);
    out.u64(offset_of!(Header, magic), MAGIC);
    out.u32(offset_of!(Header, version), VERSION);
    out.u64(offset_of!(Header, total), total);
    out.u32(offset_of!(Header, files), rows.len() as u32);
    out.u32(offset_of!(Header, slots), slots);
    out.u64(offset_of!(Header, entries_at), entries_at as u64);
    out.u64(offset_of!(Header, slots_at), slots_at as u64);
    out.u32(offset_of!(Header, wait_millis), wait_millis);
    out.put(offset_of!(Header, nonce), &stamp.nonce);
    out.put(offset_of!(Header, boot), &stamp.boot);
    out.put(offset_of!(Header, canary), canary);
    let mut taken = vec![false; slots as usize];
    for (index, row) in rows.iter().enumerate() {
        let at = entries_at + index * size_of::<Entry>();
        out.u64(at + offset_of!(Entry, dev), row.identity.dev);
        out.u64(at + offset_of!(Entry, ino), row.identity.ino);
        out.u64(at + offset_of!(Entry, born), row.identity.born.cast_unsigned());
        out.u32(at + offset_of!(Entry, born_nanos), row.identity.born_nanos);
        out.u32(at + offset_of!(Entry, chunks), row.chunks);
        out.u64(at + offset_of!(Entry, size), row.size);
        out.u64(at + offset_of!(Entry, bits_at), bits_at[index]);
        out.u32(at + offset_of!(Entry, flags), row.flags);
        for (number, word) in row.words.iter().enumerate() {
            out.u64(bits_at[index] as usize + number * 8, *word);
        }
        let mut slot = slot_of(row.identity.ino, slots);
        while taken[slot as usize] {
            slot = (slot + 1) & (slots - 1);
        }
        taken[slot as usize] = true;
        out.u32(slots_at + slot as usize * 4, index as u32 + 1);
    }
    (out.0, bits_at)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::super::plan::LazyFile;
    use super::*;

    #[test]
    fn a_bit_that_cannot_be_written_is_not_set() {
        let file = LazyFile { path: "a".into(), size: 3 * CHUNK, present: Bits::none(3) };
        let identity = Identity { dev: 0, ino: 1, born: 0, born_nanos: 0 };
        let sparse = Sparse::new(&file, identity, &file.present, file.size);
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut presence = Presence { file: full, bits_at: Mutex::new(vec![64]) };
        let error = presence.set(0, &sparse, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(!sparse.present(1) && sparse.absent() == 3, "it is filled again");
        presence.file = tempfile::tempfile().unwrap();
        assert_eq!(presence.set(0, &sparse, 1).unwrap(), Some(2));
        assert_eq!(presence.set(0, &sparse, 1).unwrap(), None);
        assert!(sparse.present(1));
    }

    #[test]
    fn what_the_filler_calls_present_the_front_can_see() {
        let file = LazyFile { path: "a".into(), size: CHUNK, present: Bits::none(1) };
        let identity = Identity { dev: 0, ino: 1, born: 0, born_nanos: 0 };
        let sparse = Sparse::new(&file, identity, &file.present, file.size);
        let full = File::options().write(true).open("/dev/full").unwrap();
        let presence = Presence { file: full, bits_at: Mutex::new(vec![0]) };
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..20_000).for_each(|_| assert!(presence.set(0, &sparse, 0).is_err()));
                over.store(true, Ordering::Relaxed);
            });
            while !over.load(Ordering::Relaxed) {
                assert!(!sparse.present(0), "the front will never see it");
            }
        });
    }
}
