//! Templates: one pristine, cleanly stopped cluster for each major version.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use dormouse_compute::template::{self, Seed};

use super::{Directories, DirectoryError, clone, failed, remove, sync_dir};
use crate::model::defaults;

impl Directories {
    /// The template of a version, built when it does not exist yet (1–2 s).
    ///
    /// # Errors
    /// When the version is not installed or PostgreSQL's programs fail.
    pub fn template(&self, major: u16) -> Result<PathBuf, DirectoryError> {
        let _one_at_a_time = self.inner.making.lock();
        self.template_locked(major)
    }

    /// Whether the template of a version exists.
    #[must_use]
    pub fn has_template(&self, major: u16) -> bool {
        self.template_path(major).join("data").join("PG_VERSION").is_file()
    }

    fn template_path(&self, major: u16) -> PathBuf {
        self.inner.templates.join(major.to_string())
    }

    pub(super) fn template_locked(&self, major: u16) -> Result<PathBuf, DirectoryError> {
        let place = self.template_path(major);
        let data = place.join("data");
        if data.join("PG_VERSION").is_file() {
            return Ok(data);
        }
        let install = self.installation(major)?;
        // A directory of the server's own around the cluster keeps the name free for the rename,
        // and the cluster's user needs only to pass through it.
        let draft = self.inner.templates.join(format!("{major}.new"));
        remove(&draft)?;
        remove(&place)?;
        fs::DirBuilder::new().mode(0o711).create(&draft).map_err(failed("create", &draft))?;
        let seed =
            Seed { owner: defaults::TEMPLATE_OWNER.to_owned(), database: defaults::DATABASE.to_owned() };
        let identity = self.inner.identities.template();
        template::build(install, &identity, &draft.join("data"), &seed)
            .map_err(|source| DirectoryError::Template { major, source })?;
        clone::sync(&draft)?;
        fs::rename(&draft, &place).map_err(failed("place", &place))?;
        sync_dir(&self.inner.templates)?;
        tracing::info!(major, "template built");
        Ok(data)
    }
}
