//! Terminate: the client leaves. Without it PostgreSQL logs a lost connection.

use crate::encode::{Encode, tagged};
use crate::tag;

/// A goodbye; the body is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminate;

impl Encode for Terminate {
    fn encode_into(&self, out: &mut Vec<u8>) {
        tagged(out, tag::frontend::TERMINATE, |_| ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_bytes() {
        assert_eq!(Terminate.encode(), b"X\x00\x00\x00\x04");
    }
}
