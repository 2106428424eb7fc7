//! What the books hand out and want back. None of it can be copied, so nothing is counted twice.

use std::fmt;

use dormouse_base::clock::Mono;

/// A backend, lent to a client.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a lease that is dropped is a backend that is counted for ever"]
pub struct Lease<B> {
    /// The caller's handle of the backend.
    pub backend: B,
    /// Comes back with it.
    pub receipt: Receipt,
    /// It was idle for longer than `server_check_delay`: run `server_check_query` before using it.
    pub check: bool,
}

/// What the books want to know again when a backend comes back.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "give it to checkin or closed"]
pub struct Receipt {
    pub(super) opened_at: Mono,
    pub(super) generation: u64,
}

impl Receipt {
    /// When the backend was opened.
    #[must_use]
    pub fn opened_at(&self) -> Mono {
        self.opened_at
    }

    /// Whether RECONNECT came after the backend was opened, so that it will be closed when it is free:
    /// PgBouncer's `close_needed`.
    #[must_use]
    pub fn is_stale(&self, generation: u64) -> bool {
        self.generation < generation
    }
}

/// Leave to open one backend.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "give it to opened or open_failed"]
pub struct Opening {
    pub(super) generation: u64,
    pub(super) reserve: bool,
}

impl Opening {
    /// Whether it is beyond the pool's size.
    #[must_use]
    pub fn is_of_reserve(&self) -> bool {
        self.reserve
    }

    /// Takes it out of the world.
    pub(super) fn used(self) -> u64 {
        self.generation
    }
}

/// Why a backend is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// It is older than `server_lifetime`.
    Lifetime,
    /// It was idle for longer than `server_idle_timeout`.
    Idle,
    /// The pool is smaller now than the number of its backends.
    Shrunk,
    /// RECONNECT came after it was opened.
    Reconnect,
    /// The pool is paused.
    Paused,
    /// The pool was killed.
    Killed,
    /// A client of another pool under the same cap has waited for longer.
    OtherPool,
}

impl CloseReason {
    /// A few words for the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lifetime => "server lifetime over",
            Self::Idle => "server idle timeout",
            Self::Shrunk => "too many servers in the pool",
            Self::Reconnect => "database configuration changed",
            Self::Paused => "pause mode",
            Self::Killed => "database removed",
            Self::OtherPool => "another pool's turn",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
