//! Why a register cannot be read or changed.

use dormouse_base::Timestamp;

use crate::key::Key;
use crate::object::StoreError;

/// A register cannot be read or changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegisterError {
    /// It was never made.
    #[error("there is no register {0}")]
    Missing(Key),
    /// It exists already.
    #[error("the register {0} exists already")]
    Exists(Key),
    /// It was deleted, for good.
    #[error("{register} was deleted at {at}")]
    Deleted {
        /// The register.
        register: Key,
        /// When.
        at: Timestamp,
    },
    /// Others were faster, again and again.
    #[error("too many writers at once: gave up on {register} after {tries} tries")]
    Busy {
        /// The register.
        register: Key,
        /// Tries.
        tries: u32,
    },
    /// What is stored is not what was written.
    #[error("{key} is damaged: {reason}; run `dormouse fsck`")]
    Damaged {
        /// The version.
        key: Key,
        /// What does not fit.
        reason: String,
    },
    /// A newer Dormouse wrote it.
    #[error(
        "{key} has format {found}, and this version of Dormouse understands up to {known}: upgrade Dormouse"
    )]
    Newer {
        /// The version.
        key: Key,
        /// Its format.
        found: u64,
        /// The newest that this program understands.
        known: u32,
    },
    /// The value has grown too large.
    #[error("{key} would have {bytes} bytes, more than the {limit} that are allowed")]
    TooLarge {
        /// The version.
        key: Key,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An update was not made.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError<E: std::error::Error + 'static> {
    /// The change itself was refused.
    #[error(transparent)]
    Refused(E),
    /// The register.
    #[error(transparent)]
    Register(#[from] RegisterError),
}
