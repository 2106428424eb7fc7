//! Long messages that have only begun to come: a text is read as a whole, so its beginning is kept. A client that waits
//! with the rest has no backend, and there may be ten thousand of them, so all together have a limit. Of that the clients
//! of one pool get no more than they leave free: half of it, where no others have any. So who fills it keeps nobody else
//! from a message of usual length.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is shorter is not counted: it is limited by the number of clients.
const LONG: usize = 64 << 10;

/// What has come of all that are not complete may have so many bytes together.
const MAX_TOGETHER: usize = 512 << 20;

static TOGETHER: AtomicUsize = AtomicUsize::new(0);

/// What the clients of one pool have of that.
pub(super) type Share = Arc<AtomicUsize>;

/// Room for one message; given back when dropped.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    bytes: usize,
    share: Option<Share>,
}

impl Unfinished {
    /// Makes it room for so many bytes in a pool's share; false when there is none.
    pub(super) fn takes(&mut self, share: &Share, bytes: usize) -> bool {
        self.takes_of(&TOGETHER, share, bytes)
    }

    fn takes_of(&mut self, together: &AtomicUsize, share: &Share, bytes: usize) -> bool {
        let more = if bytes > LONG { bytes.saturating_sub(self.bytes) } else { 0 };
        if more == 0 {
            return true;
        }
        let free = MAX_TOGETHER.saturating_sub(together.fetch_add(more, Ordering::Relaxed));
        if share.fetch_add(more, Ordering::Relaxed).saturating_add(more) > free {
            share.fetch_sub(more, Ordering::Relaxed);
            together.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.bytes += more;
        self.share.get_or_insert_with(|| Arc::clone(share));
        true
    }

    /// It is complete.
    pub(super) fn is_whole(&mut self) {
        self.gives_back(&TOGETHER);
    }

    fn gives_back(&mut self, together: &AtomicUsize) {
        if let Some(share) = self.share.take() {
            let bytes = std::mem::take(&mut self.bytes);
            share.fetch_sub(bytes, Ordering::Relaxed);
            together.fetch_sub(bytes, Ordering::Relaxed);
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
        let (together, share) = (AtomicUsize::new(0), Share::default());
        let (mut one, mut other) = (Unfinished::default(), Unfinished::default());
        assert!(one.takes_of(&together, &share, MAX_TOGETHER / 2 - LONG));
        assert!(one.takes_of(&together, &share, MAX_TOGETHER / 2 - LONG), "counted once");
        assert!(other.takes_of(&together, &share, LONG), "a short one is not counted");
        for much in [4 * LONG, usize::MAX] {
            assert!(!other.takes_of(&together, &share, much));
        }
        one.gives_back(&together);
        assert!(other.takes_of(&together, &share, 4 * LONG));
        assert_eq!([&together, &*share].map(|it| it.load(Ordering::Relaxed)), [4 * LONG; 2]);
        other.gives_back(&together);
        assert_eq!([&together, &*share].map(|it| it.load(Ordering::Relaxed)), [0; 2]);
    }

    #[test]
    fn one_pool_leaves_room_for_others() {
        let together = AtomicUsize::new(0);
        let mut held = Vec::new();
        for _pool in 0..5 {
            let share = Share::default();
            loop {
                let mut message = Unfinished::default();
                if !message.takes_of(&together, &share, 1 << 20) {
                    break;
                }
                held.push(message);
            }
        }
        let mut usual = Unfinished::default();
        assert!(usual.takes_of(&together, &Share::default(), 4 << 20), "{} MiB are held", held.len());
        for message in held.iter_mut().chain([&mut usual]) {
            message.gives_back(&together);
        }
    }
}
