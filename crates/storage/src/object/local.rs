//! A store that is a directory: durable, atomic, and clean after a crash.
//!
//! The backend writes `<name>#<n>` beside the place, syncs it, links (create) or renames (put) it to its
//! name and syncs the directory, so an object is there completely or not at all, and once acknowledged it
//! survives a loss of power. What a crash leaves behind are `#` files; no listing shows them, and
//! [`Store::sweep_leftovers`] removes them. That the path leads to this directory, and not to what came in its
//! place, is asked in [`super::root`].

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::{Timestamp, clock};
use dormouse_runtime::spread;
use dormouse_runtime::task::blocking;
use object_store::local::LocalFileSystem;

use super::root::{Root, Rooted};
use super::store::Store;
use crate::key;

/// A leftover younger than this may be a write under way.
pub(super) const LEFTOVER_AGE: Duration = Duration::from_secs(3600);

/// Only the owner may look into a new store.
const MODE: u32 = 0o700;

/// Opens a directory as a backend, which somebody `writes` to; `make` it when it does not exist.
pub(super) async fn open(path: PathBuf, writes: bool, make: bool) -> io::Result<(Rooted, Arc<Root>)> {
    blocking(move || {
        let projects = path.join(key::projects().as_str());
        if make && !path.exists() {
            fs::DirBuilder::new().recursive(true).mode(MODE).create(&projects)?;
            // Who writes below it later finds it there, and makes only what is new durable.
            fs::File::open(&path)?.sync_all()?;
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                fs::File::open(parent)?.sync_all()?;
            }
        }
        let path = path.canonicalize()?;
        if writes {
            spread::children_of(&projects);
        }
        let backend = LocalFileSystem::new_with_prefix(&path).map_err(io::Error::other)?;
        let root = Arc::new(Root::open(path)?);
        Ok((Rooted::new(backend.with_fsync(true), Arc::clone(&root)), root))
    })
    .await
}

/// Whether the backend made this name for a write under way.
fn is_staged(name: &str) -> bool {
    let number = name.rsplit_once('#').map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

impl Store {
    /// Removes what writes that a crash interrupted left in a directory store; tells how many files.
    /// Other kinds of stores keep none. Part of the garbage collection's round.
    ///
    /// # Errors
    /// When the directory cannot be read, or a file not removed.
    pub async fn sweep_leftovers(&self) -> io::Result<u64> {
        self.sweep_older_than(LEFTOVER_AGE).await
    }

    pub(super) async fn sweep_older_than(&self, age: Duration) -> io::Result<u64> {
        let Some(root) = self.root().cloned() else { return Ok(0) };
        let limit = clock::now() - age;
        blocking(move || {
            root.check().map_err(io::Error::other)?;
            sweep(root.path(), limit)
        })
        .await
    }
}

fn sweep(directory: &Path, limit: Timestamp) -> io::Result<u64> {
    let mut removed = 0;
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() && is_staged(&entry.file_name().to_string_lossy()) {
                removed += u64::from(remove_old(&entry, limit)?);
            }
        }
    }
    Ok(removed)
}

fn remove_old(entry: &fs::DirEntry, limit: Timestamp) -> io::Result<bool> {
    let gone =
        |error: io::Error| if error.kind() == io::ErrorKind::NotFound { Ok(false) } else { Err(error) };
    let modified = match entry.metadata().and_then(|metadata| metadata.modified()) {
        Ok(modified) => modified,
        Err(error) => return gone(error),
    };
    if Timestamp::try_from(modified).is_ok_and(|modified| modified > limit) {
        return Ok(false);
    }
    dormouse_runtime::failpoint::hit_blocking("store.sweep.remove")?;
    fs::remove_file(entry.path()).map(|()| true).or_else(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_backend_syncs_what_it_writes() {
        let dir = tempfile::tempdir().unwrap();
        let (backend, _) = open(dir.path().join("new"), true, true).await.unwrap();
        // Nothing short of cutting the power shows it; at least it was asked for.
        assert!(format!("{backend:?}").contains("fsync: true"), "{backend:?}");
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(dir.path().join("new")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
    }

    #[test]
    fn only_names_of_writes_under_way_are_swept() {
        for (name, staged) in
            [("k#1", true), ("k#123", true), ("k", false), ("k#", false), ("#k", false), ("k#1a", false)]
        {
            assert_eq!(is_staged(name), staged, "{name}");
        }
    }
}
