//! `sizes`: measures branches and the disk for the statistics. Apart from `measure`, because a store may take its time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dormouse_api::quota::Measure;
use dormouse_api::statistics::Metric;
use dormouse_base::{BranchId, EndpointId, ProjectId, clock};
use dormouse_statistics::{Key, Recorder, Subject};

use super::{Reconciler, Report, Trouble};
use crate::computes::Computes;
use crate::control::Control;
use crate::db::{Db, branches, endpoints};
use crate::keeper::Keeper;
use crate::measure::samples::Sample;
use crate::measure::storage::{self, Measured, Stored, disk};
use crate::metering::quota::Standing;
use crate::vault::Vault;

/// From one look to the next.
const EVERY: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub struct Sizes {
    db: Db,
    data: PathBuf,
    recorder: Recorder,
    computes: Arc<dyn Computes>,
    vault: Arc<dyn Vault>,
    keeper: Keeper,
    stored: Stored,
    sizes: storage::Sizes,
}

/// A branch with its storage ID, and its endpoints.
type Line = (BranchId, BranchId, Vec<EndpointId>);

/// Those of every project.
type Lines = BTreeMap<ProjectId, Vec<Line>>;

impl Sizes {
    pub(super) fn new(control: &Control) -> Self {
        let foundation = &control.foundation;
        Self {
            db: foundation.db.clone(),
            data: foundation.config.data.clone(),
            recorder: foundation.recorder.clone(),
            computes: Arc::clone(&control.computes),
            vault: Arc::clone(&control.vault),
            keeper: foundation.keeper(),
            stored: Arc::clone(&foundation.stored),
            sizes: storage::Sizes::default(),
        }
    }

    /// The branches of every project, and the projects where somebody works.
    fn lines(&self) -> Result<(Lines, BTreeSet<ProjectId>), Trouble> {
        let rows = self.db.read("list branches", |db| Ok((branches::of_all(db)?, endpoints::all(db)?)));
        let (branches, endpoints) = rows.map_err(Trouble::in_doing("list branches"))?;
        let awake: BTreeSet<EndpointId> = self.computes.awake().into_iter().map(|(id, _)| id).collect();
        let (mut busy, mut of_branch) = (BTreeSet::new(), HashMap::<_, Vec<EndpointId>>::new());
        for endpoint in endpoints {
            if awake.contains(&endpoint.id) {
                busy.insert(endpoint.project_id);
            }
            of_branch.entry(endpoint.branch_id).or_default().push(endpoint.id);
        }
        let mut lines = Lines::new();
        for (project, branch, storage) in branches {
            let endpoints = of_branch.remove(&branch).unwrap_or_default();
            lines.entry(project).or_default().push((branch, storage, endpoints));
        }
        Ok((lines, busy))
    }

    /// How much of its storage quota each project that has one uses.
    fn quotas(&self, now: i64) -> Result<(), Trouble> {
        let guard = self.keeper.guard();
        let assessed = self.db.read("look at the quotas", |db| guard.assess_all(db, clock::now()));
        let assessed = assessed.map_err(Trouble::in_doing("look at the quotas"))?;
        let of = |project: &ProjectId, it: &Standing| {
            let key = Key { subject: Subject::Project(project.clone()), metric: Metric::StorageUtilization };
            (it.limit.measure == Measure::StorageBytes).then(|| (key, 100.0 * it.used / it.limit.limit, 1))
        };
        let samples = assessed
            .iter()
            .flat_map(|of_one| of_one.standings.iter().filter_map(|standing| of(&of_one.project, standing)));
        self.recorder.record(now, samples);
        Ok(())
    }

    /// Records sizes, and remembers them for what they cost.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "they were bytes before")]
    fn keep(&self, now: i64, samples: impl IntoIterator<Item = Sample>) {
        let samples: Vec<Sample> = samples.into_iter().collect();
        let mut stored = self.stored.lock();
        for (key, bytes, _) in samples.iter().filter(|(key, ..)| key.metric == Metric::StorageUsed) {
            stored.insert(key.subject.clone(), *bytes as u64);
        }
        drop(stored);
        self.recorder.record(now, samples);
    }

    async fn measure(&self, project: &ProjectId, lines: &[Line]) -> Option<Measured> {
        let mut measured = Vec::with_capacity(lines.len());
        for (branch, storage, endpoints) in lines {
            match self.vault.sizes(project, storage).await {
                Ok(sizes) => measured.push((branch.clone(), sizes.logical, endpoints.clone())),
                Err(error) => {
                    tracing::debug!(%project, %branch, %error, "cannot measure a branch");
                    return None;
                }
            }
        }
        Some(measured)
    }
}

#[async_trait::async_trait]
impl Reconciler for Sizes {
    fn name(&self) -> &'static str {
        "sizes"
    }

    async fn run(&mut self) -> Result<Report, Trouble> {
        let now = clock::now().as_second();
        let disk = disk(&self.data).map_err(Trouble::in_doing("measure the disk"))?;
        self.recorder.record(now, [disk]);
        let (lines, busy) = self.lines()?;
        let all: BTreeSet<ProjectId> = lines.keys().cloned().collect();
        let due = self.sizes.due(&all, &busy, now);
        for project in &due {
            let measured = self.measure(project, &lines[project]).await;
            let samples = self.sizes.learn(project, measured.as_ref(), now);
            self.keep(now, samples);
        }
        let server = self.sizes.server(&all);
        self.keep(now, server);
        self.quotas(now)?;
        Ok(Report { text: format!("{} of {} projects measured", due.len(), all.len()), next: EVERY })
    }
}
