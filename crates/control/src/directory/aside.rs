//! Directories that were set aside, because they are damaged and their owner may want to look at them.
//!
//! `computes/set-aside/ENDPOINT-MILLISECONDS`. They stay until their branch or project is deleted.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use dormouse_base::{EndpointId, Timestamp};

use super::{Directories, DirectoryError, failed, remove, sync_dir};

/// Below the endpoints' directories.
const ASIDE: &str = "set-aside";

impl Directories {
    /// Moves all that an endpoint has on disk to a directory of its own beside the endpoints', and tells where that is.
    /// Its compute must not run. `None`: there was nothing.
    ///
    /// # Errors
    /// When it cannot be moved; then it is where it was.
    pub fn set_aside(
        &self,
        endpoint: &EndpointId,
        now: Timestamp,
    ) -> Result<Option<PathBuf>, DirectoryError> {
        let home = self.inner.computes.join(endpoint.as_str());
        if !home.exists() {
            return Ok(None);
        }
        let all = self.inner.computes.join(ASIDE);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&all).map_err(failed("create", &all))?;
        let place = all.join(format!("{endpoint}-{}", now.as_millisecond()));
        fs::rename(&home, &place).map_err(failed("set aside", &home))?;
        sync_dir(&all)?;
        sync_dir(&self.inner.computes)?;
        Ok(Some(place))
    }

    /// Removes all that was set aside of an endpoint: what it held is deleted.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove_set_aside(&self, endpoint: &EndpointId) -> Result<(), DirectoryError> {
        let all = self.inner.computes.join(ASIDE);
        let places = match fs::read_dir(&all) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            places => places.map_err(failed("list", &all))?,
        };
        for place in places {
            let place = place.map_err(failed("list", &all))?;
            let name = place.file_name();
            let moment =
                name.to_str().and_then(|name| name.strip_prefix(endpoint.as_str())?.strip_prefix('-'));
            // Another endpoint's name may begin with this one's.
            if moment.is_some_and(|moment| moment.bytes().all(|b| b.is_ascii_digit())) {
                remove(&place.path())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dormouse_base::clock;

    use super::*;

    #[test]
    fn what_was_set_aside_stays_until_its_endpoint_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let all = Directories::for_test(dir.path());
        let [one, other]: [EndpointId; 2] = ["ep-one", "ep-one-2"].map(|id| id.parse().unwrap());
        let aside = |id: &EndpointId| {
            fs::create_dir_all(all.data_of(id)).unwrap();
            fs::write(all.data_of(id).join("PG_VERSION"), "18").unwrap();
            all.set_aside(id, clock::now()).unwrap().unwrap()
        };
        assert_eq!(all.set_aside(&one, clock::now()).unwrap(), None, "there is nothing");
        all.remove_set_aside(&one).unwrap();
        let (first, others) = (aside(&one), aside(&other));
        assert!(first.join("data/PG_VERSION").is_file() && !all.data_of(&one).exists());
        all.remove(&one).unwrap();
        assert!(first.exists(), "it is not what the endpoint has");
        all.remove_set_aside(&one).unwrap();
        assert!(!first.exists() && others.exists(), "another endpoint's stays");
    }
}
