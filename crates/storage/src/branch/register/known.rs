//! What is remembered of a register, and what a search for the newest version found.

use std::time::Duration;

use dormouse_base::Timestamp;
use dormouse_base::clock::{self, Mono};

use super::Version;

/// How long what was read may be taken for the newest without a listing.
pub const FRESH: Duration = Duration::from_secs(600);

/// The newest version that was seen, and when it certainly was the newest.
#[derive(Clone)]
pub(super) struct Known<T> {
    pub(super) version: Version<T>,
    pub(super) seen: Mono,
    /// The monotonic clock stands still while a machine is suspended; this one does not.
    pub(super) seen_at: Timestamp,
}

impl<T> Known<T> {
    pub(super) fn is_fresh(&self) -> bool {
        let by_wall = clock::now().duration_since(self.seen_at);
        self.seen.elapsed() < FRESH && !by_wall.is_negative() && by_wall.unsigned_abs() < FRESH
    }
}

/// Where a reader that remembers nothing begins.
pub(super) enum Hint<T> {
    Version(Version<T>),
    /// The listing shows a version that is gone.
    Trimmed,
    Nothing,
}

/// Where a walk ended.
pub(super) enum Walk<T> {
    Newest(Known<T>),
    /// There is more behind this one.
    Far(Version<T>),
}
