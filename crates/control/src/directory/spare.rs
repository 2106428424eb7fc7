//! Spares: copies of a template that wait to become an endpoint's cluster.

use std::fs;
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
        let draft = free.with_extension("new");
        remove(&draft)?;
        remove(&free)?;
        clone::tree(&template, &draft)?;
        clone::sync(&draft)?;
        fs::rename(&draft, &free).map_err(failed("place", &free))?;
        sync_dir(&self.inner.templates)?;
        Ok(true)
    }

    /// Moves a spare to `target`, if there is one. Call it with the lock held.
    pub(super) fn take_spare(&self, major: u16, target: &Path) -> Result<bool, DirectoryError> {
        let Some(spare) = self.spares(major).pop() else { return Ok(false) };
        fs::rename(&spare, target).map_err(failed("take", &spare))?;
        sync_dir(&self.inner.templates)?;
        Ok(true)
    }
}
