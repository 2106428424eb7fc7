//! What the tests of the pool say and hear, byte by byte.

pub(crate) use dormouse_tests::say::{Say, exchange, hear, replies};
