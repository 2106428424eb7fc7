//! CopyDone: the sender's half of a COPY, or of a replication stream, is over.

use crate::encode::{Encode, tagged};
use crate::tag;

/// An end; the body is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyDone;

impl Encode for CopyDone {
    fn encode_into(&self, out: &mut Vec<u8>) {
        tagged(out, tag::frontend::COPY_DONE, |_| ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_bytes() {
        assert_eq!(CopyDone.encode(), b"c\x00\x00\x00\x04");
    }
}
