//! Stopped → Active: admission, directory, spawn, ready, apply. Each part is timed.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_base::with_causes;
use dormouse_runtime::{failpoint, task};
use rustix::process::Signal;
use tokio::sync::oneshot;

use super::WakeError;
use super::actor::Actor;
use super::launch::{Failure, LOG_NAME, Launch, Launched};
use super::run::Run;
use crate::event::{Happening, Phases};
use crate::postgres::{ADMIN_DATABASE, log, promote, ready};
use crate::prewarm;
use crate::sandbox::{priority, spawn};
use crate::spec::{Directory, Recovery, Spec};

/// Crash recovery of a large write-ahead log takes minutes; a start that takes longer is hung.
const READY_WITHIN: Duration = Duration::from_secs(1800);

/// A boot counts among those at the same time for no longer than this.
const PERMIT_AT_MOST: Duration = Duration::from_secs(5);

/// The end of a process that was killed is waited for, so that it does not stay as a zombie.
const REAP_WITHIN: Duration = Duration::from_secs(2);

/// Measures consecutive phases.
struct Laps(Mono);

impl Laps {
    fn lap(&mut self) -> u64 {
        let now = Mono::now();
        let us = now.since(self.0).as_micros();
        self.0 = now;
        u64::try_from(us).unwrap_or(u64::MAX)
    }
}

impl Actor {
    /// Starts PostgreSQL and makes it ready for clients. Does not open the gate.
    pub(super) async fn boot(&mut self) -> Result<(Arc<Run>, Phases), Failure> {
        let (mut laps, mut phases) = (Laps(Mono::now()), Phases::default());
        let host = Arc::clone(&self.around.host);
        let id = self.shared.id.clone();
        let spec = host.spec(&id).await.map_err(|e| Failure::host("its settings cannot be read", &e))?;
        let booting = self.admit(&spec).await?;
        phases.queue_us = laps.lap();

        let directory = host.directory(&spec).await;
        let directory =
            directory.map_err(|e| Failure::host("its data directory cannot be made ready", &e))?;
        phases.materialise_us = laps.lap();
        let from_store = !directory.environment.is_empty();

        let recovery = directory.recovery;
        let Launched { run, watch, failure } = self.launch(&spec, directory).await?;
        phases.spawn_us = laps.lap();

        let (ready, opened) =
            tokio::join!(self.until_ready(&run, &watch, failure, recovery), host.opened(&id));
        self.close_elsewhere(watch);
        let outcome =
            ready.and_then(|()| opened.map_err(|e| Failure::host("its state cannot be recorded", &e)));
        if let Err(failure) = outcome {
            return Err(self.give_up(&run, failure).await);
        }
        drop(booting);
        phases.ready_us = laps.lap();

        if host.has_pending(&id)
            && let Err(failure) = self.apply(&run).await
        {
            return Err(self.give_up(&run, failure).await);
        }
        phases.apply_us = laps.lap();
        *self.shared.bounds.lock() = spec.size;
        self.spec = Some(spec);
        self.calm_in_time(&run);
        self.prewarm(&run, from_store);
        Ok((run, phases))
    }

    /// Waits for a place among the boots. What is returned holds the place, but not for ever: a
    /// database that recovers for minutes must not keep four others from starting.
    async fn admit(&self, spec: &Spec) -> Result<oneshot::Sender<()>, Failure> {
        let permit = self.around.admission.enter(&spec.project).await;
        let permit = permit.map_err(|e| Failure { error: WakeError::QueueFull, ..Failure::of("", e) })?;
        let (booting, booted) = oneshot::channel();
        self.around.scope.spawn("boot-permit", async move {
            // Both ends of the wait mean the same: let the next one boot.
            let _over = tokio::time::timeout(PERMIT_AT_MOST, booted).await;
            drop(permit);
        });
        Ok(booting)
    }

    async fn launch(&self, spec: &Spec, directory: Directory) -> Result<Launched, Failure> {
        let major = spec.pg_major;
        let view = self.around.config.views.get(&major).cloned().ok_or_else(|| {
            let advice = format!("PostgreSQL {major} is not installed: run `scripts/postgres {major}`");
            Failure::of("its PostgreSQL version is not installed", advice)
        })?;
        let launch = Launch {
            dir: self.dir(),
            directory,
            spec: spec.clone(),
            view,
            urgent: Arc::clone(&self.around.urgency).try_acquire_owned().ok(),
            config: Arc::clone(&self.around.config),
            sizer: self.sizer(false),
        };
        let scope = self.around.scope.child();
        task::blocking(move || launch.run(scope)).await
    }

    async fn until_ready(
        &self,
        run: &Arc<Run>,
        watch: &ready::Watch,
        failure: spawn::Failure,
        recovery: Recovery,
    ) -> Result<(), Failure> {
        let ready = tokio::time::timeout(READY_WITHIN, recovered(run, watch, recovery));
        tokio::select! {
            result = ready => match result {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(Failure::io("its start cannot be watched", &error)),
                Err(_) => Err(Failure::of("it took too long", "PostgreSQL did not become ready")),
            },
            () = self.around.stopping.cancelled() => {
                Err(Failure { error: WakeError::ServerStopping, ..Failure::of("", "the server is stopping") })
            }
            ending = run.held().ended() => Err(match failure.report() {
                Some(error) => Failure::of("PostgreSQL cannot be executed", with_causes(&error)),
                None => Failure {
                    said: self.log_tail(run.log_start()).pop().unwrap_or_default().into(),
                    ..Failure::of("PostgreSQL ended while starting", format!("postmaster: {ending}"))
                },
            }),
        }
    }

    async fn apply(&self, run: &Arc<Run>) -> Result<(), Failure> {
        let client = run.admin(ADMIN_DATABASE).await;
        let client = client.map_err(|e| Failure::of("changes cannot be applied", with_causes(&e)))?;
        let applied = self.around.host.apply(&self.shared.id, &client).await;
        self.shared.role_changes.happened();
        applied.map_err(|e| Failure::host("changes cannot be applied", &e))
    }

    /// Ends what was started and adds what PostgreSQL said.
    async fn give_up(&self, run: &Arc<Run>, mut failure: Failure) -> Failure {
        failure.log_tail = self.log_tail(run.log_start());
        if failure.log_tail.iter().any(|line| line.contains("No space left on device")) {
            failure.error = WakeError::DiskFull;
        }
        self.clean_up(run).await;
        let _not_even_by_force = tokio::time::timeout(REAP_WITHIN, run.held().ended()).await;
        failure
    }

    /// Closing an inotify descriptor waits for a grace period of the kernel (measured: 8 ms, up to 35),
    /// which the client need not wait for.
    fn close_elsewhere(&self, watch: ready::Watch) {
        self.around.scope.spawn("close-watch", task::blocking(move || drop(watch)));
    }

    /// Urgency ends by itself even if the client that woke it never asks for a row.
    fn calm_in_time(&self, run: &Arc<Run>) {
        let run = Arc::clone(run);
        self.around.scope.spawn("calm", async move {
            tokio::time::sleep(priority::MAX_URGENT).await;
            run.settle();
        });
    }

    /// Behind the first row, so that it takes nothing from it.
    fn prewarm(&self, run: &Arc<Run>, from_store: bool) {
        if !self.spec.as_ref().is_some_and(|spec| spec.prewarm) {
            return;
        }
        let (run, home, id) = (Arc::clone(run), self.dir(), self.shared.id.clone());
        let host = Arc::clone(&self.around.host);
        let view = self.spec.as_ref().and_then(|spec| self.around.config.views.get(&spec.pg_major));
        let has_library = view.is_some_and(|view| view.installation.has_library(prewarm::LIBRARY));
        self.around.scope.spawn("prewarm", async move {
            let mut ended = run.closing();
            tokio::select! {
                () = run.calmed() => {}
                _ = ended.wait_for(Option::is_some) => return,
            }
            let warmed = task::blocking(move || {
                let chunks = if from_store { Ok(0) } else { prewarm::replay(&home, run.data()) };
                let chunks = chunks.unwrap_or_else(|error| {
                    // The first run, perhaps.
                    tracing::debug!(%error, "no working set to read");
                    0
                });
                let blocks = if has_library { prewarm::blocks_of_library(run.data()) } else { 0 };
                Happening::Prewarmed { chunks, blocks, from_store }
            });
            host.happened(&id, warmed.await);
        });
    }

    /// The directory with this endpoint's files that are not PostgreSQL's.
    pub(super) fn dir(&self) -> PathBuf {
        self.around.config.computes.join(self.shared.id.as_str())
    }

    pub(super) fn log_tail(&self, since: u64) -> Vec<String> {
        log::tail(&self.dir().join(LOG_NAME), since)
    }
}

/// Waits until it is ready; a recovery that shall end is told so as soon as it can hear it.
async fn recovered(run: &Arc<Run>, watch: &ready::Watch, recovery: Recovery) -> io::Result<()> {
    if recovery == Recovery::Promote {
        watch.starting(run.pid()).await?;
        failpoint::hit("compute.promote.before").await?;
        let run = Arc::clone(run);
        let asked = move || {
            promote::request(run.data())?;
            run.held().signal(Signal::USR1)
        };
        task::blocking(asked).await?;
    }
    watch.ready(run.pid(), recovery == Recovery::Standby).await
}

/// Makes sure that other users may pass through a directory of ours, and nothing else.
///
/// # Errors
/// When the directory cannot be made.
pub(crate) fn passable(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711))
}
