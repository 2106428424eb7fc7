//! The directory for dumps: made for this run alone, checked for room, removed at the end, also when
//! the end is an error or an interrupt.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Room that is left free, bytes.
const ROOM_LEFT: u64 = 64 << 20;

/// How often removing is tried: a program that was just ended may still write a file.
const TRIES: u32 = 5;

/// Removed when dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes a directory that only this user can read: rows of somebody's tables go there.
    pub(super) fn new(parent: Option<&Path>) -> Result<Self, Error> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let path = parent.join(format!("dormouse-import-{}", dormouse_base::rand::token(12)));
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(|error| {
            Error::failed(format!("cannot make a temporary directory in {}", parent.display()))
                .hint("Name another place with `--temp DIR`.")
                .because(error)
        })?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that a dump of this size fits. Compressed it is smaller, but nobody knows by how much.
    pub(super) fn room_for(&self, bytes: u64) -> Result<(), Error> {
        let stat = rustix::fs::statvfs(&self.path).map_err(|error| {
            Error::failed(format!("cannot look at {}", self.path.display())).because(error)
        })?;
        enough(bytes, stat.f_bavail.saturating_mul(stat.f_frsize), &self.path)
    }
}

fn enough(bytes: u64, free: u64, path: &Path) -> Result<(), Error> {
    let wanted = bytes.saturating_add(ROOM_LEFT);
    if wanted <= free {
        return Ok(());
    }
    let place = path.parent().unwrap_or(path).display();
    Err(Error::failed(format!(
        "a dump may need {} MiB, but {place} has {} MiB free",
        wanted >> 20,
        free >> 20
    ))
    .hint("Name a place with more room with `--temp DIR`, or import one database at a time."))
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for _ in 0..TRIES {
            if fs::remove_dir_all(&self.path).is_ok() || !self.path.exists() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_private_and_goes_away() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(Some(parent.path())).unwrap();
        assert_eq!(fs::metadata(scratch.path()).unwrap().permissions().mode() & 0o777, 0o700);
        fs::create_dir(scratch.path().join("dump")).unwrap();
        drop(scratch);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
        assert!(Scratch::new(Some(Path::new("/nonexistent"))).is_err());
    }

    #[test]
    fn a_dump_must_fit() {
        let at = Path::new("/tmp/x");
        assert!(enough(10 << 20, 100 << 20, at).is_ok());
        let report = enough(50 << 20, 100 << 20, at).unwrap_err().report().to_string();
        assert!(report.contains("114 MiB") && report.contains("--temp"), "{report}");
    }
}
