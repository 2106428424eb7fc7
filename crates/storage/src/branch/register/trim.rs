//! Removing old versions of a register.

use std::time::Duration;

use dormouse_base::clock;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Register, RegisterError};
use crate::key;

/// A version is trimmed when its successor is older than this. Much longer than [`FRESH`](super::FRESH)
/// plus the longest write, so that nobody who still trusts a version finds its successor gone.
pub const TRIM_AGE: Duration = Duration::from_secs(3600);

impl<T: Serialize + DeserializeOwned + Clone> Register<T> {
    /// Removes old versions, oldest first; the newest `keep` (at least one) stay, and so does every version
    /// whose successor is younger than [`TRIM_AGE`]. Tells how many went.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn trim(&self, keep: usize) -> Result<u64, RegisterError> {
        self.trim_older(keep, TRIM_AGE).await
    }

    pub(super) async fn trim_older(&self, keep: usize, age: Duration) -> Result<u64, RegisterError> {
        let listed = self.inner.store.list(&self.inner.prefix, None).await?;
        let versions: Vec<_> = listed.iter().filter(|l| key::register_seq(&l.key).is_some()).collect();
        let limit = clock::now() - age;
        let mut removed = 0;
        for pair in versions.windows(2).take(versions.len().saturating_sub(keep.max(1))) {
            if pair[1].modified > limit {
                break;
            }
            self.reach("register.trim.delete").await?;
            // One by one and oldest first: what is left never has a gap.
            self.inner.store.delete(&pair[0].key).await?;
            removed += 1;
        }
        Ok(removed)
    }
}
