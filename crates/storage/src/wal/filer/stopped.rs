//! Why a filer does not file at the moment.

use std::io;

use crate::object::StoreError;
use crate::wal::source::SourceError;
use crate::wal::source::tap::TapError;

/// Why filing stopped for now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stopped {
    #[error("the store")]
    Store(#[source] StoreError),
    #[error("the source")]
    Source(#[source] SourceError),
    #[error("stopped by a failpoint")]
    Failpoint(#[source] io::Error),
    #[error("the next WAL is gone, and a listing may not show yet that the store has it")]
    StaleList,
    #[error("the compute's WAL is not the one that was filed")]
    Diverged,
}

impl Stopped {
    /// The compute could not be asked at all.
    pub(super) fn is_no_answer(&self) -> bool {
        matches!(self, Self::Source(SourceError::Tap(TapError::Connect(_))))
    }
}
