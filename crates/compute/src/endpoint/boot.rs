//! Stopped → Active: admission, directory, spawn, ready, apply. Each part is timed.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use dormouse_base::clock::Mono;
use dormouse_base::rand;
use dormouse_runtime::task;
use tokio::sync::OwnedSemaphorePermit;

use super::WakeError;
use super::actor::Actor;
use super::record::Record;
use super::run::{Place, Run};
use crate::event::Phases;
use crate::fleet::SOCKET_NAME_LEN;
use crate::host::HostError;
use crate::postgres::view::View;
use crate::postgres::{ADMIN_DATABASE, log, ready, settings};
use crate::sandbox::cgroup::Group;
use crate::sandbox::process::{Fingerprint, Held};
use crate::sandbox::{landlock, priority, spawn};
use crate::spec::{Directory, Spec};

/// Crash recovery of a large write-ahead log takes minutes; a start that takes longer is hung.
const READY_WITHIN: Duration = Duration::from_secs(1800);

/// What went wrong, for the client (`error`) and for the operator (the rest).
pub(super) struct Failure {
    pub(super) error: WakeError,
    pub(super) detail: String,
    pub(super) log_tail: Vec<String>,
}

impl Failure {
    fn of(reason: &str, detail: impl std::fmt::Display) -> Self {
        let error = WakeError::Start { reason: reason.to_owned() };
        Self { error, detail: detail.to_string(), log_tail: Vec::new() }
    }

    fn host(reason: &str, error: &HostError) -> Self {
        let mut failure = Self::of(reason, chain(error));
        if error.disk_full {
            failure.error = WakeError::DiskFull;
        }
        failure
    }

    fn io(reason: &str, error: &io::Error) -> Self {
        let mut failure = Self::of(reason, error);
        if error.kind() == io::ErrorKind::StorageFull {
            failure.error = WakeError::DiskFull;
        }
        failure
    }
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

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
        let permit = self.around.admission.enter(&spec.project).await;
        let permit = permit.map_err(|e| Failure { error: WakeError::QueueFull, ..Failure::of("", e) })?;
        phases.queue_us = laps.lap();

        let directory = host.directory(&spec).await;
        let directory =
            directory.map_err(|e| Failure::host("its data directory cannot be made ready", &e))?;
        phases.materialise_us = laps.lap();

        let Launched { run, watch, failure } = self.spawn(&spec, directory).await?;
        phases.spawn_us = laps.lap();

        let (ready, opened) = tokio::join!(self.until_ready(&run, &watch, failure), host.opened(&id));
        let outcome =
            ready.and_then(|()| opened.map_err(|e| Failure::host("its state cannot be recorded", &e)));
        if let Err(failure) = outcome {
            return Err(self.give_up(&run, failure).await);
        }
        drop(permit);
        phases.ready_us = laps.lap();

        if host.has_pending(&id)
            && let Err(failure) = self.apply(&run).await
        {
            return Err(self.give_up(&run, failure).await);
        }
        phases.apply_us = laps.lap();
        self.spec = Some(spec);
        self.calm_in_time(&run);
        Ok((run, phases))
    }

    async fn spawn(&self, spec: &Spec, directory: Directory) -> Result<Launched, Failure> {
        let major = spec.pg_major;
        let view = self.around.config.views.get(&major).cloned().ok_or_else(|| {
            let advice = format!("PostgreSQL {major} is not installed: run `scripts/postgres {major}`");
            Failure::of("its PostgreSQL version is not installed", advice)
        })?;
        let urgent = Arc::clone(&self.around.urgency).try_acquire_owned().ok();
        let work = Spawn { actor: self, spec: spec.clone(), view, directory, urgent }.prepare();
        let scope = self.around.scope.child();
        task::blocking(move || work.run(scope)).await
    }

    async fn until_ready(
        &self,
        run: &Arc<Run>,
        watch: &ready::Watch,
        failure: spawn::Failure,
    ) -> Result<(), Failure> {
        let ready = tokio::time::timeout(READY_WITHIN, watch.ready(run.pid()));
        tokio::select! {
            result = ready => match result {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(Failure::io("its start cannot be watched", &error)),
                Err(_) => Err(Failure::of("it took too long", "PostgreSQL did not become ready")),
            },
            ending = run.held().ended() => Err(match failure.report() {
                Some(error) => Failure::of("PostgreSQL cannot be executed", chain(&error)),
                None => Failure::of("PostgreSQL ended while starting", format!("postmaster: {ending}")),
            }),
        }
    }

    async fn apply(&self, run: &Arc<Run>) -> Result<(), Failure> {
        let client = run.admin(ADMIN_DATABASE).await;
        let client = client.map_err(|e| Failure::of("changes cannot be applied", chain(&e)))?;
        let applied = self.around.host.apply(&self.shared.id, &client).await;
        applied.map_err(|e| Failure::host("changes cannot be applied", &e))
    }

    /// Ends what was started and adds what PostgreSQL said.
    async fn give_up(&self, run: &Arc<Run>, mut failure: Failure) -> Failure {
        failure.log_tail = self.log_tail(run.log_start());
        if failure.log_tail.iter().any(|line| line.contains("No space left on device")) {
            failure.error = WakeError::DiskFull;
        }
        self.clean_up(run).await;
        failure
    }

    /// Urgency ends by itself even if the client that woke it never asks for a row.
    fn calm_in_time(&self, run: &Arc<Run>) {
        let run = Arc::clone(run);
        self.around.scope.spawn("calm", async move {
            tokio::time::sleep(priority::MAX_URGENT).await;
            run.settle();
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

/// A compute on its way.
struct Launched {
    run: Arc<Run>,
    watch: ready::Watch,
    failure: spawn::Failure,
}

/// The compute's log beside its data directory.
pub(super) const LOG_NAME: &str = "postgres.log";

struct Spawn<'a> {
    actor: &'a Actor,
    spec: Spec,
    view: View,
    directory: Directory,
    urgent: Option<OwnedSemaphorePermit>,
}

/// Everything that the blocking part needs, owned.
struct Prepared {
    spec: Spec,
    view: View,
    data: PathBuf,
    dir: PathBuf,
    socket_dir: PathBuf,
    config: Arc<crate::fleet::FleetConfig>,
    urgent: Option<OwnedSemaphorePermit>,
}

impl Spawn<'_> {
    fn prepare(self) -> Prepared {
        let config = Arc::clone(&self.actor.around.config);
        Prepared {
            dir: self.actor.dir(),
            // Unguessable, because where computes share a user only this keeps them apart.
            socket_dir: config.run_root.join(rand::token(SOCKET_NAME_LEN)),
            data: self.directory.data,
            spec: self.spec,
            view: self.view,
            urgent: self.urgent,
            config,
        }
    }
}

impl Prepared {
    fn run(self, scope: task::Scope) -> Result<Launched, Failure> {
        let files = |e: io::Error| Failure::io("its files cannot be prepared", &e);
        let identity = self.config.identities.for_slot(self.spec.slot);
        fs::DirBuilder::new().mode(0o700).create(&self.socket_dir).map_err(files)?;
        identity.own(&self.socket_dir).map_err(files)?;
        let group = self.config.cgroups.group(self.spec.endpoint.as_str(), &self.data).map_err(files)?;
        super::adopt::end_left_overs(&self.data, &group, identity, &self.config);
        let log_path = self.dir.join(LOG_NAME);
        let log_file = log::open(&log_path).map_err(files)?;
        let log_start = log_file.metadata().map_err(files)?.len();
        let watch = ready::Watch::new(&self.data).map_err(files)?;

        let command = self.command(&group, log_file, (!identity.is_current()).then_some(identity));
        let started = spawn::start(&command).map_err(|e| {
            group.remove();
            Failure::of("PostgreSQL cannot be executed", chain(&e))
        })?;
        let held = Held::new(started.pid, started.pidfd).map_err(files)?;
        let fingerprint = Fingerprint::of(started.pid).map_err(files)?;
        let record = Record { postmaster: fingerprint, socket_dir: self.socket_dir.clone(), log_start };
        record.write(&self.dir).map_err(files)?;
        let place = Place { socket_dir: self.socket_dir, data: self.data, group, log_start };
        let run = Arc::new(Run::new(held, place, scope, self.urgent));
        Ok(Launched { run, watch, failure: started.failure })
    }

    fn command(
        &self,
        group: &Group,
        log: fs::File,
        identity: Option<crate::sandbox::identity::Identity>,
    ) -> spawn::Command {
        let installed = |name: &&str| self.view.installation.has_library(name);
        let libraries: Vec<&str> = self.spec.preload.iter().map(String::as_str).filter(installed).collect();
        let args = settings::arguments(&self.spec, &self.data, &self.socket_dir, &libraries);
        let reach = landlock::Reach {
            write: vec![self.data.clone(), self.socket_dir.clone()],
            read: self.view.reach.clone(),
        };
        let text = |s: &[u8]| CString::new(s).expect("settings with NUL are refused by the control plane");
        let path = |p: &Path| text(p.as_os_str().as_bytes());
        let env = ["PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"];
        spawn::Command {
            program: path(&self.view.postgres),
            args: std::iter::once(path(&self.view.postgres))
                .chain(args.iter().map(|a| text(a.as_bytes())))
                .collect(),
            env: env.iter().map(|e| text(e.as_bytes())).collect(),
            identity,
            stdin: None,
            log,
            landlock: landlock::prepare(&reach),
            cgroup: group.clone_target(),
            urgent: self.urgent.is_some(),
        }
    }
}

/// Makes sure that other users may pass through a directory of ours, and nothing else.
///
/// # Errors
/// When the directory cannot be made.
pub(crate) fn passable(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o711))
}
