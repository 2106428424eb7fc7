//! Finding the newest version: from what is remembered, or from a listing, and then forward.

use dormouse_base::clock::{self, Mono};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::known::{Hint, Known, Walk};
use super::version::{self, Sealed};
use super::{DAMAGED_READS, LISTINGS, PROBES, PROBES_FROM_MEMORY, Register, RegisterError, Version};
use crate::key;
use crate::object::StoreError;

impl<T: Serialize + DeserializeOwned + Clone> Register<T> {
    /// What was read last, however long ago; nothing is asked of the store. A hint, not the truth.
    #[must_use]
    pub fn hint_of_value(&self) -> Option<T> {
        self.inner.known.lock().as_ref().map(|known| known.version.value.clone())
    }

    /// The newest version, from what is remembered or from a listing, and then forward.
    pub(super) async fn newest(&self) -> Result<Known<T>, RegisterError> {
        let mut far = match self.remembered() {
            Some(known) => match self.walk(known.version, PROBES_FROM_MEMORY).await? {
                Walk::Newest(known) => return Ok(known),
                Walk::Far(version) => Some(version),
            },
            None => match self.unchanged().await? {
                Some(known) => return Ok(known),
                None => None,
            },
        };
        for _ in 0..LISTINGS {
            let listed = match self.hint().await? {
                Hint::Version(version) => version,
                Hint::Nothing if far.is_none() => {
                    return Err(RegisterError::Missing(self.inner.prefix.clone()));
                }
                Hint::Nothing | Hint::Trimmed => continue,
            };
            // A listing can be behind what was seen already.
            let from = far.take().filter(|far| far.seq > listed.seq).unwrap_or(listed);
            match self.walk(from, PROBES).await? {
                Walk::Newest(known) => return Ok(known),
                Walk::Far(version) => far = Some(version),
            }
        }
        Err(RegisterError::Busy { register: self.inner.prefix.clone(), tries: LISTINGS })
    }

    pub(super) fn remembered(&self) -> Option<Known<T>> {
        self.inner.known.lock().clone().filter(Known::is_fresh)
    }

    pub(super) fn remember(&self, known: &Known<T>) {
        let mut slot = self.inner.known.lock();
        if slot.as_ref().is_none_or(|old| old.version.seq <= known.version.seq) {
            *slot = Some(known.clone());
        }
    }

    pub(super) fn forget(&self) {
        *self.inner.known.lock() = None;
    }

    /// A version to begin with: the highest that a listing shows, else the first. A listing that is so far
    /// behind that it shows nothing shows a register that was never trimmed.
    async fn hint(&self) -> Result<Hint<T>, RegisterError> {
        let listed = self.inner.store.list(&self.inner.prefix, None).await?;
        let highest = listed.iter().filter_map(|listed| key::register_seq(&listed.key)).max();
        Ok(match (self.fetch(highest.unwrap_or(1)).await?, highest) {
            (Some(sealed), _) => Hint::Version(sealed.version),
            (None, Some(_)) => Hint::Trimmed,
            (None, None) => Hint::Nothing,
        })
    }

    /// Goes forward to the last version, at most `limit` steps.
    async fn walk(&self, from: Version<T>, limit: u64) -> Result<Walk<T>, RegisterError> {
        let mut version = from;
        for _ in 0..limit {
            let (seen, seen_at) = (Mono::now(), clock::now());
            // Nothing comes after a deletion.
            let next = if version.deleted_at.is_some() { None } else { self.fetch(version.seq + 1).await? };
            match next {
                Some(next) => version = next.version,
                None => {
                    let known = Known { version, seen, seen_at };
                    self.remember(&known);
                    return Ok(Walk::Newest(known));
                }
            }
        }
        Ok(Walk::Far(version))
    }

    /// One version, if there is one. One that is damaged is read again: it may be the wire.
    pub(super) async fn fetch(&self, seq: u64) -> Result<Option<Sealed<T>>, RegisterError> {
        let key = key::register_version(&self.inner.prefix, seq);
        let mut reads = 1;
        loop {
            let bytes = match self.inner.store.get(&key).await {
                Ok(bytes) => bytes,
                Err(StoreError::NotFound(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            match version::open(&key, seq, &bytes) {
                Err(RegisterError::Damaged { .. }) if reads < DAMAGED_READS => reads += 1,
                opened => return opened.map(Some),
            }
        }
    }
}
