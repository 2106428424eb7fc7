//! What computes ask of control: [`Host`] for the keeper.

use std::sync::Arc;
use std::time::Duration;

use dormouse_base::{Cu, EndpointId, clock};
use dormouse_compute::endpoint::Run;
use dormouse_compute::event::Happening;
use dormouse_compute::host::{Host, HostError, QuotaUsedUp, SleepNotes};
use dormouse_compute::limits::Bounds;
use dormouse_compute::postgres::admin::Door;
use dormouse_compute::spec::{Directory, Mode, Spec, Tuning};
use dormouse_compute::state::State;
use tokio_postgres::Client;

use super::{Keeper, Noted, apply, learn};
use crate::db::{DbError, branches, databases, endpoints, projects, usage};
use crate::metering::Moment;
use crate::model::defaults;
use crate::model::record::{Branch, Endpoint, Project};

impl Keeper {
    /// Whether an endpoint only reads; one that is unknown does not.
    fn is_reader(&self, endpoint: &EndpointId) -> Result<bool, HostError> {
        let row = self.inner.db.read("read an endpoint", |db| endpoints::get(db, endpoint));
        let row = row.map_err(|e| db_error("read the endpoint", e))?;
        Ok(row.is_some_and(|row| row.mode == Mode::ReadOnly))
    }

    /// What of an endpoint's row can change while it runs.
    pub(crate) fn tuning(&self, endpoint: &Endpoint) -> Tuning {
        Tuning {
            size: Bounds {
                min: Cu::nearest(endpoint.autoscaling_limit_min_cu),
                max: Cu::nearest(endpoint.autoscaling_limit_max_cu),
            },
            idle_timeout: self.inner.timeouts.idle_of(endpoint.suspend_timeout_seconds),
            pause_timeout: self.inner.timeouts.pause_of(endpoint.pause_timeout_seconds),
        }
    }

    fn rows(&self, endpoint: &EndpointId) -> Result<(Project, Branch, Endpoint, String), HostError> {
        let found = self.inner.db.read("read an endpoint", |db| {
            let Some(endpoint) = endpoints::get(db, endpoint)? else { return Ok(None) };
            let Some(project) = projects::get(db, &endpoint.project_id)? else { return Ok(None) };
            let first = databases::all(db, &endpoint.branch_id)?.into_iter().next();
            let branch = branches::get(db, &endpoint.branch_id)?;
            let database = first.map_or_else(|| defaults::DATABASE.to_owned(), |d| d.name);
            Ok(branch.map(|branch| (project, branch, endpoint, database)))
        });
        match found.map_err(|e| host_error("read the endpoint", e))? {
            Some((project, ..)) if project.deleting => Err(HostError::new("the project is being deleted")),
            Some((_, branch, endpoint, _)) if branch.deleting || endpoint.deleting => {
                Err(HostError::new("the endpoint is being deleted"))
            }
            Some((_, branch, ..)) if !branch.ready => {
                Err(HostError::new("the branch is being made: try again in a moment"))
            }
            Some((_, branch, ..)) if branch.resetting => {
                Err(HostError::new("the branch is being restored: try again in a moment"))
            }
            Some(rows) => Ok(rows),
            None => Err(HostError::new("the endpoint does not exist any more")),
        }
    }
}

fn host_error(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> HostError {
    HostError {
        what: format!("cannot {what}"),
        disk_full: false,
        storage: false,
        source: Some(Box::new(error)),
    }
}

fn db_error(what: &str, error: DbError) -> HostError {
    HostError { disk_full: error.is_disk_full(), ..host_error(what, error) }
}

#[async_trait::async_trait]
impl Host for Keeper {
    fn may_wake(&self, endpoint: &EndpointId) -> Result<(), QuotaUsedUp> {
        if self.inner.guard.is_open() {
            return Ok(());
        }
        let row = self.inner.db.read("read an endpoint", |db| endpoints::get(db, endpoint));
        // What cannot be read will fail where there are words for it.
        let Ok(Some(row)) = row else { return Ok(()) };
        match self.inner.guard.block(&row.project_id, clock::now()) {
            None => Ok(()),
            Some(block) => Err(QuotaUsedUp { what: block.measure.words().to_owned(), hint: block.hint() }),
        }
    }

    async fn spec(&self, endpoint: &EndpointId) -> Result<Spec, HostError> {
        let (project, branch, endpoint, database) = self.rows(endpoint)?;
        let tuning = self.tuning(&endpoint);
        let mut settings: Vec<(String, String)> = endpoint.pg_settings.into_iter().collect();
        let mut preload: Vec<String> = defaults::PRELOAD.map(str::to_owned).into();
        preload.extend(
            project
                .settings
                .preload_libraries
                .into_iter()
                .filter(|l| !defaults::PRELOAD.contains(&l.as_str())),
        );
        if preload.iter().any(|l| l == "pg_cron")
            && !settings.iter().any(|(name, _)| name == "cron.database_name")
        {
            settings.push(("cron.database_name".to_owned(), database));
        }
        let Tuning { size, idle_timeout, pause_timeout } = tuning;
        self.inner.meter.size_at_start(&endpoint.id, size.min);
        Ok(Spec {
            project: project.id,
            branch: branch.storage_id,
            mode: endpoint.mode,
            pinned: endpoint.pinned_lsn,
            pg_major: project.pg_version,
            slot: endpoint.slot,
            idle_timeout,
            pause_timeout,
            size,
            prewarm: endpoint.warm.prewarm,
            max_connections: defaults::MAX_CONNECTIONS,
            endpoint: endpoint.id,
            preload,
            settings,
        })
    }

    async fn directory(&self, spec: &Spec) -> Result<Directory, HostError> {
        Ok(self.inner.node.ready(spec).await?)
    }

    fn has_pending(&self, endpoint: &EndpointId) -> bool {
        self.inner.memory.has_pending(endpoint)
    }

    async fn apply(&self, endpoint: &EndpointId, client: &Client) -> Result<(), HostError> {
        if self.is_reader(endpoint)? {
            self.inner.memory.set_pending(endpoint, false);
            return Ok(());
        }
        let lock = self.inner.memory.lock_of(endpoint);
        let _one_at_a_time = lock.lock().await;
        let todo = apply::Todo::read(&self.inner.db, endpoint)
            .map_err(|e| db_error("read the pending changes", e))?;
        let done = apply::run(client, &todo).await.map_err(|e| host_error("apply the pending changes", e))?;
        let refused =
            self.settle(endpoint, done).await.map_err(|e| host_error("store what was applied", e))?;
        for refusal in refused {
            self.happened(endpoint, Happening::Trouble { message: refusal.message });
        }
        Ok(())
    }

    async fn opened(&self, endpoint: &EndpointId) -> Result<(), HostError> {
        self.inner.memory.set_exact(endpoint, false);
        self.inner.node.publish(endpoint).await?;
        let row = self.inner.db.read("read an endpoint", |db| endpoints::get(db, endpoint));
        let row = row.map_err(|e| db_error("read the endpoint", e))?;
        let stale =
            |row: Endpoint| row.mode == Mode::ReadOnly || (row.roles_stale && row.next_wake.is_none());
        let cu = row.as_ref().map_or(Cu::MIN, |row| Cu::nearest(row.autoscaling_limit_min_cu));
        let known_stale = row.is_some_and(stale);
        let (id, now) = (endpoint.clone(), Moment::now());
        let written = self.inner.db.write("mark the endpoint as opened", move |db| {
            // Whoever finds this run after a crash must not take the time before it for its own.
            usage::open(db, &id, cu, &now)?;
            if known_stale { Ok(()) } else { endpoints::mark_opened(db, &id) }
        });
        let written = written.await;
        written.map_err(|e| db_error("mark the endpoint as opened", e))
    }

    fn awake(&self, endpoint: &EndpointId, run: &Arc<Run>) {
        self.inner.node.awake(endpoint, run);
    }

    async fn before_sleep(&self, endpoint: &EndpointId, door: &Door) -> Result<SleepNotes, HostError> {
        if self.is_reader(endpoint)? {
            return Ok(SleepNotes::default());
        }
        let learned = learn::ask(door).await.map_err(|e| host_error("read the roles", e))?;
        let jobs = learn::jobs(door).await;
        let (id, now) = (endpoint.clone(), clock::now());
        let stored = self.inner.db.write("store the roles", move |db| {
            learn::store(db, &id, &learned, now)?;
            endpoints::set_next_wake(db, &id, jobs.next_due)
        });
        stored.await.map_err(|e| db_error("store the roles", e))?;
        self.inner.memory.set_exact(endpoint, true);
        self.inner.signals.mirror.notify_one();
        Ok(SleepNotes { job_is_due: jobs.is_due })
    }

    fn thawed(&self, endpoint: &EndpointId) {
        self.inner.memory.set_exact(endpoint, false);
    }

    async fn stopped_cleanly(&self, endpoint: &EndpointId) -> Result<(), HostError> {
        if !self.inner.memory.is_exact(endpoint) {
            return Ok(());
        }
        let id = endpoint.clone();
        let written =
            self.inner.db.write("mark the roles exact", move |db| endpoints::mark_asleep(db, &id)).await;
        written.map_err(|e| db_error("mark the endpoint as asleep", e))
    }

    fn state_changed(&self, endpoint: &EndpointId, state: State, pid: Option<u32>) {
        self.inner.meter.state(endpoint, state);
        let before = self.inner.memory.set_state(endpoint, state);
        if matches!(state, State::Stopped | State::Paused) {
            // Not earlier: the reconciler passes over endpoints that are not asleep yet.
            self.inner.signals.schedule.notify_one();
            // A wake that failed may have used one.
            self.inner.signals.spares.notify_one();
            if before != state {
                self.inner.node.at_rest(endpoint, state == State::Stopped);
            }
        }
        tracing::debug!(%endpoint, state = state.name(), ?pid, "state");
        match (before, state) {
            (_, State::Active) => {
                self.note(endpoint, Noted::Started);
                if self.has_pending(endpoint) {
                    self.inner.signals.pending.notify_one();
                }
            }
            (State::Active, _) => self.note(endpoint, Noted::Suspended),
            _ => {}
        }
    }

    fn happened(&self, endpoint: &EndpointId, happening: Happening) {
        if matches!(happening, Happening::Crashed { .. }) {
            // A crash loses what `before_sleep` had learned, if a client changed it since.
            self.inner.signals.heal.notify_one();
        }
        if let Happening::Resized { to_cu, .. } = &happening {
            self.inner.meter.size(endpoint, *to_cu);
        }
        if let Happening::Woke { phases, .. } = &happening {
            // Without the client's own delay between its login and its first statement.
            let served = phases.total().saturating_sub(Duration::from_micros(phases.first_row_us));
            self.inner.cold_starts.note(endpoint, served.as_secs_f64() * 1000.0);
            // Not when it was taken: the copy would compete with this wake for the disk, and `publish` would have to
            // write all of it as well.
            self.inner.signals.spares.notify_one();
        }
        self.note(endpoint, Noted::Event(happening));
    }
}
