//! The copy of a foreign data directory on its way to being an endpoint's cluster. Whether it may be
//! copied is decided in [`super::import`]; every step here can be done again.
//!
//! A kernel tells once that something of a draft is lost, and asked again it says that all is well. So the question is
//! asked once for each draft, whatever is killed:
//!
//! ```text
//!   draft ─► in doubt, durably ─► stored? ─┬─ yes: has its name ─► no doubt any more
//!     ▲                                    └─ no, or nobody heard the answer
//!     └── copied and prepared again, then no doubt any more ◄──┘
//! ```

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use dormouse_base::EndpointId;
use dormouse_compute::import::{self, Imported};
use dormouse_runtime::failpoint;

use super::import::{Importable, Walk, examine, no, not_running, open_dir};
use super::{Directories, DirectoryError, clone, failed, remove, sync_dir};

/// Room on the disk that an import leaves free, bytes.
const ROOM_LEFT: u64 = 256 << 20;

/// File systems that share blocks (`f_type`): btrfs, XFS.
const SHARING: [u64; 2] = [0x9123_683E, 0x5846_5342];

/// The draft beside the endpoint's cluster.
const DRAFT: &str = "data.import";

/// Beside a draft, or a cluster that was one, of which nobody knows whether the disk has it.
const DOUBT: &str = "import.doubt";

impl Directories {
    /// Looks at a directory that is to be imported.
    ///
    /// # Errors
    /// When a rule forbids it; see [`examine`].
    pub fn examine_import(&self, given: &Path) -> Result<Importable, DirectoryError> {
        let own = self.inner.computes.parent().unwrap_or(&self.inner.computes);
        examine(given, own, &self.inner.installations)
    }

    fn draft_of(&self, endpoint: &EndpointId) -> PathBuf {
        self.inner.computes.join(endpoint.as_str()).join(DRAFT)
    }

    /// Copies a directory to a draft of the endpoint's cluster. Doing it again begins anew.
    ///
    /// # Errors
    /// When a rule forbids it, the copy does not fit, or the disk does not play along.
    pub fn copy_import(&self, endpoint: &EndpointId, given: &Path) -> Result<(), DirectoryError> {
        let found = self.examine_import(given)?;
        let home = self.inner.computes.join(endpoint.as_str());
        fs::DirBuilder::new().recursive(true).mode(0o711).create(&home).map_err(failed("create", &home))?;
        let draft = self.draft_of(endpoint);
        remove(&draft)?;
        if self.doubts_import(endpoint) {
            remove(&self.data_of(endpoint))?;
        }
        room_for(&found, &home)?;
        let root = open_dir(&found.path)?;
        Walk { source: &found.path, copy: true }.directory(&root, Path::new(""), &draft, 0)?;
        // Somebody may have started it meanwhile.
        not_running(&root, &found.path)?;
        clone::sync(&draft)
    }

    /// Makes the draft a cluster of ours; tells its databases. May be done again.
    ///
    /// # Errors
    /// When the version is not installed or PostgreSQL refuses.
    pub fn prepare_import(
        &self,
        endpoint: &EndpointId,
        major: u16,
        owner: &str,
    ) -> Result<Vec<Imported>, DirectoryError> {
        let install = self.installation(major)?;
        let (draft, identity) = (self.draft_of(endpoint), self.inner.identities.template());
        identity.own(&draft).map_err(failed("give away", &draft))?;
        import::prepare(install, identity, &draft, owner).map_err(|source| DirectoryError::Import { source })
    }

    fn doubt_of(&self, endpoint: &EndpointId) -> PathBuf {
        self.inner.computes.join(endpoint.as_str()).join(DOUBT)
    }

    fn doubts_import(&self, endpoint: &EndpointId) -> bool {
        self.doubt_of(endpoint).try_exists().unwrap_or(true)
    }

    /// Whether there is a draft, or a cluster that was one, that may be placed. What is in doubt is to be copied again.
    #[must_use]
    pub fn has_import(&self, endpoint: &EndpointId) -> bool {
        let is_there =
            self.draft_of(endpoint).exists() || self.data_of(endpoint).join("PG_VERSION").is_file();
        is_there && !self.doubts_import(endpoint)
    }

    /// The draft was copied and prepared once more: what an earlier one was refused says nothing of it.
    ///
    /// # Errors
    /// When the disk does not play along.
    pub fn believe_import(&self, endpoint: &EndpointId) -> Result<(), DirectoryError> {
        let doubt = self.doubt_of(endpoint);
        match fs::remove_file(&doubt) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed("remove", &doubt)(error))
            }
            _ => Ok(()),
        }
    }

    /// Puts the draft into the endpoint's place. May be done again, as long as [`Self::has_import`].
    ///
    /// # Errors
    /// When the disk does not play along. If it would not store what was copied, the copy is gone.
    pub fn place_import(&self, endpoint: &EndpointId, slot: u32) -> Result<(), DirectoryError> {
        let (draft, data) = (self.draft_of(endpoint), self.data_of(endpoint));
        if !draft.exists() && data.join("PG_VERSION").is_file() {
            return Ok(());
        }
        self.inner.identities.for_slot(slot).own(&draft).map_err(failed("give away", &draft))?;
        let (home, doubt) = (self.inner.computes.join(endpoint.as_str()), self.doubt_of(endpoint));
        fs::File::create(&doubt).and_then(|file| file.sync_all()).map_err(failed("write", &doubt))?;
        sync_dir(&home)?;
        let placed = stored(&draft, clone::sync)
            .and_then(|()| fs::rename(&draft, &data).map_err(failed("place", &data)))
            .and_then(|()| stored(&home, sync_dir))
            .and_then(|()| stored(&self.inner.computes, sync_dir));
        if placed.is_err() {
            failpoint::hit_blocking("import.place.refused").map_err(failed("remove", &draft))?;
            remove(&draft)?;
            remove(&data)?;
        } else {
            self.believe_import(endpoint)?;
        }
        placed
    }
}

fn stored(path: &Path, sync: fn(&Path) -> Result<(), DirectoryError>) -> Result<(), DirectoryError> {
    failpoint::hit_blocking("import.place.sync").map_err(failed("store", path))?;
    sync(path)
}

/// Checks that a copy fits. A copy that shares its blocks needs no room.
fn room_for(found: &Importable, home: &Path) -> Result<(), DirectoryError> {
    let target = rustix::fs::statfs(home).map_err(|errno| failed("look at", home)(errno.into()))?;
    let same_disk =
        fs::metadata(home).ok().zip(fs::metadata(&found.path).ok()).is_some_and(|(a, b)| a.dev() == b.dev());
    if same_disk && SHARING.contains(&target.f_type.unsigned_abs()) {
        return Ok(());
    }
    let free = target.f_bavail.saturating_mul(target.f_bsize.unsigned_abs());
    if found.bytes.saturating_add(ROOM_LEFT) > free {
        return Err(no(format!(
            "the copy needs {} MiB, and the server's disk has {} MiB free",
            (found.bytes + ROOM_LEFT) >> 20,
            free >> 20
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_that_the_disk_refused_is_not_asked_about_a_second_time() {
        let dir = tempfile::tempdir().unwrap();
        let (directories, endpoint) = (Directories::for_test(dir.path()), EndpointId::generate());
        let home = directories.inner.computes.join(endpoint.as_str());
        let draft = directories.draft_of(&endpoint);
        let make = || {
            fs::create_dir_all(&draft).unwrap();
            fs::write(draft.join("PG_VERSION"), "18\n").unwrap();
        };
        let again = || {
            make();
            assert!(!directories.has_import(&endpoint), "it is not prepared yet");
            directories.believe_import(&endpoint).unwrap();
            assert!(directories.has_import(&endpoint));
        };
        make();
        // Its files, and its name after it was given one.
        for refused in 1..=3 {
            failpoint::arm(&format!("import.place.sync=error@{refused}")).unwrap();
            directories.place_import(&endpoint, 0).unwrap_err();
            assert!(!directories.has_import(&endpoint), "{refused}");
            assert_eq!(fs::read_dir(&home).unwrap().count(), 1, "{refused}: the doubt");
            again();
        }
        // Killed before what was refused is gone, and while it is copied again.
        for refused in 1..=3 {
            failpoint::arm(&format!("import.place.sync=error@{refused};import.place.refused=error")).unwrap();
            directories.place_import(&endpoint, 0).unwrap_err();
            assert!(draft.exists() || directories.data_of(&endpoint).exists(), "{refused}");
            assert!(!directories.has_import(&endpoint), "{refused}");
            let _as_a_copy_does =
                (fs::remove_dir_all(&draft), fs::remove_dir_all(directories.data_of(&endpoint)));
            again();
        }
        directories.place_import(&endpoint, 0).unwrap();
        assert!(directories.has_import(&endpoint));
        assert_eq!(fs::read_dir(&home).unwrap().count(), 1, "the cluster");
        directories.place_import(&endpoint, 0).unwrap();
    }
}
