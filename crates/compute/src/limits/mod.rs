//! How large a compute is: its limits, and what it uses of them.
//!
//! [`Bounds`] is what its owner allows, [`Live`] what is so at the moment.

use dormouse_base::{Cu, Timestamp};
use serde::{Deserialize, Serialize};

/// Between which sizes a compute may move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// The smallest; also the size that every run begins with.
    pub min: Cu,
    /// The largest.
    pub max: Cu,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { min: Cu::MIN, max: Cu::MIN }
    }
}

/// A running compute at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// When it was looked at.
    pub at: Timestamp,
    /// The limit that holds now; without cgroups the configured size, [`Bounds::min`].
    pub cu: Cu,
    /// Processors used, mean of the last second.
    pub cpu_cores: f64,
    /// Memory in use, bytes: the working set, without what the kernel can drop at once.
    pub memory_bytes: u64,
    /// The memory of its size, bytes; `None` when nothing limits it.
    pub memory_limit_bytes: Option<u64>,
    /// Whether the figures were measured in a cgroup. If not, they are absent (zero).
    pub measured: bool,
}
