//! What a server needs of the file system and the process limits.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dormouse_base::rand;
use dormouse_compute::fleet::MAX_RUN_ROOT;
use dormouse_compute::sandbox::identity::Identities;
use rustix::fs::FlockOperation;
use rustix::process::{Resource, Rlimit};

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
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
    /// Another server runs on it.
    #[error("another dormouse server runs on {}: stop it, or give this one another --data", .0.display())]
    InUse(PathBuf),
    /// It holds something else.
    #[error("{} is not empty and not a data directory of Dormouse: name a new one with --data", .0.display())]
    NotOurs(PathBuf),
    /// Other users cannot get to it.
    #[error(
        "computes run as a user of their own, who may not pass through {} (mode {mode:03o}): allow it with `chmod o+x {}`, or keep the data elsewhere, such as in /var/lib/dormouse/data",
        path.display(), path.display()
    )]
    Closed {
        /// The directory in the way.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// The data directory, held by this server alone.
#[derive(Debug)]
pub struct Place {
    /// Without links and dots.
    pub data: PathBuf,
    /// `None` as long as another server holds it.
    lock: Option<OwnedFd>,
}

impl Place {
    /// Makes and locks the data directory.
    ///
    /// # Errors
    /// When it cannot be made, or another server holds it.
    pub fn take(data: &Path) -> Result<Self, PlaceError> {
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| PlaceError::File { what, path, source }
        };
        fs::create_dir_all(data).map_err(failed("create", data))?;
        let path = data.join("lock");
        // Own price sheets may be put there before the first start.
        let foreign = |entry: io::Result<fs::DirEntry>| {
            entry.is_ok_and(|entry| entry.file_name() != crate::prices::DIRECTORY)
        };
        let in_use_by_others = fs::read_dir(data).map_err(failed("list", data))?.any(foreign);
        if in_use_by_others && !path.exists() {
            // Making /tmp or somebody's home ours would change its mode.
            return Err(PlaceError::NotOurs(data.to_owned()));
        }
        let data = data.canonicalize().map_err(failed("find", data))?;
        // Computes pass through it to their own directories; they cannot list it.
        fs::set_permissions(&data, fs::Permissions::from_mode(0o711)).map_err(failed("protect", &data))?;
        let path = data.join("lock");
        let lock = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed("open", &path))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { data, lock: Some(lock.into()) }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(PlaceError::InUse(data)),
            Err(error) => Err(failed("lock", &path)(error.into())),
        }
    }

    /// The data directory of a server that runs, to prepare for taking over from it.
    ///
    /// # Errors
    /// When it is not there.
    pub fn of_another(data: &Path) -> Result<Self, PlaceError> {
        let failed = |source| PlaceError::File { what: "find", path: data.to_owned(), source };
        Ok(Self { data: data.canonicalize().map_err(failed)?, lock: None })
    }

    /// The other server gives its lock away.
    ///
    /// # Errors
    /// When it is the lock of something else.
    pub fn own(self, lock: OwnedFd) -> Result<Self, PlaceError> {
        let path = self.data.join("lock");
        let failed = |what| {
            let path = path.clone();
            move |source| PlaceError::File { what, path, source }
        };
        let (ours, given) = (fs::metadata(&path), rustix::fs::fstat(&lock));
        let ours = ours.map_err(failed("look at"))?;
        let given = given.map_err(|error| failed("look at")(error.into()))?;
        if (ours.dev(), ours.ino()) != (given.st_dev, given.st_ino) {
            return Err(PlaceError::InUse(self.data));
        }
        Ok(Self { lock: Some(lock), ..self })
    }

    /// Its lock, for a server that takes over. It holds as long as anybody has it.
    #[must_use]
    pub fn lock(&self) -> Option<BorrowedFd<'_>> {
        self.lock.as_ref().map(AsFd::as_fd)
    }

    /// Checks that computes can get to their directories.
    ///
    /// # Errors
    /// The first directory in the way.
    pub fn check_passable(&self, identities: Identities) -> Result<(), PlaceError> {
        match blocked_by(&self.data) {
            Some((path, mode)) if !identities.template().is_current() => {
                Err(PlaceError::Closed { path, mode })
            }
            _ => Ok(()),
        }
    }

    /// A short directory for sockets: below the data where the path allows it.
    #[must_use]
    pub fn run_root(&self) -> PathBuf {
        let usual = self.data.join("run");
        if usual.as_os_str().len() <= MAX_RUN_ROOT {
            return usual;
        }
        let mut hasher = DefaultHasher::new();
        self.data.hash(&mut hasher);
        let base = if rustix::process::geteuid().is_root() { "/run".into() } else { std::env::temp_dir() };
        base.join(format!("dormouse-{:016x}", hasher.finish()))
    }

    /// A secret of this installation that stays the same: the proxy derives made-up salts from it.
    ///
    /// # Errors
    /// When the file cannot be read or made.
    pub fn proxy_secret(&self) -> Result<Vec<u8>, PlaceError> {
        let path = self.data.join("proxy.key");
        let failed = |what| {
            let path = path.clone();
            move |source| PlaceError::File { what, path, source }
        };
        match fs::read(&path) {
            Ok(secret) if !secret.is_empty() => return Ok(secret),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("read")(error)),
            _ => {}
        }
        let secret = rand::bytes::<32>().to_vec();
        let open = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        open.and_then(|mut file| file.write_all(&secret)).map_err(failed("write"))?;
        Ok(secret)
    }

    /// Tells this server's cgroups from another's.
    #[must_use]
    pub fn instance(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.data.hash(&mut hasher);
        format!("{:08x}", hasher.finish() as u32)
    }
}

/// The first directory on the way that others may not pass through.
#[must_use]
pub fn blocked_by(path: &Path) -> Option<(PathBuf, u32)> {
    let mut ancestors: Vec<&Path> = path.ancestors().collect();
    ancestors.reverse();
    ancestors.into_iter().find_map(|dir| {
        let mode = fs::metadata(dir).ok()?.mode() & 0o777;
        (mode & 0o001 == 0).then(|| (dir.to_owned(), mode))
    })
}

/// A client and its backend take a descriptor each; the usual limit of 1024 would be reached by 500.
pub fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let first = Place::take(dir.path()).unwrap();
        assert!(matches!(Place::take(dir.path()), Err(PlaceError::InUse(_))));
        drop(first);
        Place::take(dir.path()).unwrap();
        let prepared = tempfile::tempdir().unwrap();
        fs::create_dir(prepared.path().join(crate::prices::DIRECTORY)).unwrap();
        Place::take(prepared.path()).unwrap();
    }

    #[test]
    fn somebody_elses_directory_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("holiday.jpg"), "x").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(Place::take(dir.path()), Err(PlaceError::NotOurs(_))));
        assert_eq!(fs::metadata(dir.path()).unwrap().mode() & 0o777, 0o750);
    }

    #[test]
    fn a_closed_parent_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let below = dir.path().join("data");
        fs::create_dir(&below).unwrap();
        assert_eq!(blocked_by(&below).unwrap().0, dir.path());
    }

    #[test]
    fn a_long_path_gets_a_short_socket_directory() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::take(&dir.path().join("x".repeat(90))).unwrap();
        assert!(place.run_root().as_os_str().len() <= MAX_RUN_ROOT);
    }
}
