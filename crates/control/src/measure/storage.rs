//! When the store is asked how large a project's branches are, what follows for the ledger, the statistics and the cost,
//! and how full the disk is. Pure but for the disk; who asks is [`weigh`](crate::reconcile::weigh).
//!
//! Asking the store lists a project's objects, which may cost time and money. So a project is looked at
//!
//! * when its branches are others than before, and when the last of it falls asleep;
//! * every [`AWAKE_EVERY`] seconds while something of it is awake;
//! * else after each of [`ASLEEP_AFTER`] and then every [`ASLEEP_EVERY`]: what a compute leaves behind is filed after it
//!   stopped, what the store said may be half a minute old, and from then on only the past shrinks.
//!
//! In between the last figures hold. The statistics get them again every [`RECORD_EVERY`], without a look.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use dormouse_api::statistics::Metric;
use dormouse_base::{BranchId, EndpointId, ProjectId};
use dormouse_statistics::{Key, Subject};
use parking_lot::Mutex;

use super::samples::Sample;
use crate::db::branches::Fingerprint;
use crate::vault::Sizes;

/// Seconds between two looks at a project of which something is awake.
pub const AWAKE_EVERY: u64 = 300;
/// Seconds from look to look at one that sleeps, after it changed or fell asleep.
pub const ASLEEP_AFTER: [u64; 2] = [60, 600];
/// Seconds between all further looks.
pub const ASLEEP_EVERY: u64 = 6 * 3600;
/// Seconds after which figures are recorded again.
pub const RECORD_EVERY: u64 = 3600;
/// Projects in one go, so that a start with thousands of them is spread.
pub const AT_ONCE: usize = 4;

/// One branch, as it was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    /// The branch.
    pub branch: BranchId,
    /// Its endpoints.
    pub endpoints: Vec<EndpointId>,
    /// All its data, bytes.
    pub logical: u64,
    /// What of it is put down to this branch, bytes.
    pub storage: u64,
    /// What is kept of its past, bytes.
    pub history: u64,
}

impl Weight {
    /// From what the store says. All the data of a branch without a parent is its own; of another what no branch shares
    /// with it, so that shared data is counted once, where it comes from.
    #[must_use]
    pub fn of(branch: BranchId, has_parent: bool, endpoints: Vec<EndpointId>, sizes: Sizes) -> Self {
        let alone = sizes.own.saturating_sub(sizes.history).min(sizes.logical);
        let storage = if has_parent { alone } else { sizes.logical };
        Self { branch, endpoints, logical: sizes.logical, storage, history: sizes.history }
    }
}

/// What others want to know of it, as it was measured last. For who asks in passing.
#[derive(Debug, Default)]
pub struct Held {
    billed: BTreeMap<Subject, u64>,
    logical: HashMap<BranchId, u64>,
}

/// Shared.
pub type Stored = Arc<Mutex<Held>>;

impl Held {
    /// Bytes of data that are put down to a subject; to an endpoint those of its branch.
    #[must_use]
    pub fn billed(&self, subject: &Subject) -> u64 {
        self.billed.get(subject).copied().unwrap_or_default()
    }

    /// All the data of a branch, bytes, if it was measured.
    #[must_use]
    pub fn logical(&self, branch: &BranchId) -> Option<u64> {
        self.logical.get(branch).copied()
    }
}

/// What is known of a project.
#[derive(Debug)]
struct Known {
    looked: u64,
    recorded: Option<u64>,
    branches: Fingerprint,
    awake: bool,
    /// Looks since it changed or fell asleep, without the first.
    calm: usize,
    /// `None` = the store has not answered yet.
    last: Option<Vec<Weight>>,
}

impl Known {
    /// Whether it is another than before.
    fn changed(&self, branches: Fingerprint, awake: bool) -> bool {
        self.branches != branches || (self.awake && !awake)
    }

    fn is_due(&self, branches: Fingerprint, awake: bool, now: u64) -> bool {
        let asleep = ASLEEP_AFTER.get(self.calm).copied().unwrap_or(ASLEEP_EVERY);
        let every = if awake { AWAKE_EVERY } else { asleep };
        self.changed(branches, awake) || now.saturating_sub(self.looked) >= every
    }
}

/// A project to look at, and how it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The project.
    pub project: ProjectId,
    branches: Fingerprint,
    awake: bool,
}

/// See the module. Times are seconds since some beginning.
#[derive(Debug, Default)]
pub struct Scale {
    projects: BTreeMap<ProjectId, Known>,
}

impl Scale {
    /// Forgets who is not in `all`; whether there was anybody.
    pub fn keep(&mut self, all: &HashMap<ProjectId, Fingerprint>) -> bool {
        let before = self.projects.len();
        self.projects.retain(|project, _| all.contains_key(project));
        self.projects.len() < before
    }

    /// Who is to be looked at now, the longest not looked at first.
    #[must_use]
    pub fn due(
        &self,
        all: &HashMap<ProjectId, Fingerprint>,
        awake: &HashSet<ProjectId>,
        now: u64,
    ) -> Vec<Due> {
        let mut due: Vec<(Option<u64>, Due)> = Vec::new();
        for (project, branches) in all {
            let (known, awake) = (self.projects.get(project), awake.contains(project));
            if known.is_none_or(|known| known.is_due(*branches, awake, now)) {
                let looked = known.map(|known| known.looked);
                due.push((looked, Due { project: project.clone(), branches: *branches, awake }));
            }
        }
        due.sort_by(|(one, a), (other, b)| (one, &a.project).cmp(&(other, &b.project)));
        due.into_iter().take(AT_ONCE).map(|(_, due)| due).collect()
    }

    /// A project was looked at; `None` = the store did not answer: the last figures hold, and it is asked again soon.
    pub fn learn(&mut self, due: Due, measured: Option<Vec<Weight>>, now: u64) {
        let Due { project, branches, awake } = due;
        let before = self.projects.remove(&project);
        let calm = match &before {
            Some(known) if measured.is_some() && !known.changed(branches, awake) => known.calm + 1,
            _ => 0,
        };
        let recorded = before.as_ref().and_then(|known| known.recorded).filter(|_| measured.is_none());
        let last = measured.or_else(|| before.and_then(|known| known.last));
        self.projects.insert(project, Known { looked: now, recorded, branches, awake, calm, last });
    }

    /// What the statistics are to be told now: what was just measured, and what they were told long ago.
    pub fn samples(&mut self, now: u64) -> Vec<Sample> {
        let mut out = Vec::new();
        let mut put = |subject, bytes: u64| {
            out.push((Key { subject, metric: Metric::StorageUsed }, bytes as f64, 1));
        };
        for (project, known) in &mut self.projects {
            let Some(last) = &known.last else { continue };
            if known.recorded.is_some_and(|at| now.saturating_sub(at) < RECORD_EVERY) {
                continue;
            }
            known.recorded = Some(now);
            put(Subject::Project(project.clone()), last.iter().map(|weight| weight.logical).sum());
            for weight in last {
                weight.endpoints.iter().for_each(|id| put(Subject::Endpoint(id.clone()), weight.logical));
            }
        }
        out
    }

    /// What all projects together have, of which there are so many; `None` while one of them was never measured.
    #[must_use]
    pub fn server(&self, count: usize) -> Option<Sample> {
        if self.projects.len() < count {
            return None;
        }
        let of = |known: &Known| known.last.as_ref().map(|last| last.iter().map(|w| w.logical).sum::<u64>());
        let total = self.projects.values().map(of).sum::<Option<u64>>()?;
        Some((Key { subject: Subject::Server, metric: Metric::StorageUsed }, total as f64, 1))
    }

    /// For who asks in passing.
    #[must_use]
    pub fn held(&self) -> Held {
        let mut held = Held::default();
        for (project, known) in &self.projects {
            for weight in known.last.iter().flatten() {
                let subjects = [Subject::Project(project.clone()), Subject::Server];
                let own = weight.endpoints.iter().map(|id| Subject::Endpoint(id.clone()));
                for subject in subjects.into_iter().chain(own) {
                    *held.billed.entry(subject).or_default() += weight.storage;
                }
                held.logical.insert(weight.branch.clone(), weight.logical);
            }
        }
        held
    }
}

/// How full the disk of a directory is.
///
/// # Errors
/// When the system does not say.
pub fn disk(directory: &Path) -> std::io::Result<Sample> {
    let stat = rustix::fs::statvfs(directory)?;
    // As `df`: what only the superuser may use counts as used.
    let used = stat.f_blocks.saturating_sub(stat.f_bfree) as f64;
    let whole = used + stat.f_bavail as f64;
    let key = Key { subject: Subject::Server, metric: Metric::StorageUtilization };
    Ok((key, if whole > 0.0 { 100.0 * used / whole } else { 0.0 }, 1))
}

#[cfg(test)]
mod tests;
