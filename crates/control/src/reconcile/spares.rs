//! `spares`: for every version in use, a copy of the template waits, so that a new project costs a
//! rename. One at first (a start must not be spent on copying), then three: when projects are made one after the other, a
//! copy is made between two wakes, not during one.

use std::time::Duration;

use dormouse_runtime::task;

use super::{Reconciler, Report, Trouble};
use crate::control::Foundation;
use crate::db::{Db, projects};
use crate::directory::Directories;
use crate::keeper::Keeper;
use crate::model::defaults;

/// Spares of each version right after the start.
pub const AT_START: usize = 1;
/// Spares of each version later.
pub const LATER: usize = 3;

const PERIOD: Duration = Duration::from_secs(300);
/// From the first run to the second.
const SETTLE: Duration = Duration::from_secs(20);

/// See the module.
#[derive(Debug)]
pub struct Spares {
    db: Db,
    directories: Directories,
    keeper: Keeper,
    wanted: usize,
}

impl Spares {
    pub(super) fn new(foundation: &Foundation) -> Self {
        let (db, directories) = (foundation.db.clone(), foundation.directories.clone());
        Self { db, directories, keeper: foundation.keeper(), wanted: AT_START }
    }

    fn versions(&self) -> Result<Vec<u16>, Trouble> {
        let installed = self.directories.installations();
        let mut versions = self
            .db
            .read("list versions", projects::versions)
            .map_err(Trouble::in_doing("list the versions in use"))?;
        versions.retain(|major| installed.get(*major).is_some());
        let default = installed.get(defaults::PG_VERSION).or_else(|| installed.newest()).map(|i| i.major);
        versions.extend(default.filter(|d| !versions.contains(d)));
        Ok(versions)
    }
}

#[async_trait::async_trait]
impl Reconciler for Spares {
    fn name(&self) -> &'static str {
        "spares"
    }

    fn retry(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn signalled(&self) {
        self.keeper.signals().spares.notified().await;
    }

    async fn run(&mut self) -> Result<Report, Trouble> {
        let (versions, wanted) = (self.versions()?, self.wanted);
        let count = versions.len();
        let directories = self.directories.clone();
        let made = task::blocking(move || {
            let mut made = 0;
            for major in versions {
                while directories.add_spare(major, wanted)? {
                    made += 1;
                }
            }
            Ok(made)
        });
        let made: usize =
            made.await.map_err(Trouble::in_doing::<crate::directory::DirectoryError>("make a spare"))?;
        let next = if self.wanted == AT_START { SETTLE } else { PERIOD };
        self.wanted = LATER;
        Ok(Report { text: format!("{made} made, {wanted} wanted for each of {count} versions"), next })
    }
}
