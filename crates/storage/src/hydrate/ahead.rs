//! Reading ahead of a sequential reader. The window doubles with every fault that continues the last one, as in
//! the kernel; a store that is far away needs many chunks in flight.

use std::sync::Arc;

use super::filler::Filler;

/// The first window, chunks.
const FIRST: u32 = 4;
/// The largest window, chunks (16 MiB).
const LARGEST: u32 = 64;
/// Files that are watched at once; when there are more, all are forgotten, which costs a few faults.
const MAX_WINDOWS: usize = 1024;

/// What is known about the readers of one file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// The last chunk that was asked for.
    asked: u32,
    /// The last chunk that was fetched ahead.
    end: u32,
    size: u32,
}

impl Window {
    fn new(last: u32) -> Self {
        Self { asked: last, end: last, size: 0 }
    }

    /// A fault for these chunks: gives the chunks to fetch ahead.
    fn moved(&mut self, first: u32, last: u32) -> std::ops::Range<u32> {
        let continues = first > self.asked && first <= self.end.saturating_add(1);
        if !continues {
            *self = Self::new(last);
            return 0..0;
        }
        self.size = (self.size * 2).clamp(FIRST, LARGEST);
        let from = self.end.max(last) + 1;
        self.end = last + self.size;
        self.asked = last;
        from..self.end + 1
    }
}

impl Filler {
    /// Starts fetching what a sequential reader will want next. Does not wait.
    pub(super) fn read_ahead(self: &Arc<Self>, file: u32, first: u32, last: u32) {
        let wanted = {
            let mut windows = self.windows.lock();
            if windows.len() >= MAX_WINDOWS && !windows.contains_key(&file) {
                windows.clear();
            }
            match windows.entry(file) {
                std::collections::hash_map::Entry::Occupied(mut window) => {
                    window.get_mut().moved(first, last)
                }
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(Window::new(last));
                    return;
                }
            }
        };
        let chunks = self.files[file as usize].chunks;
        for chunk in wanted.take_while(|chunk| *chunk < chunks) {
            if self.files[file as usize].present(chunk) {
                continue;
            }
            let Ok(place) = Arc::clone(&self.unasked).try_acquire_owned() else { return };
            let filler = Arc::clone(self);
            self.scope.spawn("read-ahead", async move {
                let _place = place;
                // Whoever needs it asks again.
                let _only_a_guess = filler.fill(file, chunk).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_grows_with_a_sequential_reader_only() {
        let mut window = Window::new(0);
        assert_eq!(window.moved(1, 1), 2..6);
        // The next fault comes behind the window, or at a chunk of it that is still on its way.
        assert_eq!(window.moved(6, 6), 7..15);
        assert_eq!(window.moved(10, 10), 15..27);
        assert!(window.moved(3, 3).is_empty());
        assert!(window.moved(90, 91).is_empty());
        assert_eq!(window.moved(92, 92), 93..97);
        for step in 0..6 {
            let next = window.end + 1;
            assert!(window.moved(next, next).count() as u32 <= LARGEST + 1, "{step}");
        }
    }
}
