//! `alerts`: looks at the last complete period of every rule, and keeps what changed together with the notices about it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dormouse_api::alert::{AlertState, Rule};
use dormouse_base::{EndpointId, ProjectId, Timestamp, clock};
use dormouse_statistics::{Key, Recorder, StoreError, Subject, tier};
use parking_lot::Mutex;

use super::{Reconciler, Report, Trouble};
use crate::alerts::notice::{self, Who};
use crate::alerts::watch::{self, Change, Watch};
use crate::control::Control;
use crate::db::{Db, alerts, branches, endpoints, projects, webhooks};
use crate::keeper::Keeper;
use crate::metering::Guard;
use crate::metrics::Metrics;

/// From one look to the next.
const EVERY: Duration = Duration::from_secs(10);
/// A period counts as complete so many seconds after its end: its last samples come a moment later.
pub const GRACE: i64 = 3;

/// See the module.
#[derive(Debug)]
pub struct Alerts {
    db: Db,
    keeper: Keeper,
    recorder: Recorder,
    watch: Arc<Mutex<Watch>>,
    metrics: Arc<Metrics>,
    /// What fired before the start was read.
    began: bool,
}

/// The living projects, and the endpoints with theirs.
#[derive(Debug, Default)]
struct There {
    projects: BTreeSet<ProjectId>,
    endpoints: BTreeMap<EndpointId, ProjectId>,
}

impl There {
    fn has(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Server => true,
            Subject::Project(project) => self.projects.contains(project),
            Subject::Endpoint(endpoint) => self.endpoints.contains_key(endpoint),
        }
    }
}

impl Alerts {
    pub(super) fn new(control: &Control) -> Self {
        let foundation = &control.foundation;
        Self {
            db: foundation.db.clone(),
            keeper: foundation.keeper(),
            recorder: foundation.recorder.clone(),
            watch: Arc::clone(&foundation.watch),
            metrics: Arc::clone(&foundation.metrics),
            began: false,
        }
    }

    fn read(&self) -> Result<(Vec<Rule>, There), Trouble> {
        let read = self.db.read("read the rules", |db| {
            Ok((
                alerts::rules(db)?,
                There { projects: projects::ids(db)?, endpoints: endpoints::projects(db)? },
            ))
        });
        read.map_err(Trouble::in_doing("read the rules of alerts"))
    }

    /// Who was told is in the metadata before it is so in memory.
    async fn keep(&self, after: Watch, changes: Vec<Change>, rules: &[Rule]) -> Result<(), Trouble> {
        if !changes.is_empty() {
            let (kept, rules) = (changes.clone(), rules.to_vec());
            let write = self.db.write("keep changes of alerts", move |db| {
                let hooks = webhooks::all(db)?;
                for change in &kept {
                    alerts::put_change(db, change)?;
                    let (rule, who) = (rules.iter().find(|it| it.id == change.now.rule), who(db, change)?);
                    for hook in &hooks {
                        let id = notice::id();
                        let body = notice::of_change(&id, change, rule, &who).to_string();
                        webhooks::enqueue(db, &id, &hook.id, &body, change.now.since)?;
                    }
                }
                alerts::trim(db)
            });
            write.await.map_err(Trouble::in_doing("keep changes of alerts"))?;
            self.keeper.signals().notices.notify_one();
        }
        for Change { now, from } in &changes {
            self.metrics.alert_changed(now.state.name());
            // Webhooks and the API tell people; the log of the server is about the server.
            let (rule, subject, value) = (&now.rule, &now.subject, now.value);
            tracing::info!(%rule, %subject, %from, to = %now.state, ?value, "an alert changed");
        }
        *self.watch.lock() = after;
        Ok(())
    }
}

/// The figures of one period of a rule.
fn figures(
    recorder: &Recorder,
    watch: &Watch,
    rule: &Rule,
    there: &There,
    (tier, start): (usize, i64),
) -> Result<Vec<(Subject, Option<f64>)>, StoreError> {
    let mut subjects: BTreeSet<Subject> = watch.of_rule(&rule.id).cloned().collect();
    subjects.extend(recorder.subjects(rule.metric, start));
    subjects.retain(|subject| {
        there.has(subject) && watch::is_about(rule, subject, |endpoint| there.endpoints.get(endpoint))
    });
    let figure = |subject: Subject| {
        let key = Key { subject, metric: rule.metric };
        let samples = recorder.period(&key, tier, start)?;
        Ok((key.subject, samples.and_then(|samples| samples.get(rule.statistic))))
    };
    subjects.into_iter().map(figure).collect()
}

/// The last period of a rule that is complete: its tier, and its beginning.
pub(crate) fn last_period(rule: &Rule, now: i64) -> Option<(usize, i64)> {
    let seconds = i64::from(rule.period_seconds);
    Some((tier::exactly(seconds)?, tier::start_of(now - GRACE, seconds) - seconds))
}

/// What each subject of a rule shows in its last complete period, and where that alone would lead.
pub(crate) fn shown(control: &Control, rule: &Rule, now: Timestamp) -> Result<Vec<(Subject, f64)>, Trouble> {
    let foundation = &control.foundation;
    let there = foundation.db.read("list endpoints", |db| {
        Ok(There { projects: projects::ids(db)?, endpoints: endpoints::projects(db)? })
    });
    let there = there.map_err(Trouble::in_doing("list endpoints"))?;
    let Some(place) = last_period(rule, now.as_second()) else { return Ok(Vec::new()) };
    let watch = foundation.watch.lock().clone();
    let all = figures(&foundation.recorder, &watch, rule, &there, place);
    let all = all.map_err(Trouble::in_doing("read the statistics"))?;
    Ok(all.into_iter().filter_map(|(subject, value)| Some((subject, value?))).collect())
}

fn who(db: &rusqlite::Connection, change: &Change) -> rusqlite::Result<Who> {
    let mut who = Who::of(&change.now.subject);
    if let Some(endpoint) = &who.scope.endpoint_id
        && let Some(row) = endpoints::get(db, endpoint)?
    {
        who.branch = branches::get(db, &row.branch_id)?.map(|branch| branch.name);
        who.scope.project_id = Some(row.project_id);
    }
    if let Some(project) = &who.scope.project_id {
        who.project = projects::get(db, project)?.map(|project| project.name);
    }
    Ok(who)
}

#[async_trait::async_trait]
impl Reconciler for Alerts {
    fn name(&self) -> &'static str {
        "alerts"
    }

    async fn run(&mut self) -> Result<Report, Trouble> {
        if !self.began {
            let firing = self.db.read("read what fires", alerts::firing);
            *self.watch.lock() = Watch::with(firing.map_err(Trouble::in_doing("read what fires"))?);
            self.began = true;
        }
        let (rules, there) = self.read()?;
        // As exact as it is kept, so that everybody is told the same.
        let now = Timestamp::from_microsecond(clock::now().as_microsecond()).unwrap_or_default();
        // On a copy, which holds when it is kept.
        let mut after = self.watch.lock().clone();
        let enabled = rules.iter().filter(|rule| rule.enabled);
        let mut changes = after.keep(
            &enabled.clone().map(|rule| rule.id.clone()).collect(),
            |subject| there.has(subject),
            now,
        );
        let mut looked = 0;
        for rule in enabled {
            let Some(place) = last_period(rule, now.as_second()) else { continue };
            if !after.is_new(&rule.id, place.1) {
                continue;
            }
            let figures = figures(&self.recorder, &after, rule, &there, place);
            let figures = figures.map_err(Trouble::in_doing("read the statistics"))?;
            looked += figures.len();
            let own = |subject: &Subject| own_warning(self.keeper.guard(), rule, subject);
            changes.extend(after.look(rule, place.1, figures, own, now));
        }
        let text = format!("{looked} looked at, {} changed, {} fire", changes.len(), after.firing());
        self.keep(after, changes, &rules).await?;
        Ok(Report { text, next: EVERY })
    }
}

/// Where the warning of a project's quotas begins: at its soft limit, whatever the rule says.
fn own_warning(guard: &Guard, rule: &Rule, subject: &Subject) -> Option<f64> {
    let Subject::Project(project) = subject else { return None };
    Some(guard.nearest(project, rule.metric)?.soft)
}

/// What a figure alone would lead to, for somebody who tries a rule.
#[must_use]
pub(crate) fn verdict(control: &Control, rule: &Rule, subject: &Subject, value: f64) -> AlertState {
    let own = own_warning(control.foundation.keeper.guard(), rule, subject);
    watch::lines(rule, own).wanted(AlertState::Ok, value)
}
