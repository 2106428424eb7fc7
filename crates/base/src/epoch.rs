//! Which writer of a branch wrote something.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Grows with every new writer of a branch; part of every object key that the writer creates, so a
/// writer that was replaced without knowing it can never be mistaken for its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(inline))]
pub struct Epoch(pub u32);

impl Epoch {
    /// The epoch of the next writer.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }

    /// Eight hexadecimal digits, for object keys.
    #[must_use]
    pub fn key(self) -> String {
        format!("{:08x}", self.0)
    }

    /// Reads what [`Epoch::key`] wrote.
    #[must_use]
    pub fn from_key(text: &str) -> Option<Epoch> {
        (text.len() == 8).then(|| u32::from_str_radix(text, 16).ok().map(Epoch))?
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
