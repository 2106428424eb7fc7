//! The blocking part of a boot: files, cgroup, cage, and the one process. What fails here leaves
//! nothing behind: no process that nobody holds, no directory that nobody uses.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use dormouse_base::{rand, with_causes};
use dormouse_runtime::task::Scope;
use tokio::sync::OwnedSemaphorePermit;

use super::WakeError;
use super::record::Record;
use super::run::{Place, Run, Sizer};
use crate::fleet::{FleetConfig, SOCKET_NAME_LEN};
use crate::host::HostError;
use crate::postgres::admin::Socket;
use crate::postgres::settings::{self, Installed};
use crate::postgres::view::View;
use crate::postgres::{log, ready};
use crate::prewarm;
use crate::sandbox::cgroup::Group;
use crate::sandbox::identity::Identity;
use crate::sandbox::process::{Fingerprint, Held};
use crate::sandbox::{landlock, spawn};
use crate::spec::{Directory, Spec};

/// The compute's log beside its data directory.
pub(super) const LOG_NAME: &str = "postgres.log";

/// What went wrong, for the client (`error`) and for the operator (the rest).
pub(super) struct Failure {
    pub(super) error: WakeError,
    pub(super) detail: String,
    pub(super) log_tail: Vec<String>,
    /// PostgreSQL's last words from before it took any statement, whose text would be no business of our log.
    pub(super) said: Box<str>,
}

impl Failure {
    pub(super) fn of(reason: &str, detail: impl std::fmt::Display) -> Self {
        let error = WakeError::Start { reason: reason.to_owned() };
        Self { error, detail: detail.to_string(), log_tail: Vec::new(), said: Box::default() }
    }

    pub(super) fn host(reason: &str, error: &HostError) -> Self {
        let mut failure = Self::of(reason, with_causes(error));
        if error.disk_full {
            failure.error = WakeError::DiskFull;
        } else if error.storage {
            failure.error = WakeError::Storage;
        }
        failure
    }

    pub(super) fn io(reason: &str, error: &io::Error) -> Self {
        let mut failure = Self::of(reason, error);
        if error.kind() == io::ErrorKind::StorageFull {
            failure.error = WakeError::DiskFull;
        }
        failure
    }
}

/// A compute on its way.
pub(super) struct Launched {
    pub(super) run: Arc<Run>,
    pub(super) watch: ready::Watch,
    pub(super) failure: spawn::Failure,
}

/// Everything that a launch needs, owned.
pub(super) struct Launch {
    pub(super) spec: Spec,
    pub(super) view: View,
    pub(super) directory: Directory,
    /// The directory with the endpoint's files that are not PostgreSQL's.
    pub(super) dir: PathBuf,
    pub(super) config: Arc<FleetConfig>,
    pub(super) urgent: Option<OwnedSemaphorePermit>,
    pub(super) sizer: Sizer,
}

#[allow(clippy::needless_pass_by_value, reason = "`map_err` passes by value")]
fn files(error: io::Error) -> Failure {
    Failure::io("its files cannot be prepared", &error)
}

impl Launch {
    /// Starts PostgreSQL. Blocks.
    pub(super) fn run(self, scope: Scope) -> Result<Launched, Failure> {
        let identity = self.config.identities.for_slot(self.spec.slot);
        // Unguessable, because where computes share a user only this keeps them apart.
        let socket =
            Socket { dir: self.config.run_root.join(rand::token(SOCKET_NAME_LEN)), uid: identity.uid };
        let dir = socket.dir.clone();
        let group =
            self.config.cgroups.group(self.spec.endpoint.as_str(), &self.directory.data).map_err(files)?;
        let launched = self.start(scope, socket, identity, group.clone());
        if launched.is_err() {
            // Also ends a process that was started and could not be held.
            let _nothing_there = group.kill();
            group.remove();
            let _never_made = fs::remove_dir(dir);
        }
        launched
    }

    fn start(
        mut self,
        scope: Scope,
        socket: Socket,
        identity: Identity,
        group: Group,
    ) -> Result<Launched, Failure> {
        fs::DirBuilder::new().mode(0o700).create(&socket.dir).map_err(files)?;
        identity.own(&socket.dir).map_err(files)?;
        // Data that was moved or restored belongs to somebody else until now.
        let data = self.directory.data.clone();
        if Identity::owner_of(&data) != Some(identity) {
            identity.own(&data).map_err(files)?;
        }
        if !super::adopt::end_left_overs(&data, &group, identity, &self.config) {
            return Err(Failure::of("processes of its last run do not end", data.display()));
        }
        let log_file = log::open(&self.dir.join(LOG_NAME)).map_err(files)?;
        let log_start = log_file.metadata().map_err(files)?.len();
        let watch = ready::Watch::new(&data).map_err(files)?;
        let command = self.command(&group, log_file, &socket.dir, identity)?;
        let started = spawn::start(&command)
            .map_err(|e| Failure::of("PostgreSQL cannot be executed", with_causes(&e)))?;
        let held = Held::new(started.pid, started.pidfd).map_err(files)?;
        let postmaster = Fingerprint::of(started.pid).map_err(files)?;
        let record = Record { postmaster, socket_dir: socket.dir.clone(), log_start };
        record.write(&self.dir).map_err(files)?;
        let place = Place { socket, data, group, log_start };
        let run = Arc::new(Run::new(held, place, scope, self.urgent.take(), self.sizer.clone()));
        Ok(Launched { run, watch, failure: started.failure })
    }

    fn command(
        &self,
        group: &Group,
        log: fs::File,
        socket_dir: &Path,
        identity: Identity,
    ) -> Result<spawn::Command, Failure> {
        let installed = |name: &&str| self.view.installation.has_library(name);
        let mut libraries: Vec<&str> =
            self.spec.preload.iter().map(String::as_str).filter(installed).collect();
        if self.spec.prewarm && installed(&prewarm::LIBRARY) && !libraries.contains(&prewarm::LIBRARY) {
            libraries.push(prewarm::LIBRARY);
        }
        let private_user = self.config.identities.is_private(identity);
        let here = Installed { libraries: &libraries, lz4: self.view.installation.lz4 };
        let args = settings::arguments(&self.spec, &self.directory, socket_dir, here, private_user);
        let own = [self.directory.data.clone(), socket_dir.to_owned()];
        let reach = landlock::Reach {
            write: own.into_iter().chain(self.directory.write.iter().cloned()).collect(),
            read: self.view.reach.iter().chain(&self.directory.read).cloned().collect(),
            shared_memory: private_user,
        };
        let cage = landlock::prepare(&reach).map_err(|e| Failure::io("it cannot be closed in", &e))?;
        let text = |s: &[u8]| CString::new(s).expect("settings with NUL are refused by the control plane");
        let path = |p: &Path| text(p.as_os_str().as_bytes());
        let usual = ["PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"].map(str::to_owned);
        let further = self.directory.environment.iter().map(|(name, value)| format!("{name}={value}"));
        Ok(spawn::Command {
            program: path(&self.view.postgres),
            args: std::iter::once(path(&self.view.postgres))
                .chain(args.iter().map(|a| text(a.as_bytes())))
                .collect(),
            env: usual.into_iter().chain(further).map(|e| text(e.as_bytes())).collect(),
            identity: (!identity.is_current()).then_some(identity),
            stdin: None,
            log,
            landlock: cage,
            cgroup: group.clone_target(),
            urgent: self.urgent.is_some(),
            private_user,
        })
    }
}
