//! What goes wrong between a node and its store, and what a caller sees of it.

use std::io;
use std::path::{Path, PathBuf};

use dormouse_base::{BranchId, Epoch, Kind, with_causes};
use dormouse_compute::host::HostError;
use dormouse_storage::StoreError;
use dormouse_storage::branch::line::LineError;
use dormouse_storage::branch::register::RegisterError;
use dormouse_storage::pack::DataError;
use dormouse_storage::snapshot::SnapshotError;
use dormouse_storage::wal::read::ReadError;

use crate::directory::DirectoryError;
use crate::vault::VaultError;

/// A boxed cause.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The server is still starting.
    #[error("the server is still starting")]
    NotYet,
    /// A file operation.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A directory that PostgreSQL could not start on either.
    #[error("the directory {} is damaged: `dormouse endpoint set-aside` has it made again from the store", path.display())]
    Damaged {
        /// Where.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A directory.
    #[error(transparent)]
    Directory(DirectoryError),
    /// The store.
    #[error("cannot {what}")]
    Store {
        /// What was tried.
        what: &'static str,
        /// The cause.
        #[source]
        source: StoreError,
    },
    /// A register.
    #[error("cannot use the register of the branch")]
    Register(#[source] RegisterError),
    /// A point that cannot be made.
    #[error(transparent)]
    Line(LineError),
    /// Another writer has taken the branch over.
    #[error("another writer (epoch {found}) has taken over branch {branch}; this one knew {known}")]
    Stale {
        /// The branch.
        branch: BranchId,
        /// The epoch in the register.
        found: Epoch,
        /// The one that this node knew.
        known: Epoch,
    },
    /// A point before the history that is kept.
    #[error("{0}")]
    Window(String),
    /// A moment that has not come.
    #[error("{0}")]
    Ahead(String),
    /// A point up to which WAL is missing.
    #[error("{0}")]
    Hole(String),
    /// The endpoint does something that stands in the way.
    #[error("{0}")]
    Busy(String),
    /// Something that others wait for takes too long; mostly it waits for the store.
    #[error("cannot {0} in time: the store may be away")]
    Late(&'static str),
    /// There is nothing to do it with.
    #[error("{0}")]
    Nothing(String),
    /// A part of storage failed.
    #[error("cannot {what}")]
    Part {
        /// What was tried.
        what: &'static str,
        /// The disk or the store is full.
        full: bool,
        /// The cause.
        #[source]
        source: Cause,
    },
}

impl NodeError {
    /// For `map_err` of a file operation.
    pub(crate) fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { what, path, source }
    }

    /// For `map_err` of a part of storage.
    pub(crate) fn part<E: std::error::Error + Send + Sync + 'static>(
        what: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |error| {
            let source: Cause = Box::new(error);
            Self::Part { what, full: says_full(source.as_ref()), source }
        }
    }

    /// Whether the cluster has a tablespace, of which the store can have nothing.
    #[must_use]
    pub fn is_of_tablespace(&self) -> bool {
        let is_it = |error: &(dyn std::error::Error + 'static)| {
            matches!(error.downcast_ref(), Some(SnapshotError::Tablespace { .. }))
        };
        matches!(self, Self::Part { source, .. } if is_it(source.as_ref()))
    }

    /// Whether it is the object store that failed, or what is in it.
    #[must_use]
    pub fn is_of_store(&self) -> bool {
        matches!(self, Self::Stale { .. } | Self::Late(_)) || says_store(self)
    }

    /// Whether a disk or a store is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Part { full, .. } => *full,
            Self::Directory(error) => error.is_disk_full(),
            Self::File { .. } | Self::Store { .. } | Self::Register(_) => says_full(self),
            _ => false,
        }
    }
}

/// Whether one of the causes is the object store, or damage in it.
fn says_store(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        error.is::<StoreError>() || error.is::<DataError>() || is_bad_register(error) || is_bad_wal(error)
    })
}

/// A register passes the store's error on as its own, so it is not among the causes.
fn is_bad_register(error: &(dyn std::error::Error + 'static)) -> bool {
    use RegisterError::{Busy, Damaged, Newer, Store};
    matches!(error.downcast_ref(), Some(Store(_) | Busy { .. } | Damaged { .. } | Newer { .. }))
}

fn is_bad_wal(error: &(dyn std::error::Error + 'static)) -> bool {
    use ReadError::{Invalid, Missing, Piece};
    matches!(error.downcast_ref(), Some(Piece { .. } | Missing { .. } | Invalid { .. }))
}

/// Whether one of the causes is a full disk or store.
fn says_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut at = Some(error);
    while let Some(error) = at {
        let of_register = match error.downcast_ref() {
            Some(RegisterError::Store(error)) => Some(error),
            _ => None,
        };
        if matches!(of_register.or_else(|| error.downcast_ref()), Some(StoreError::Full { .. })) {
            return true;
        }
        let full =
            |e: &io::Error| matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        if error.downcast_ref::<io::Error>().is_some_and(full) {
            return true;
        }
        at = error.source();
    }
    false
}

impl From<NodeError> for HostError {
    fn from(error: NodeError) -> Self {
        let (disk_full, storage) = (error.is_full(), error.is_of_store());
        HostError { what: error.to_string(), disk_full, storage, source: Some(Box::new(error)) }
    }
}

impl From<NodeError> for VaultError {
    fn from(error: NodeError) -> Self {
        let (kind, code) = match &error {
            NodeError::Line(LineError::Forgotten { .. }) | NodeError::Window(_) => {
                (Kind::Invalid, "history-window")
            }
            NodeError::Line(LineError::Ahead { .. }) | NodeError::Ahead(_) => (Kind::Invalid, "point-ahead"),
            NodeError::Hole(_) => (Kind::Invalid, "history-hole"),
            NodeError::Busy(_) => (Kind::Conflict, "endpoint-state"),
            NodeError::Nothing(_) => (Kind::NotFound, "nothing-to-store"),
            NodeError::Stale { .. } => (Kind::Conflict, "branch-taken-over"),
            NodeError::Damaged { .. } => (Kind::Conflict, "directory-damaged"),
            NodeError::NotYet => (Kind::Unavailable, "storage-unavailable"),
            NodeError::Register(RegisterError::Missing(_) | RegisterError::Deleted { .. }) => {
                (Kind::NotFound, "branch-not-in-store")
            }
            error if error.is_of_tablespace() => (Kind::Conflict, "tablespace"),
            error if error.is_full() => (Kind::Unavailable, "storage-full"),
            _ => (Kind::Unavailable, "storage-unavailable"),
        };
        tracing::warn!(code, error = &error as &dyn std::error::Error, "storage");
        // The object names and paths in the causes are the operator's own.
        Self { kind, code, message: with_causes(&error) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dormouse_storage::key::Key;

    use super::*;

    #[test]
    fn the_store_is_recognised_behind_a_register() {
        let key: Key = dormouse_storage::key::templates();
        let cause = || Arc::new(io::Error::other("away"));
        let away = StoreError::Failed { what: "read", key: key.clone(), source: cause() };
        let away = NodeError::Register(RegisterError::Store(away));
        assert!(away.is_of_store() && !away.is_full(), "{away:?}");
        let full =
            NodeError::Register(RegisterError::Store(StoreError::Full { key: key.clone(), source: cause() }));
        assert!(full.is_full(), "{full:?}");
        assert!(!NodeError::Register(RegisterError::Missing(key)).is_of_store());
        assert!(HostError::from(away).storage);
    }
}
