//! Long messages that have only begun to come: a text is read as a whole, so its beginning is kept. A client that waits
//! with the rest has no backend, and there may be ten thousand of them, so all together have a limit.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What is shorter is not counted: it is limited by the number of clients.
const LONG: usize = 64 << 10;

/// What has come of all that are not complete may have so many bytes together.
const MAX_TOGETHER: usize = 512 << 20;

static TOGETHER: AtomicUsize = AtomicUsize::new(0);

/// Room for one message; given back when dropped.
#[derive(Debug, Default)]
pub(super) struct Unfinished(usize);

impl Unfinished {
    /// Makes it room for so many bytes; false when there is none.
    pub(super) fn takes(&mut self, bytes: usize) -> bool {
        self.takes_of(&TOGETHER, bytes)
    }

    fn takes_of(&mut self, together: &AtomicUsize, bytes: usize) -> bool {
        let more = if bytes > LONG { bytes.saturating_sub(self.0) } else { 0 };
        if more == 0 {
            return true;
        }
        if together.fetch_add(more, Ordering::Relaxed) > MAX_TOGETHER - more.min(MAX_TOGETHER) {
            together.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.0 += more;
        true
    }

    /// It is complete.
    pub(super) fn is_whole(&mut self) {
        self.gives_back(&TOGETHER);
    }

    fn gives_back(&mut self, together: &AtomicUsize) {
        if self.0 > 0 {
            together.fetch_sub(std::mem::take(&mut self.0), Ordering::Relaxed);
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.is_whole();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_of_long_messages_have_a_limit_together() {
        let together = AtomicUsize::new(0);
        let (mut one, mut other) = (Unfinished::default(), Unfinished::default());
        assert!(one.takes_of(&together, MAX_TOGETHER - LONG));
        assert!(one.takes_of(&together, MAX_TOGETHER - LONG), "counted once");
        assert!(other.takes_of(&together, LONG), "a short one is not counted");
        assert!(!other.takes_of(&together, 2 * LONG) && !other.takes_of(&together, usize::MAX));
        one.gives_back(&together);
        assert!(other.takes_of(&together, 2 * LONG));
        assert_eq!(together.load(Ordering::Relaxed), 2 * LONG);
        other.gives_back(&together);
        assert_eq!(together.load(Ordering::Relaxed), 0);
    }
}
