//! How large a compute is: its limits, what it uses of them, and when it gets another size.
//!
//! ```text
//!              every 250 ms, active computes only
//!  cgroup files ──► sizing ──► gauge ──► decide (pure) ──► sizing ──► cpu.max, memory.high …
//!  proxy: clients who wait ──────┘  └──► Live, for the API, metering and statistics
//! ```
//!
//! [`controllers`] finds what the machine can limit, [`files`] reads it as text, [`sizing`] is one compute's files,
//! [`decide`] the rules, [`gauge`] one compute's samples, [`watch`] the loop. A wake is not limited: limits begin
//! with the first row. [`Bounds`] is what an owner allows, [`Live`] what is so at the moment.

pub mod decide;
pub mod files;
pub mod controllers;
pub mod sizing;
pub mod gauge;
pub mod watch;

use dormouse_base::{Cu, Timestamp};
use serde::{Deserialize, Serialize};

pub use controllers::Controllers;
pub use decide::Reason;
pub use gauge::Gauge;
pub use watch::Clients;

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
    /// Whether the figures of CPU and memory were measured in a cgroup. If not, they are zero.
    pub measured: bool,
}
