//! What can go wrong with a store, and which of it is worth another try.
//!
//! Backends tell most things as text inside one "generic" error, so [`Cause::verdict`] looks for what it
//! knows and calls everything else transient: trying in vain costs seconds, giving up too early costs a
//! user's request.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::key::Key;

/// The store did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No such object.
    #[error("{0} is not in the store")]
    NotFound(Key),
    /// The store is full (a directory on a full disk, or a quota).
    #[error("the store is full: cannot write {key}; make room, then try again")]
    Full {
        /// What was written.
        key: Key,
        /// The cause.
        #[source]
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// The bucket itself does not exist (any more).
    #[error("the store's bucket or container does not exist: cannot {what} {key}")]
    NoBucket {
        /// What was tried: `read`, `write`, `list`, `delete`.
        what: &'static str,
        /// The object, or the beginning of what was listed.
        key: Key,
        /// The cause.
        #[source]
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// The store knows us not, or does not let us.
    #[error("the store does not allow to {what} {key}: check the credentials and what they may do")]
    Denied {
        /// What was tried: `read`, `write`, `list`, `delete`.
        what: &'static str,
        /// The object, or the beginning of what was listed.
        key: Key,
        /// The cause.
        #[source]
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// Anything else, after all retries.
    #[error("cannot {what} {key} in the store")]
    Failed {
        /// What was tried: `read`, `write`, `list`, `delete`.
        what: &'static str,
        /// The object, or the beginning of what was listed.
        key: Key,
        /// The cause.
        #[source]
        source: Arc<dyn StdError + Send + Sync>,
    },
}

impl StoreError {
    /// Whether it says that the object does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound(_))
    }
}

/// A store could not be opened. None of the texts shows a secret.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is not one of a store.
    #[error("`{url}` is not the address of a store: {reason}")]
    Address {
        /// The address without secrets.
        url: String,
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// The settings of the environment do not fit.
    #[error("cannot set up the store {url}: check the {variables} variables of the environment")]
    Settings {
        /// The address.
        url: String,
        /// How the variables begin that are read for this kind of store.
        variables: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A directory cannot be used.
    #[error("cannot use the directory {path} as a store")]
    Directory {
        /// The directory.
        path: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// `DORMOUSE_STORE_FAULTS` cannot be understood.
    #[error("cannot understand {variable}: {reason}")]
    Faults {
        /// The variable.
        variable: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Somebody else's objects are there.
    #[error(
        "{url} holds objects that Dormouse did not write (such as `{found}`): give it an empty bucket, directory or prefix"
    )]
    Foreign {
        /// The address.
        url: String,
        /// A key that is there.
        found: String,
    },
    /// A newer Dormouse wrote it.
    #[error(
        "{url} has format {found}, and this version of Dormouse understands up to {known}: upgrade Dormouse"
    )]
    Newer {
        /// The address.
        url: String,
        /// The store's format.
        found: u64,
        /// The newest that this program understands.
        known: u32,
    },
    /// Opened for reading, and there is nothing.
    #[error("{0} holds no Dormouse store: check the address")]
    Absent(String),
    /// There is nothing, and the server's metadata belongs to a store.
    #[error(
        "{0} holds no Dormouse store, and the metadata in the data directory belongs to one: mount it, or check the address (--store). Who wants to begin anew names a new data directory (--data)"
    )]
    Gone(String),
    /// There is a store, and the server's metadata belongs to another one.
    #[error(
        "{url} is the Dormouse store {found}, and the metadata in the data directory belongs to the store {expected}: check the address (--store), and what is mounted there. A server for this store needs a data directory of its own (`dormouse recover` makes one)"
    )]
    Other {
        /// The address.
        url: String,
        /// The ID of the store that is there.
        found: String,
        /// The ID of the one that belongs there.
        expected: String,
    },
    /// The bucket does not exist.
    #[error("{url} does not exist: create the bucket, or check its name and the region")]
    NoBucket {
        /// The address.
        url: String,
        /// The cause.
        #[source]
        source: StoreError,
    },
    /// The store does not answer as it should.
    #[error("cannot open the store {url}")]
    Store {
        /// The address.
        url: String,
        /// The cause.
        #[source]
        source: StoreError,
    },
}

/// Why one attempt failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    /// The backend says so.
    #[error(transparent)]
    Backend(object_store::Error),
    /// The connection ended early.
    #[error("the store announced {announced} bytes and sent {got}")]
    Short { announced: u64, got: u64 },
    /// Nothing came in time.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// The object is shorter than what was asked for.
    #[error("asked for bytes up to {wanted}, and the object ends at {end}")]
    Beyond { wanted: u64, end: u64 },
    /// A test wants it to fail.
    #[error(transparent)]
    Failpoint(io::Error),
}

/// What follows from a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Again,
    NotFound,
    NoBucket,
    Exists,
    Full,
    Denied,
    /// The backend has no such operation.
    Unsupported,
    Never,
}

/// What S3 answers to a conditional write that meets another one; it has decided nothing.
const UNDECIDED: &str = "ConditionalRequestConflict";

impl Cause {
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::Short { .. } | Self::Late(_) => Verdict::Again,
            Self::Beyond { .. } | Self::Failpoint(_) => Verdict::Never,
            Self::Backend(error) => of_backend(error),
        }
    }

    /// The error of the whole operation.
    pub(super) fn into_error(self, what: &'static str, key: &Key) -> StoreError {
        let key = key.clone();
        match self.verdict() {
            Verdict::NotFound => StoreError::NotFound(key),
            Verdict::Full => StoreError::Full { key, source: Arc::new(self) },
            Verdict::NoBucket => StoreError::NoBucket { what, key, source: Arc::new(self) },
            Verdict::Denied => StoreError::Denied { what, key, source: Arc::new(self) },
            _ => StoreError::Failed { what, key, source: Arc::new(self) },
        }
    }
}

fn of_backend(error: &object_store::Error) -> Verdict {
    use object_store::Error;
    match error {
        // A missing bucket must not pass for a missing object: "there is no next version" is an answer.
        Error::NotFound { .. } if no_bucket(&error.to_string()) => Verdict::NoBucket,
        Error::NotFound { .. } => Verdict::NotFound,
        Error::AlreadyExists { .. } if error.to_string().contains(UNDECIDED) => Verdict::Again,
        Error::AlreadyExists { .. } | Error::Precondition { .. } => Verdict::Exists,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Verdict::Denied,
        Error::NotImplemented { .. } | Error::NotSupported { .. } => Verdict::Unsupported,
        Error::Generic { store, .. } => of_generic(store, error),
        Error::JoinError { .. } => Verdict::Again,
        _ => Verdict::Never,
    }
}

fn of_generic(store: &str, error: &object_store::Error) -> Verdict {
    if let Some(io) = io_cause(error) {
        use io::ErrorKind;
        match io.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => return Verdict::Full,
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem if is_link(io) => {
                return Verdict::Unsupported;
            }
            ErrorKind::Unsupported => return Verdict::Unsupported,
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => return Verdict::Denied,
            _ if store == "LocalFileSystem" && is_passing(io) => return Verdict::Again,
            _ => {}
        }
    }
    let text = error.to_string();
    match status(&text) {
        Some(404) if no_bucket(&text) => Verdict::NoBucket,
        Some(401 | 403) => Verdict::Denied,
        // 507 is WebDAV's "insufficient storage".
        Some(507) => Verdict::Full,
        Some(405 | 501) => Verdict::Unsupported,
        Some(408 | 425 | 429) => Verdict::Again,
        Some(400..=499) => Verdict::Never,
        // A range behind the end.
        None if store == "InMemory" || store == "LocalFileSystem" => Verdict::Never,
        _ => Verdict::Again,
    }
}

/// `EPERM` is what a file system without hard links answers to `link`.
fn is_link(io: &io::Error) -> bool {
    io.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error())
}

/// Whether trying the same on a directory again can help: too many open files, a network file system.
fn is_passing(io: &io::Error) -> bool {
    use rustix::io::Errno;
    let passing = [Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::INTR, Errno::STALE, Errno::TIMEDOUT];
    io.raw_os_error().is_some_and(|raw| passing.iter().any(|errno| errno.raw_os_error() == raw))
}

fn io_cause(error: &object_store::Error) -> Option<&io::Error> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io);
        }
        next = error.source();
    }
    None
}

/// The codes of S3 (and Google's XML) and of Azure.
fn no_bucket(text: &str) -> bool {
    text.contains("NoSuchBucket") || text.contains("ContainerNotFound")
}

/// The HTTP status in the text of an error: the type that carries it is private to the backend's crate.
fn status(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(kind: io::Error) -> Verdict {
        Cause::Backend(object_store::Error::Generic { store: "LocalFileSystem", source: Box::new(kind) })
            .verdict()
    }

    fn http(text: &str) -> Verdict {
        Cause::Backend(object_store::Error::Generic { store: "S3", source: text.into() }).verdict()
    }

    #[test]
    fn verdicts() {
        use rustix::io::Errno;
        let raw = |errno: Errno| local(io::Error::from_raw_os_error(errno.raw_os_error()));
        assert_eq!(raw(Errno::NOSPC), Verdict::Full);
        assert_eq!(raw(Errno::DQUOT), Verdict::Full);
        assert_eq!(raw(Errno::ACCESS), Verdict::Denied);
        assert_eq!(raw(Errno::PERM), Verdict::Unsupported);
        assert_eq!(raw(Errno::IO), Verdict::Never);
        assert_eq!(raw(Errno::MFILE), Verdict::Again);
        assert_eq!(http("Server returned non-2xx status code: 503 Service Unavailable"), Verdict::Again);
        assert_eq!(http("Server returned non-2xx status code: 400 Bad Request"), Verdict::Never);
        assert_eq!(http("non-2xx status code: 404 Not Found: <Code>NoSuchBucket</Code>"), Verdict::NoBucket);
        assert_eq!(http("non-2xx status code: 403 Forbidden"), Verdict::Denied);
        assert_eq!(http("Server returned non-2xx status code: 429 Too Many"), Verdict::Again);
        assert_eq!(http("HTTP error: error sending request"), Verdict::Again);
        let conflict = |text: &str| {
            let source = text.to_owned().into();
            Cause::Backend(object_store::Error::AlreadyExists { path: String::new(), source }).verdict()
        };
        assert_eq!(conflict("<Code>ConditionalRequestConflict</Code>"), Verdict::Again);
        assert_eq!(conflict("<Code>PreconditionFailed</Code>"), Verdict::Exists);
    }
}
