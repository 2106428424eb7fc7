//! The only place that tells time.
//!
//! Two clocks, because they answer different questions. [`Timestamp`] is wall time (what a person
//! and the metadata see; it can jump). [`Mono`] is time since some start (what time-outs and
//! measurements use; it never goes back).

#![allow(clippy::disallowed_methods, reason = "this module is the clock that the ban points to")]

use std::time::{Duration, Instant};

pub use jiff::Timestamp;

/// Wall-clock time now, UTC.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A point on the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mono(Instant);

impl Mono {
    /// The monotonic clock now.
    #[must_use]
    pub fn now() -> Self {
        Self(Instant::now())
    }

    /// Time passed since this point.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// Time from `earlier` to this point; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Mono) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }

    /// This point moved into the future.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0 + by)
    }

    /// The same point as the standard library's type, for timers that ask for one.
    #[must_use]
    pub fn as_instant(self) -> Instant {
        self.0
    }
}
