//! The buffers that all pooled sessions of a thread share.

use std::cell::RefCell;

/// What is read at once. Large enough for a full TLS record and for most result sets.
const BUFFER: usize = 32 << 10;

thread_local! {
    static INPUT: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER]);
    static OUTPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// An output buffer that grew larger than this is given back.
const KEEP: usize = 256 << 10;

/// Lends the thread's buffers: one to read into, and an empty one to write into.
pub(super) fn with_buffers<T>(work: impl FnOnce(&mut [u8], &mut Vec<u8>) -> T) -> T {
    INPUT.with_borrow_mut(|input| {
        OUTPUT.with_borrow_mut(|output| {
            output.clear();
            let done = work(input, output);
            if output.capacity() > KEEP {
                *output = Vec::new();
            }
            done
        })
    })
}
