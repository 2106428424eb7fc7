//! Measuring: what becomes statistics, and where it comes from.
//!
//! ```text
//!   computes.awake()   CPU, memory, size        every second, of endpoints that are awake
//!   pooler.census()   clients, logins, waits   every second, what was since the last time
//!   keeper             wakes with their phases  as they happen, picked up every second
//!   vault.sizes()      data of branches         when they change, every 5 minutes where somebody works, else rarely
//!   statvfs            the disk                 every minute
//!                │
//!          samples (pure) ─► Recorder ─► statistics.sqlite, every 10 seconds
//! ```
//!
//! Who sleeps is not sampled: a thousand sleeping endpoints cost a look at their states. [`samples`] says what each
//! source means for an endpoint, its project and the server; [`colds`] counts cold starts; [`storage`] knows sizes; [`exported`] is what `/metrics` shows. The
//! loop is the reconciler [`measure`](crate::reconcile::measure). A new metric is a line in [`samples`].

use dormouse_base::EndpointId;

pub mod samples;
pub mod colds;
pub mod storage;
pub mod exported;

/// What the pooler tells of an endpoint: what is now, and durations since it was asked last.
#[derive(Debug, Clone, PartialEq)]
pub struct Census {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Clients past login.
    pub clients: usize,
    /// Backends of PostgreSQL.
    pub backends: usize,
    /// Clients that wait for a backend.
    pub waiting: usize,
    /// From arrival to the end of the login: milliseconds, and how often.
    pub logins: Vec<(f64, u64)>,
    /// Waits for a backend: milliseconds, and how often.
    pub waits: Vec<(f64, u64)>,
}
