//! Which file is behind a descriptor, and where its bits are.

use core::ffi::c_int;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use super::sys::{self, Identity};
use crate::layout::{CHUNK, COMPLETE, Entry, Header, slot_of};

/// Descriptors with a place in the table; those above are looked up at every call.
const DESCRIPTORS: usize = 65_536;

/// Descriptor → entry + 1; 0 = not one of ours.
static TABLE: [AtomicU32; DESCRIPTORS] = [const { AtomicU32::new(0) }; DESCRIPTORS];

/// The mapped presence file; null while the front does not work.
pub(super) static MAP: AtomicPtr<Header> = AtomicPtr::new(core::ptr::null_mut());

/// The presence file of this process. Once mapped it stays.
pub(super) fn header() -> Option<&'static Header> {
    let map = MAP.load(Ordering::Acquire);
    // SAFETY: `start` stores it only after it was mapped whole and checked, and nothing unmaps it.
    unsafe { map.as_ref() }
}

fn entry(header: &'static Header, index: u32) -> &'static Entry {
    // SAFETY: `start` has checked that all entries lie in the mapping; `index` is below `files`.
    unsafe {
        let entries = (&raw const *header).cast::<u8>().add(header.entries_at as usize).cast::<Entry>();
        &*entries.add(index as usize)
    }
}

/// A file with holes.
#[derive(Clone, Copy)]
pub(super) struct Tracked {
    pub(super) index: u32,
    pub(super) entry: &'static Entry,
    header: &'static Header,
}

impl Tracked {
    fn of(header: &'static Header, index: u32) -> Option<Self> {
        (index < header.files).then(|| Self { index, entry: entry(header, index), header })
    }

    /// Whether all of it is present.
    #[inline]
    pub(super) fn complete(&self) -> bool {
        self.entry.flags.load(Ordering::Acquire) & COMPLETE != 0
    }

    pub(super) fn is(&self, identity: &Identity) -> bool {
        let e = self.entry;
        let same = e.dev == identity.dev && e.ino == identity.ino;
        same && (e.born == 0 || (e.born, e.born_nanos) == (identity.born, identity.born_nanos))
    }

    /// The chunks that a range of bytes touches; `None` when it lies behind the original file.
    #[inline]
    pub(super) fn chunks(&self, offset: u64, len: u64) -> Option<(u64, u64)> {
        let last_of_file = u64::from(self.entry.chunks).checked_sub(1)?;
        if len == 0 {
            return None;
        }
        let (first, last) = (offset / CHUNK, offset.saturating_add(len - 1) / CHUNK);
        (first <= last_of_file).then_some((first, last.min(last_of_file)))
    }

    /// Whether all these chunks are present.
    #[inline]
    pub(super) fn present(&self, first: u64, last: u64) -> bool {
        (first..=last).all(|chunk| {
            // SAFETY: `start` has checked that the bits of every entry lie in the mapping, and that they are aligned.
            let word = unsafe {
                let bits = (&raw const *self.header).cast::<u8>().add(self.entry.bits_at as usize);
                &*bits.cast::<AtomicU64>().add(chunk as usize / 64)
            };
            word.load(Ordering::Acquire) >> (chunk % 64) & 1 != 0
        })
    }
}

/// The tracked file with this identity.
pub(super) fn find(identity: &Identity) -> Option<Tracked> {
    let header = header()?;
    if header.complete.load(Ordering::Acquire) != 0 {
        return None;
    }
    let mut slot = slot_of(identity.ino, header.slots);
    for _ in 0..header.slots {
        // SAFETY: `start` has checked that the hash table lies in the mapping.
        let value = unsafe {
            let slots = (&raw const *header).cast::<u8>().add(header.slots_at as usize).cast::<u32>();
            *slots.add(slot as usize)
        };
        let tracked = Tracked::of(header, value.checked_sub(1)?)?;
        if tracked.is(identity) {
            return Some(tracked);
        }
        slot = (slot + 1) & (header.slots - 1);
    }
    None
}

/// Looks up who a descriptor is, and remembers it. For files that were just opened.
pub(super) fn learn(fd: c_int) -> Result<Option<Tracked>, i32> {
    let tracked = match sys::identify_fd(fd)? {
        Some(identity) => find(&identity).filter(|tracked| !tracked.complete()),
        None => None,
    };
    remember(fd, tracked.map_or(0, |tracked| tracked.index + 1));
    Ok(tracked)
}

pub(super) fn remember(fd: c_int, value: u32) {
    if let Some(place) = usize::try_from(fd).ok().and_then(|fd| TABLE.get(fd)) {
        place.store(value, Ordering::Relaxed);
    }
}

/// A duplicate is the same file.
pub(super) fn copy(from: c_int, to: c_int) {
    let value = usize::try_from(from).ok().and_then(|fd| TABLE.get(fd)).map(|v| v.load(Ordering::Relaxed));
    match value {
        Some(value) => remember(to, value),
        // From above the table into it.
        None => {
            let _who = learn(to);
        }
    }
}

/// The incomplete file behind a descriptor; the way of every call.
#[inline]
pub(super) fn tracked(fd: c_int) -> Result<Option<Tracked>, i32> {
    let Some(place) = usize::try_from(fd).ok().and_then(|fd| TABLE.get(fd)) else { return beyond(fd) };
    let value = place.load(Ordering::Relaxed);
    if value == 0 {
        return Ok(None);
    }
    Ok(header().and_then(|header| Tracked::of(header, value - 1)).filter(|tracked| !tracked.complete()))
}

#[cold]
fn beyond(fd: c_int) -> Result<Option<Tracked>, i32> {
    if fd < 0 || header().is_none() {
        return Ok(None);
    }
    let identity = sys::identify_fd(fd)?;
    Ok(identity.and_then(|identity| find(&identity)).filter(|tracked| !tracked.complete()))
}
