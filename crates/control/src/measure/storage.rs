//! How large branches are, measured now and then, and how full the disk is.
//!
//! Asking the store about a project lists its objects, which may cost time and money; so a project where somebody works
//! is asked about every 5 minutes, any other every hour, and no more than [`MAX_AT_A_TIME`] in one go. In between the last figure
//! holds for the server's sum.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use dormouse_api::statistics::Metric;
use dormouse_base::{BranchId, EndpointId, ProjectId};
use dormouse_statistics::{Key, Subject};
use parking_lot::Mutex;

use super::samples::Sample;

/// Seconds between two looks at a project where somebody works.
pub const BUSY_EVERY: i64 = 300;
/// The same for any other.
pub const QUIET_EVERY: i64 = 3600;
/// Projects that are asked about in one go.
pub const MAX_AT_A_TIME: usize = 20;

/// A project's branches with their sizes in bytes, and the endpoints of each.
pub type Measured = Vec<(BranchId, u64, Vec<EndpointId>)>;

/// How many bytes each subject has, as they were measured last.
pub type Stored = Arc<Mutex<BTreeMap<Subject, u64>>>;

/// What is known of projects. Times are seconds since 1970.
#[derive(Debug, Default)]
pub struct Sizes {
    looked: BTreeMap<ProjectId, i64>,
    bytes: BTreeMap<ProjectId, u64>,
}

impl Sizes {
    /// Who is to be asked about now, the longest not asked first.
    #[must_use]
    pub fn due(&self, all: &BTreeSet<ProjectId>, busy: &BTreeSet<ProjectId>, now: i64) -> Vec<ProjectId> {
        let mut due: Vec<(i64, &ProjectId)> = all
            .iter()
            .map(|project| (self.looked.get(project).copied().unwrap_or(i64::MIN), project))
            .filter(|(at, project)| {
                let every = if busy.contains(*project) { BUSY_EVERY } else { QUIET_EVERY };
                at.saturating_add(every) <= now
            })
            .collect();
        due.sort();
        due.into_iter().take(MAX_AT_A_TIME).map(|(_, project)| project.clone()).collect()
    }

    /// A project was asked about; `None` = it did not answer, and keeps its last figure.
    pub fn learn(&mut self, project: &ProjectId, measured: Option<&Measured>, now: i64) -> Vec<Sample> {
        self.looked.insert(project.clone(), now);
        let Some(measured) = measured else { return Vec::new() };
        let total: u64 = measured.iter().map(|(_, bytes, _)| bytes).sum();
        self.bytes.insert(project.clone(), total);
        let sample = |subject, metric, value| (Key { subject, metric }, value, 1);
        let mut out = vec![sample(Subject::Project(project.clone()), Metric::StorageUsed, total as f64)];
        for (_, bytes, endpoints) in measured {
            out.extend(endpoints.iter().map(|endpoint| {
                sample(Subject::Endpoint(endpoint.clone()), Metric::StorageUsed, *bytes as f64)
            }));
        }
        out
    }

    /// What all projects together have, as far as it is known; those that are gone are forgotten.
    pub fn server(&mut self, all: &BTreeSet<ProjectId>) -> Option<Sample> {
        self.looked.retain(|project, _| all.contains(project));
        self.bytes.retain(|project, _| all.contains(project));
        let complete = all.iter().all(|project| self.bytes.contains_key(project));
        let total: u64 = self.bytes.values().sum();
        let key = Key { subject: Subject::Server, metric: Metric::StorageUsed };
        complete.then_some((key, total as f64, 1))
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
mod tests {
    use super::*;

    #[test]
    fn who_works_is_asked_more_often_and_nobody_is_forgotten() {
        let project = |number: usize| -> ProjectId { format!("p-{number:03}").parse().unwrap() };
        let all: BTreeSet<ProjectId> = (0..50).map(project).collect();
        let busy = BTreeSet::from([project(7)]);
        let mut sizes = Sizes::default();
        let mut asked = BTreeMap::<ProjectId, usize>::new();
        for now in (0..7200).step_by(60) {
            for project in sizes.due(&all, &busy, now) {
                *asked.entry(project.clone()).or_default() += 1;
                sizes.learn(&project, Some(&vec![("br-x".parse().unwrap(), 10, Vec::new())]), now);
            }
        }
        assert_eq!((asked.len(), asked[&project(7)], asked[&project(8)]), (50, 24, 2));
        assert_eq!(sizes.server(&all).map(|(_, bytes, _)| bytes), Some(500.0));
        assert_eq!(sizes.server(&busy).map(|(_, bytes, _)| bytes), Some(10.0), "the others are gone");
        assert_eq!(sizes.server(&all), None, "and come back only when they are measured");
    }

    #[test]
    fn a_store_that_does_not_answer_leaves_the_last_figure() {
        let project: ProjectId = "calm-oak-abcd2345".parse().unwrap();
        let mut sizes = Sizes::default();
        let one = vec![("br-x".parse().unwrap(), 30, vec!["ep-one".parse().unwrap()])];
        let samples = sizes.learn(&project, Some(&one), 0);
        let values: Vec<f64> = samples.iter().map(|(_, value, _)| *value).collect();
        assert_eq!(values, [30.0, 30.0]);
        assert!(sizes.learn(&project, None, 1).is_empty());
        assert_eq!(sizes.server(&BTreeSet::from([project])).map(|(_, bytes, _)| bytes), Some(30.0));
    }

    #[test]
    fn a_disk_is_between_empty_and_full() {
        let (_, percent, _) = disk(Path::new("/")).unwrap();
        assert!(percent > 0.0 && percent <= 100.0, "{percent}");
    }
}
