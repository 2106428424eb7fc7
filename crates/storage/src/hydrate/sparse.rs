//! One file with holes, as the filler sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use tokio::sync::RwLock;

use super::beneath::Identity;
use super::plan::{Bits, LazyFile};
use crate::chunk::CHUNK;

/// A file with holes.
#[derive(Debug)]
pub(super) struct Sparse {
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) chunks: u32,
    pub(super) identity: Identity,
    /// Fills hold it shared, a truncation alone.
    pub(super) order: Arc<RwLock<()>>,
    /// Original bytes exist below it only.
    pub(super) watermark: AtomicU64,
    /// No path leads to it any more.
    pub(super) gone: AtomicBool,
    absent: AtomicU32,
    words: Box<[AtomicU64]>,
}

impl Sparse {
    pub(super) fn new(file: &LazyFile, identity: Identity, present: &Bits, watermark: u64) -> Self {
        Self {
            path: file.path.clone(),
            size: file.size,
            chunks: file.chunks(),
            identity,
            order: Arc::default(),
            watermark: AtomicU64::new(watermark),
            gone: AtomicBool::new(false),
            absent: AtomicU32::new(file.chunks() - present.count()),
            words: present.words().iter().map(|word| AtomicU64::new(*word)).collect(),
        }
    }

    pub(super) fn present(&self, chunk: u32) -> bool {
        let word = self.words.get(chunk as usize / 64);
        word.is_some_and(|word| word.load(Ordering::Acquire) >> (chunk % 64) & 1 != 0)
    }

    /// Chunks that are not in the file.
    pub(super) fn absent(&self) -> u32 {
        self.absent.load(Ordering::Acquire)
    }

    /// Whether there is nothing left to do for it.
    pub(super) fn done(&self) -> bool {
        self.absent() == 0 || self.gone.load(Ordering::Acquire)
    }

    /// The bits that are set.
    pub(super) fn bits(&self) -> Bits {
        let words: Vec<u64> = self.words.iter().map(|word| word.load(Ordering::Acquire)).collect();
        Bits::from_words(self.chunks, &words)
    }

    /// What setting a bit would change; `None` when it is set. Only one at a time may ask, and set it.
    pub(super) fn change(&self, chunk: u32) -> Option<Change> {
        let before = self.words[chunk as usize / 64].load(Ordering::Acquire);
        let value = before | 1 << (chunk % 64);
        (value != before).then(|| Change { word: chunk / 64, value, left: self.absent() - 1 })
    }

    /// Makes a change that the front can see.
    pub(super) fn set(&self, change: &Change) {
        self.words[change.word as usize].store(change.value, Ordering::Release);
        self.absent.store(change.left, Ordering::Release);
    }

    /// How many bytes of the original a chunk has.
    pub(super) fn len_of(&self, chunk: u32) -> u64 {
        CHUNK.min(self.size.saturating_sub(u64::from(chunk) * CHUNK))
    }

    /// The first chunk that lies behind `len` bytes with all of its bytes.
    pub(super) fn first_behind(&self, len: u64) -> u32 {
        u32::try_from(len.div_ceil(CHUNK)).unwrap_or(u32::MAX).min(self.chunks)
    }
}

/// A bit that is set.
pub(super) struct Change {
    /// Which word of the file's bits.
    pub(super) word: u32,
    /// What it is now.
    pub(super) value: u64,
    /// Chunks that are still absent.
    pub(super) left: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_absent() {
        let file = LazyFile { path: "a".into(), size: 2 * CHUNK + 1, present: Bits::none(3) };
        let identity = Identity { dev: 0, ino: 1, born: 0, born_nanos: 0 };
        let sparse = Sparse::new(&file, identity, &file.present, file.size);
        assert_eq!((sparse.len_of(0), sparse.len_of(2), sparse.absent()), (CHUNK, 1, 3));
        let change = sparse.change(1).unwrap();
        assert_eq!((change.word, change.value, change.left, sparse.present(1)), (0, 2, 2, false));
        sparse.set(&change);
        assert!(
            sparse.change(1).is_none() && sparse.present(1) && !sparse.present(0) && sparse.absent() == 2
        );
        assert_eq!((sparse.first_behind(CHUNK), sparse.first_behind(CHUNK + 1)), (1, 2));
    }
}
