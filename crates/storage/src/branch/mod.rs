//! What a branch is, and what its history is made of.

pub mod line;
pub mod record;
pub mod register;
