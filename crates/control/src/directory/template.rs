//! Templates: one pristine, cleanly stopped cluster for each major version.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use dormouse_base::rand;
use dormouse_compute::template::{self, Seed};

use super::{Directories, DirectoryError, clone, failed, remove, sync_dir};
use crate::model::defaults;

impl Directories {
    /// The template of a version, built when it does not exist yet (1–2 s). One that exists is never waited for:
    /// the lock may be held by somebody who makes a spare.
    ///
    /// # Errors
    /// When the version is not installed or PostgreSQL's programs fail.
    pub fn template(&self, major: u16) -> Result<PathBuf, DirectoryError> {
        if self.has_template(major) {
            return Ok(self.template_path(major).join("data"));
        }
        let _one_at_a_time = self.inner.making.lock();
        self.template_locked(major)
    }

    /// Whether the template of a version exists.
    #[must_use]
    pub fn has_template(&self, major: u16) -> bool {
        self.template_path(major).join("data").join("PG_VERSION").is_file()
    }

    /// The places of all templates, whether their versions are still installed or not.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn templates(&self) -> Result<Vec<PathBuf>, DirectoryError> {
        let templates = &self.inner.templates;
        let mut places = Vec::new();
        for entry in fs::read_dir(templates).map_err(failed("list", templates))? {
            let entry = entry.map_err(failed("list", templates))?;
            if entry.file_name().to_str().is_some_and(|name| name.parse::<u16>().is_ok()) {
                places.push(entry.path());
            }
        }
        Ok(places)
    }

    /// A place to make a template or a spare; what a crash left half made under such a name is removed. The name
    /// never was before, so that no files are made where others were just deleted
    /// ([`dormouse_runtime::spread`]).
    pub(super) fn draft(&self, prefix: &str) -> Result<PathBuf, DirectoryError> {
        let templates = &self.inner.templates;
        for entry in fs::read_dir(templates).map_err(failed("list", templates))? {
            let entry = entry.map_err(failed("list", templates))?;
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.starts_with(prefix) && name.ends_with(".new")) {
                remove(&entry.path())?;
            }
        }
        Ok(templates.join(format!("{prefix}{}.new", rand::token(8))))
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
        let draft = self.draft(&format!("{major}."))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_has_a_new_name_and_the_one_of_a_crash_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let directories = Directories::for_test(dir.path());
        let left = directories.draft("spare-18-").unwrap();
        let others = [directories.draft("18.").unwrap(), directories.inner.templates.join("spare-18-1")];
        for path in others.iter().chain([&left]) {
            fs::create_dir(path).unwrap();
        }
        assert_ne!(directories.draft("spare-18-").unwrap(), left);
        assert!(!left.exists() && others.iter().all(|path| path.exists()));
    }
}
