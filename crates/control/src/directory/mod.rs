//! Where clusters are on disk, and how a new one comes to be.
//!
//! ```text
//!  <data>/templates/<major>/              pristine cluster, built once          (template)
//!  <data>/templates/spare-<major>-<n>/    copies that wait to be used           (spare)
//!  <data>/computes/<endpoint>/data/       the cluster of an endpoint            (this file)
//! ```
//!
//! Everything is made under another name (`….new`), written to disk, and then renamed into place:
//! a name without a suffix is always complete, and what a crash left half made is removed by the
//! next try. A spare turns the copy (tens of milliseconds) into one rename.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dormouse_base::EndpointId;
use dormouse_compute::postgres::discover::{Installation, Installations};
use dormouse_compute::sandbox::identity::Identities;
use dormouse_compute::template::TemplateError;
use dormouse_runtime::spread;
use parking_lot::Mutex;

mod aside;
pub mod clone;
pub mod import;
pub mod import_copy;
pub mod template;
pub mod spare;

/// A directory could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A file operation failed.
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
    /// No such PostgreSQL.
    #[error("PostgreSQL {major} is not installed: install it or choose one of {installed}")]
    NotInstalled {
        /// The version that was asked for.
        major: u16,
        /// Those that are there.
        installed: String,
    },
    /// A foreign directory breaks a rule of imports. The text may be shown to the caller.
    #[error("the directory cannot be imported: {0}")]
    NotImportable(String),
    /// PostgreSQL did not take the copy of a foreign directory.
    #[error("the imported cluster cannot be prepared")]
    Import {
        /// The cause.
        #[source]
        source: TemplateError,
    },
    /// The template could not be built.
    #[error("cannot build the template for PostgreSQL {major}")]
    Template {
        /// The version.
        major: u16,
        /// The cause.
        #[source]
        source: TemplateError,
    },
}

impl DirectoryError {
    /// Whether the disk is full.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        let full =
            |e: &io::Error| matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        match self {
            Self::File { source, .. } => full(source),
            Self::Template { source, .. } | Self::Import { source } => match source {
                TemplateError::File { source, .. } => full(source),
                TemplateError::Failed { output, .. } => output.contains("No space left on device"),
                TemplateError::Start(..) => false,
            },
            Self::NotInstalled { .. } | Self::NotImportable(_) => false,
        }
    }
}

/// Makes a [`DirectoryError::File`] for `map_err`.
fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirectoryError {
    let path = path.to_owned();
    move |source| DirectoryError::File { what, path, source }
}

/// The clusters of one data directory. Cheap to clone. Its methods block.
#[derive(Clone, Debug)]
pub struct Directories {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    templates: PathBuf,
    computes: PathBuf,
    installations: Installations,
    identities: Identities,
    /// Held while a template or a spare is made, so that each is made once.
    making: Mutex<()>,
}

impl Directories {
    /// The clusters below `data`; makes the two directories that hold them.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn open(
        data: &Path,
        installations: Installations,
        identities: Identities,
    ) -> Result<Self, DirectoryError> {
        let (templates, computes) = (data.join("templates"), data.join("computes"));
        for (path, mode) in [(&templates, 0o711), (&computes, 0o711)] {
            fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(failed("create", path))?;
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed("protect", path))?;
            // Clusters come and go, a thousand files each.
            spread::children_of(path);
        }
        let making = Mutex::new(());
        Ok(Self { inner: Arc::new(Inner { templates, computes, installations, identities, making }) })
    }

    #[cfg(test)]
    fn for_test(data: &Path) -> Self {
        let identities = Identities::detect(None, data).expect("an account for computes: run scripts/setup");
        Self::open(data, Installations::discover(&[]), identities).unwrap()
    }

    /// The installations that clusters can be made for.
    #[must_use]
    pub fn installations(&self) -> &Installations {
        &self.inner.installations
    }

    /// The cluster of an endpoint, whether it exists or not.
    #[must_use]
    pub fn data_of(&self, endpoint: &EndpointId) -> PathBuf {
        self.inner.computes.join(endpoint.as_str()).join("data")
    }

    /// Makes an endpoint's home, and makes sure that there is no `draft` in it.
    ///
    /// # Errors
    /// When the disk does not play along.
    pub fn prepare_draft(&self, home: &Path, draft: &Path) -> Result<(), DirectoryError> {
        fs::DirBuilder::new().recursive(true).mode(0o711).create(home).map_err(failed("create", home))?;
        remove(draft)
    }

    /// Puts a copy of a version's template, without owner, at `draft` in an endpoint's home. False: there is no
    /// spare one and making one now would take longer than not having it.
    ///
    /// # Errors
    /// When the disk does not play along.
    pub fn spare_to(&self, home: &Path, draft: &Path, major: u16) -> Result<bool, DirectoryError> {
        self.prepare_draft(home, draft)?;
        self.take_spare(major, draft)
    }

    /// Removes an endpoint's cluster, and leaves what else it has. Nothing there is no error.
    ///
    /// # Errors
    /// When something cannot be removed; calling again goes on.
    pub fn remove_data(&self, endpoint: &EndpointId) -> Result<(), DirectoryError> {
        let home = self.inner.computes.join(endpoint.as_str());
        for name in ["data", "data.new", "hydrate", "spool"] {
            remove(&home.join(name))?;
        }
        let _not_there = fs::remove_file(home.join("snapshot.state"));
        Ok(())
    }

    /// Removes all that an endpoint has on disk. Its compute must not run. Nothing there is no error.
    ///
    /// # Errors
    /// When something cannot be removed; calling again goes on.
    pub fn remove(&self, endpoint: &EndpointId) -> Result<(), DirectoryError> {
        let home = self.inner.computes.join(endpoint.as_str());
        let trash = self.inner.computes.join(format!(".removed-{endpoint}"));
        if home.exists() {
            remove(&trash)?;
            fs::rename(&home, &trash).map_err(failed("set aside", &home))?;
            sync_dir(&self.inner.computes)?;
        }
        remove(&trash)
    }

    fn installation(&self, major: u16) -> Result<&Installation, DirectoryError> {
        self.inner.installations.get(major).ok_or_else(|| {
            let installed: Vec<String> =
                self.inner.installations.iter().map(|i| i.major.to_string()).collect();
            let installed = if installed.is_empty() { "none".to_owned() } else { installed.join(", ") };
            DirectoryError::NotInstalled { major, installed }
        })
    }
}

/// Removes a directory and all below it, if it is there.
fn remove(path: &Path) -> Result<(), DirectoryError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Writes a small file of the server's own, durably, in one step.
///
/// # Errors
/// When the disk refuses.
pub(crate) fn write_durably(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), DirectoryError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let (path, draft) = (dir.join(name), dir.join(format!(".{name}")));
    let open = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft);
    let written = open.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(failed("write", &draft))?;
    fs::rename(&draft, &path).map_err(failed("write", &path))?;
    sync_dir(dir)
}

/// Makes renames in a directory durable.
fn sync_dir(path: &Path) -> Result<(), DirectoryError> {
    fs::File::open(path).and_then(|dir| dir.sync_all()).map_err(failed("store", path))
}
