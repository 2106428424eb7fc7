//! What follows from quotas, after each heartbeat: events when a limit comes near or is reached, and endpoints are
//! suspended that may not be awake. Not a reconciler of its own, so that it never looks at old numbers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dormouse_api::quota::{Action, State as Stands};
use dormouse_base::{ProjectId, Timestamp, clock};
use dormouse_compute::event::{Happening, SleepReason};
use dormouse_compute::host::Host;
use dormouse_compute::{State, event};
use dormouse_runtime::task::Scope;
use dormouse_statistics::{Key, Recorder, Subject};

use super::Trouble;
use crate::computes::Computes;
use crate::db::{Db, endpoints, quotas};
use crate::keeper::Keeper;
use crate::metering::quota::{Assessment, METRICS, Pace, Standing, nearest, soonest};

/// See the module.
#[derive(Debug)]
pub struct Quotas {
    pub(super) db: Db,
    pub(super) keeper: Keeper,
    pub(super) computes: Arc<dyn Computes>,
    pub(super) scope: Scope,
    pub(super) recorder: Recorder,
}

impl Quotas {
    /// Looks at all limits, and does what follows. Tells when a limit of time will be reached.
    pub(super) async fn enforce(&self) -> Result<Option<Duration>, Trouble> {
        let (guard, now) = (self.keeper.guard().clone(), clock::now());
        let assess = self.db.survey("look at the quotas", move |db| guard.assess_all(db, now));
        let assessed = assess.await.map_err(Trouble::in_doing("look at the quotas"))?;
        self.keeper.guard().note_all(&assessed);
        self.record(&assessed, now);
        for assessment in &assessed {
            self.tell(assessment).await?;
        }
        for project in self.keeper.guard().blocked() {
            self.suspend(&project)?;
        }
        Ok(if assessed.is_empty() { None } else { soonest(&assessed, &self.paces()?) })
    }

    fn paces(&self) -> Result<HashMap<ProjectId, Pace>, Trouble> {
        let mut paces: HashMap<ProjectId, Pace> = HashMap::new();
        let read = self.db.read("find projects", |db| {
            for (endpoint, cu) in self.keeper.meter().active() {
                let Some(row) = endpoints::get(db, &endpoint)? else { continue };
                let pace = paces.entry(row.project_id).or_default();
                (pace.active, pace.cu) = (pace.active + 1, pace.cu + cu.as_f64());
            }
            Ok(())
        });
        read.map_err(Trouble::in_doing("find projects"))?;
        Ok(paces)
    }

    /// For the statistics, and the alerts that look at them.
    fn record(&self, assessed: &[Assessment], now: Timestamp) {
        let sample = |of_one: &Assessment, metric| {
            let key = Key { subject: Subject::Project(of_one.project.clone()), metric };
            nearest(&of_one.standings, metric).map(|percent| (key, percent.used, 1))
        };
        let samples = assessed.iter().flat_map(|it| METRICS.map(|metric| sample(it, metric)));
        self.recorder.record(now.as_second(), samples.flatten());
    }

    /// Each change once, on the lists of all endpoints.
    async fn tell(&self, assessment: &Assessment) -> Result<(), Trouble> {
        let (project, now) = (assessment.project.clone(), clock::now());
        let standings = assessment.standings.clone();
        let noted = self.db.read("look at the quotas", |db| {
            let known = |it: &Standing| quotas::standing(db, &project, it.limit.measure);
            standings.iter().map(known).collect::<rusqlite::Result<Vec<_>>>()
        });
        let before = noted.map_err(Trouble::in_doing("look at the quotas"))?;
        let changed: Vec<Standing> = assessment
            .standings
            .iter()
            .zip(before)
            .filter(|(standing, before)| standing.state != *before)
            .map(|(standing, _)| standing.clone())
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        let (id, news) = (assessment.project.clone(), changed.clone());
        let written = self.db.write("note how quotas stand", move |db| {
            news.iter().try_for_each(|it| quotas::note(db, &id, it.limit.measure, it.state, now))
        });
        written.await.map_err(Trouble::in_doing("note how quotas stand"))?;
        let all = self.db.read("list endpoints", |db| endpoints::of_project(db, &assessment.project));
        let all = all.map_err(Trouble::in_doing("list endpoints"))?;
        for (standing, endpoint) in changed.iter().flat_map(|it| all.iter().map(move |e| (it, e))) {
            if let Some(happening) = happening(standing) {
                self.keeper.happened(&endpoint.id, happening);
            }
        }
        Ok(())
    }

    /// Running statements have their time to end, and the heartbeat does not wait for them.
    fn suspend(&self, project: &ProjectId) -> Result<(), Trouble> {
        let all = self.db.read("list endpoints", |db| endpoints::of_project(db, project));
        for endpoint in all.map_err(Trouble::in_doing("list endpoints"))? {
            if matches!(self.computes.state(&endpoint.id), State::Stopped | State::Stopping) {
                continue;
            }
            tracing::info!(endpoint = %endpoint.id, %project, "a quota is used up: suspending");
            let (computes, keeper) = (Arc::clone(&self.computes), self.keeper.clone());
            self.scope.spawn("quota", async move {
                if let Err(error) = computes.suspend(&endpoint.id, SleepReason::Quota).await {
                    tracing::warn!(endpoint = %endpoint.id, %error, "cannot suspend, although a quota is used up");
                }
                // Nobody has asked for that sleep: one that is to be kept awake wakes when it may.
                keeper.signals().warm_failed(&endpoint.id);
            });
        }
        Ok(())
    }
}

fn happening(standing: &Standing) -> Option<event::Happening> {
    let (measure, used) = (standing.limit.measure.name().to_owned(), standing.used);
    let limit = standing.limit.limit;
    match standing.state {
        Stands::Ok => None,
        Stands::Soft => Some(Happening::QuotaSoft { measure, used, limit }),
        Stands::Exceeded => {
            let suspends = standing.limit.action == Action::Suspend;
            Some(Happening::QuotaExceeded { measure, used, limit, suspends })
        }
    }
}
