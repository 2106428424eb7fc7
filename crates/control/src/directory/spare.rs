//! Spares: copies of a template that wait to become an endpoint's cluster.
//!
//! Making one takes a copy and a `syncfs`, taking one a rename. A wake never waits for a copy that is being made, so
//! taking needs no lock: of two that want the same one, the rename decides, and the other takes the next.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Directories, DirectoryError, clone, failed, remove, sync_dir};

/// The most spares of one version that are ever kept.
pub const MAX_SPARES: usize = 8;

impl Directories {
    fn spare_path(&self, major: u16, number: usize) -> PathBuf {
        self.inner.templates.join(format!("spare-{major}-{number}"))
    }

    /// The finished spares of a version.
    #[must_use]
    pub fn spares(&self, major: u16) -> Vec<PathBuf> {
        let all = (1..=MAX_SPARES).map(|n| self.spare_path(major, n));
        all.filter(|path| path.join("PG_VERSION").is_file()).collect()
    }

    /// Makes one more spare when there are fewer than `wanted`. Tells whether it made one.
    ///
    /// # Errors
    /// When the copy fails, for example on a full disk.
    pub fn add_spare(&self, major: u16, wanted: usize) -> Result<bool, DirectoryError> {
        let _one_at_a_time = self.inner.making.lock();
        if self.spares(major).len() >= wanted.min(MAX_SPARES) {
            return Ok(false);
        }
        let template = self.template_locked(major)?;
        let Some(free) =
            (1..=MAX_SPARES).map(|n| self.spare_path(major, n)).find(|p| !p.join("PG_VERSION").is_file())
        else {
            return Ok(false);
        };
        remove(&free)?;
        let draft = self.draft(&format!("spare-{major}-"))?;
        clone::tree(&template, &draft)?;
        clone::sync(&draft)?;
        fs::rename(&draft, &free).map_err(failed("place", &free))?;
        sync_dir(&self.inner.templates)?;
        Ok(true)
    }

    /// Moves a spare to `target`, if there is one.
    pub(super) fn take_spare(&self, major: u16, target: &Path) -> Result<bool, DirectoryError> {
        for spare in self.spares(major).into_iter().rev() {
            match fs::rename(&spare, target) {
                Ok(()) => {}
                // Somebody else was quicker.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed("take", &spare)(error)),
            }
            // Before anything in it is changed: a spare that is found after the loss of power is as it was made.
            sync_dir(&self.inner.templates)?;
            return Ok(true);
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_taken_once_and_nobody_waits_for_one_that_is_being_made() {
        let dir = tempfile::tempdir().unwrap();
        let directories = Directories::for_test(dir.path());
        for number in 1..=5 {
            let spare = directories.spare_path(18, number);
            fs::create_dir(&spare).unwrap();
            fs::write(spare.join("PG_VERSION"), "18\n").unwrap();
            fs::write(spare.join("number"), number.to_string()).unwrap();
        }
        let template = directories.inner.templates.join("18/data");
        fs::create_dir_all(&template).unwrap();
        fs::write(template.join("PG_VERSION"), "18\n").unwrap();
        let _being_made = directories.inner.making.lock();
        assert_eq!(directories.template(18).unwrap(), template, "a template that exists is not waited for");
        let homes: Vec<_> = (0..8).map(|n| dir.path().join(format!("home-{n}"))).collect();
        let taken: Vec<bool> = std::thread::scope(|scope| {
            let take = |home: &Path| directories.spare_to(home, &home.join("data.new"), 18).unwrap();
            let takers: Vec<_> = homes.iter().map(|home| scope.spawn(move || take(home))).collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).collect()
        });
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 5);
        let mut numbers: Vec<_> =
            homes.iter().filter_map(|home| fs::read_to_string(home.join("data.new/number")).ok()).collect();
        numbers.sort();
        assert_eq!(numbers, ["1", "2", "3", "4", "5"]);
        assert!(directories.spares(18).is_empty());
    }
}
