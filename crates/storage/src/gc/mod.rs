//! Garbage: what nothing reaches any more, found and deleted.

pub mod plan;
