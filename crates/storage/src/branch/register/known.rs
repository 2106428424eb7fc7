//! What is remembered of a register, and what a search for the newest version found.

use std::time::Duration;

use dormouse_base::Timestamp;
use dormouse_base::clock::{self, Mono};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Register, RegisterError, Version};
use crate::key;

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

impl<T: Serialize + DeserializeOwned + Clone> Register<T> {
    /// What was remembered too long ago, if it still is the newest: the usual case after a long sleep. It asks
    /// what a reader without a memory asks, but at once instead of in a row.
    pub(super) async fn unchanged(&self) -> Result<Option<Known<T>>, RegisterError> {
        let Some(old) = self.inner.known.lock().as_ref().map(|known| known.version.seq) else {
            return Ok(None);
        };
        let (seen, seen_at) = (Mono::now(), clock::now());
        let listed = async { Ok(self.inner.store.list(&self.inner.prefix, None).await?) };
        let (listed, this, next) = tokio::try_join!(listed, self.fetch(old), self.fetch(old + 1))?;
        let highest = listed.iter().filter_map(|listed| key::register_seq(&listed.key)).max();
        let Some(this) = this.filter(|_| highest == Some(old) && next.is_none()) else { return Ok(None) };
        let known = Known { version: this.version, seen, seen_at };
        self.remember(&known);
        Ok(Some(known))
    }
}
