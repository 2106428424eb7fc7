//! `weigh`: asks the store how large branches are, and tells the ledger, the statistics and whoever wants to know in
//! passing. When a project is asked about, and what counts as a branch's storage, is decided in
//! [`storage`](crate::measure::storage).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::clock::{self, Mono};
use dormouse_base::{BranchId, EndpointId, ProjectId};
use dormouse_statistics::Recorder;

use super::{Reconciler, Report, Trouble};
use crate::control::Control;
use crate::db::branches::{self, Fingerprint};
use crate::db::{Db, endpoints};
use crate::measure::storage::{Scale, Stored, Weight};
use crate::metering::Meter;
use crate::vault::Vault;

/// Between two looks for what is due.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Seconds between two samples of all projects together.
const SERVER_EVERY: u64 = 60;

/// See the module.
#[derive(Debug)]
pub struct Weigh {
    db: Db,
    meter: Meter,
    vault: Arc<dyn Vault>,
    recorder: Recorder,
    stored: Stored,
    scale: Scale,
    began: Mono,
    /// When all projects together were sampled last.
    sampled: Option<u64>,
}

impl Weigh {
    pub(super) fn new(control: &Control) -> Self {
        let foundation = &control.foundation;
        Self {
            db: foundation.db.clone(),
            meter: foundation.keeper.meter().clone(),
            vault: Arc::clone(&control.vault),
            recorder: foundation.recorder.clone(),
            stored: Arc::clone(&foundation.stored),
            scale: Scale::default(),
            began: Mono::now(),
            sampled: None,
        }
    }

    /// All projects with their branches as they are, and those of which something is awake.
    fn look(&self) -> Result<(HashMap<ProjectId, Fingerprint>, HashSet<ProjectId>), Trouble> {
        let living = self.meter.living();
        let read = self.db.read("look at the branches", |db| {
            let mut awake = HashSet::new();
            for endpoint in &living {
                awake.extend(endpoints::get(db, endpoint)?.map(|row| row.project_id));
            }
            Ok((branches::fingerprints(db)?, awake))
        });
        read.map_err(Trouble::in_doing("look at the branches"))
    }

    async fn measure(&self, project: &ProjectId) -> Result<Vec<Weight>, Trouble> {
        let rows = self.db.read("list the branches", |db| {
            Ok((branches::of_project(db, project)?, endpoints::of_project(db, project)?))
        });
        let (rows, endpoints) = rows.map_err(Trouble::in_doing("list the branches"))?;
        let mut of_branch: HashMap<BranchId, Vec<EndpointId>> = HashMap::new();
        for endpoint in endpoints {
            of_branch.entry(endpoint.branch_id).or_default().push(endpoint.id);
        }
        let mut measured = Vec::with_capacity(rows.len());
        for branch in rows.into_iter().filter(|branch| branch.ready && !branch.deleting) {
            let sizes = self.vault.sizes(project, &branch.storage_id).await;
            let sizes = sizes.map_err(Trouble::in_doing("measure a branch"))?;
            let endpoints = of_branch.remove(&branch.id).unwrap_or_default();
            measured.push(Weight::of(branch.id, branch.parent.is_some(), endpoints, sizes));
        }
        Ok(measured)
    }

    fn record(&mut self, projects: usize, now: u64) {
        let mut samples = self.scale.samples(now);
        if self.sampled.is_none_or(|at| now - at >= SERVER_EVERY)
            && let Some(server) = self.scale.server(projects)
        {
            self.sampled = Some(now);
            samples.push(server);
        }
        self.recorder.record(clock::now().as_second(), samples);
    }
}

#[async_trait::async_trait]
impl Reconciler for Weigh {
    fn name(&self) -> &'static str {
        "weigh"
    }

    async fn run(&mut self) -> Result<Report, Trouble> {
        let (all, awake) = self.look()?;
        let gone = self.scale.keep(&all);
        let due = self.scale.due(&all, &awake, self.began.elapsed().as_secs());
        let (count, mut failed) = (due.len(), None);
        for due in due {
            let measured = self.measure(&due.project).await;
            for weight in measured.iter().flatten() {
                self.meter.level(&weight.branch, weight.storage, weight.history);
            }
            // The others have their turn, and this one again when it is due.
            let measured = measured.map_err(|trouble| failed = Some(trouble)).ok();
            self.scale.learn(due, measured, self.began.elapsed().as_secs());
        }
        if gone || count > 0 {
            *self.stored.lock() = self.scale.held();
        }
        self.record(all.len(), self.began.elapsed().as_secs());
        match failed {
            Some(trouble) => Err(trouble),
            None => Ok(Report { text: format!("{count} projects measured"), next: LOOK_EVERY }),
        }
    }
}
