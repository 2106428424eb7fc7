//! A value in the store that changes: a chain of numbered, immutable versions.
//!
//! ```text
//!   …/register/0000000000000007   {"format":1,"seq":7,"writer":"…","value":{…}}   + checksum
//!   …/register/0000000000000008   the highest number is the value; the next writer creates 9
//! ```
//!
//! - **Writing** is [`Store::create`] of the next number: of two writers one wins, the other reads again and
//!   applies its change again. A version carries a name of its writer that nobody else has, so a writer
//!   whose answer got lost recognises its own version.
//! - **Reading** lists for a hint and then asks for the next number until there is none, so a listing that
//!   is behind does no harm. What was read is remembered: the usual read is one request (is there a next
//!   one?), the usual update is one create.
//! - **Deleting** writes a last version that says so, with the last value in it, because children still
//!   need to know their parent. No version follows it: a writer that is behind loses the race for its number and
//!   then learns of the deletion. The last version must never be removed while anything of the branch or a
//!   writer of it could exist; identifiers are never used twice.
//! - **Trimming** removes old versions, oldest first, but none whose successor is younger than
//!   [`TRIM_AGE`]. Nobody trusts what it remembers for longer than [`FRESH`], much less than that, so
//!   nobody can take a trimmed number for a free one.
//!
//! [`read`] finds the newest version, [`version`] is the format of one, [`kinds`] names the registers that exist. A new one goes there.

mod error;
pub mod kinds;
mod known;
mod read;
mod trim;
mod version;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::clock::{self, Mono};
use dormouse_base::{Timestamp, rand};
use dormouse_runtime::failpoint;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::key::{self, Key};
use crate::object::{Created, Store, StoreError};

pub use error::{RegisterError, UpdateError};
pub use kinds::{BranchRegister, ProjectRegister};
pub use known::FRESH;
use known::Known;
pub use trim::TRIM_AGE;

/// Lost races after which an update gives up.
pub const UPDATE_TRIES: u32 = 64;

/// Versions that a reader walks from what a listing showed before it lists again.
pub const PROBES: u64 = 256;

/// Versions that a reader walks from what it remembers before it lists.
pub const PROBES_FROM_MEMORY: u64 = 4;

/// Listings of one read.
pub const LISTINGS: u32 = 4;

/// Reads of one version whose checksum does not fit.
pub const DAMAGED_READS: u32 = 8;

/// Bytes of the largest version.
pub const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The longest pause after a lost race.
const RACE_PAUSE: Duration = Duration::from_millis(100);

/// A version of a register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version<T> {
    /// Its number, from 1.
    pub seq: u64,
    /// The value; of a deleted one the last.
    pub value: T,
    /// When it was deleted; nothing comes after that.
    pub deleted_at: Option<Timestamp>,
}

/// A value in the store that changes. Cheap to clone; clones share what they remember.
pub struct Register<T> {
    inner: Arc<Inner<T>>,
}

struct Inner<T> {
    store: Store,
    prefix: Key,
    known: Mutex<Option<Known<T>>>,
    /// Writers of one process wait for each other here instead of racing in the store.
    writing: tokio::sync::Mutex<()>,
}

/// What an update wants.
enum Step<T> {
    Write {
        value: T,
        deleted_at: Option<Timestamp>,
    },
    /// The version is as wanted.
    Keep,
}

impl<T> Clone for Register<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<T> fmt::Debug for Register<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Register").field(&self.inner.prefix).finish()
    }
}

impl<T: Serialize + DeserializeOwned + Clone> Register<T> {
    /// The register whose versions are right below a prefix. Nothing is read yet.
    #[must_use]
    pub fn new(store: &Store, prefix: Key) -> Self {
        let (known, writing) = (Mutex::new(None), tokio::sync::Mutex::new(()));
        Self { inner: Arc::new(Inner { store: store.clone(), prefix, known, writing }) }
    }

    /// Where its versions are.
    #[must_use]
    pub fn prefix(&self) -> &Key {
        &self.inner.prefix
    }

    /// The number and the value now.
    ///
    /// # Errors
    /// [`RegisterError::Missing`], [`RegisterError::Deleted`], or when the store fails.
    pub async fn read(&self) -> Result<(u64, T), RegisterError> {
        let version = self.version().await?;
        match version.deleted_at {
            None => Ok((version.seq, version.value)),
            Some(at) => Err(RegisterError::Deleted { register: self.inner.prefix.clone(), at }),
        }
    }

    /// The newest version, also that of a deleted register.
    ///
    /// # Errors
    /// [`RegisterError::Missing`], or when the store fails.
    pub async fn version(&self) -> Result<Version<T>, RegisterError> {
        self.newest().await.map(|known| known.version)
    }

    /// Whether it was ever made; a deleted one counts.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn exists(&self) -> Result<bool, RegisterError> {
        match self.newest().await {
            Ok(_) => Ok(true),
            Err(RegisterError::Missing(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes the register.
    ///
    /// # Errors
    /// [`RegisterError::Exists`] when it was ever made, or when the store fails.
    pub async fn create_first(&self, value: T) -> Result<(), RegisterError> {
        let exists = || RegisterError::Exists(self.inner.prefix.clone());
        let _alone = self.inner.writing.lock().await;
        // Version 1 of an old register may have been trimmed.
        if !self.inner.store.list(&self.inner.prefix, None).await?.is_empty() {
            return Err(exists());
        }
        self.reach("register.create.before").await?;
        let known = self.write(Version { seq: 1, value, deleted_at: None }).await?;
        self.reach("register.create.after").await?;
        *self.inner.known.lock() = Some(known.ok_or_else(exists)?);
        Ok(())
    }

    /// Changes the value; `change` may be called several times, each time with a newer value. When the
    /// store fails, the change may or may not have been made.
    ///
    /// # Errors
    /// What `change` refuses (of the newest value), or why the register cannot be changed.
    pub async fn update<E>(
        &self,
        mut change: impl FnMut(T) -> Result<T, E>,
    ) -> Result<(u64, T), UpdateError<E>>
    where
        E: std::error::Error + 'static,
    {
        let version = self.advance(|version| match version.deleted_at {
            Some(at) => {
                Err(UpdateError::Register(RegisterError::Deleted { register: self.inner.prefix.clone(), at }))
            }
            None => change(version.value)
                .map(|value| Step::Write { value, deleted_at: None })
                .map_err(UpdateError::Refused),
        });
        version.await.map(|version| (version.seq, version.value))
    }

    /// Deletes the register for good, if `check` does not refuse. Deleting a deleted one is no error. Tells
    /// the last version.
    ///
    /// # Errors
    /// What `check` refuses (of the newest value), or why the register cannot be changed.
    pub async fn delete<E>(
        &self,
        mut check: impl FnMut(&T) -> Result<(), E>,
    ) -> Result<Version<T>, UpdateError<E>>
    where
        E: std::error::Error + 'static,
    {
        self.advance(|version| {
            if version.deleted_at.is_some() {
                return Ok(Step::Keep);
            }
            check(&version.value).map_err(UpdateError::Refused)?;
            Ok(Step::Write { value: version.value, deleted_at: Some(clock::now()) })
        })
        .await
    }

    async fn advance<E>(
        &self,
        mut change: impl FnMut(Version<T>) -> Result<Step<T>, UpdateError<E>>,
    ) -> Result<Version<T>, UpdateError<E>>
    where
        E: std::error::Error + 'static,
    {
        let _alone = self.inner.writing.lock().await;
        let mut remembered = self.remembered();
        for tries in 0..UPDATE_TRIES {
            let certain = remembered.is_none();
            let known = match remembered.take() {
                Some(known) => known,
                None => self.newest().await?,
            };
            let (value, deleted_at) = match change(known.version.clone()) {
                Ok(Step::Write { value, deleted_at }) => (value, deleted_at),
                Ok(Step::Keep) if certain => return Ok(known.version),
                Err(error) if certain => return Err(error),
                // Decided on what was remembered: look again.
                _ => continue,
            };
            self.reach("register.update.before").await?;
            let next = Version { seq: known.version.seq + 1, value, deleted_at };
            let written = self.write(next).await.inspect_err(|_| self.forget())?;
            self.reach("register.update.after").await?;
            match written {
                Some(new) if self.still_follows(&known).await? => {
                    self.remember(&new);
                    return Ok(new.version);
                }
                Some(_) => self.forget(),
                None => pause(tries).await,
            }
        }
        let register = self.inner.prefix.clone();
        Err(RegisterError::Busy { register, tries: UPDATE_TRIES }.into())
    }

    /// Creates a version; `None` when somebody else has.
    async fn write(&self, version: Version<T>) -> Result<Option<Known<T>>, RegisterError> {
        let key = key::register_version(&self.inner.prefix, version.seq);
        let (writer, body) = version::seal(&key, &version)?;
        let (seen, seen_at) = (Mono::now(), clock::now());
        let new = match self.inner.store.create(&key, body).await? {
            Created::New => true,
            // The store compares bytes when an answer got lost; bytes can be damaged on their way too.
            Created::Exists => self.fetch(version.seq).await?.is_some_and(|there| there.writer == writer),
        };
        Ok(new.then_some(Known { version, seen, seen_at }))
    }

    /// Whether a version written after `known` is the newest, and not one in a gap that trimming left: for
    /// a writer that was asleep for very long between reading and writing.
    async fn still_follows(&self, known: &Known<T>) -> Result<bool, RegisterError> {
        Ok(known.is_fresh() || self.fetch(known.version.seq).await?.is_some())
    }

    async fn reach(&self, failpoint: &'static str) -> Result<(), RegisterError> {
        failpoint::hit(failpoint).await.map_err(|error| {
            let (key, source) = (self.inner.prefix.clone(), Arc::new(error));
            RegisterError::Store(StoreError::Failed { what: "write", key, source })
        })
    }
}

/// After a lost race: longer each time, and spread so that the losers do not meet again.
async fn pause(tries: u32) {
    let longest = Duration::from_millis(2).saturating_mul(1 << tries.min(10)).min(RACE_PAUSE);
    let [byte] = rand::bytes::<1>();
    tokio::time::sleep(longest.mul_f64(f64::from(byte) / 255.0)).await;
}
