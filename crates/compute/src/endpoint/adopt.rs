//! Taking over a compute that an earlier server left running, and ending what cannot be taken over.
//!
//! What is believed: a process whose working directory *is* the data directory, whose fingerprint
//! matches the record (or which the pid file names), held by a pidfd. A number in a file alone is
//! never trusted: it may be another program's by now.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dormouse_runtime::task;
use rustix::process::Signal;

use super::actor::Actor;
use super::record::Record;
use super::run::{Place, Run};
use crate::event::Happening;
use crate::fleet::FleetConfig;
use crate::postgres::ADMIN_DATABASE;
use crate::postgres::admin::Socket;
use crate::postgres::pidfile::PidFile;
use crate::postgres::promote;
use crate::sandbox::cgroup::{self, Group};
use crate::sandbox::identity::Identity;
use crate::sandbox::process::{self, Fingerprint, Held};
use crate::sandbox::{priority, shm};
use crate::spec::Mode;
use crate::state::{Event, State};

/// A compute that was starting when its server died may become ready for this long; then it is ended.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// A compute that is being ended may take this long.
const END_WITHIN: Duration = Duration::from_secs(5);

impl Actor {
    /// Looks for a running compute of this endpoint. Tells whether it was taken over; if not, nothing
    /// of it is left running.
    pub(super) async fn adopt(&mut self) -> bool {
        if let Some(run) = self.run.clone() {
            self.tell_again(&run).await;
            return true;
        }
        let (dir, data) = (self.dir(), self.dir().join("data"));
        let Ok(group) = self.around.config.cgroups.group(self.shared.id.as_str(), &data) else {
            return false;
        };
        let spec = self.around.host.spec(&self.shared.id).await.ok();
        let found = find(&dir, &data, &self.around.config);
        let (Some(record), Some(spec)) = (found, spec.clone()) else {
            self.leave_nothing(&data, &group, spec.map(|s| s.slot)).await;
            return false;
        };
        let pid = record.postmaster.pid;
        let Ok(held) = Held::adopt(&record.postmaster) else {
            self.leave_nothing(&data, &group, Some(spec.slot)).await;
            return false;
        };
        take_in(&group, pid).await;
        let frozen = group.is_frozen(pid);
        if !group.holds(pid) || !(frozen || becomes_ready(&held, &group, &data, spec.mode).await) {
            // In another server's cgroup it could neither be frozen nor thawed from here.
            cgroup::thaw_wherever(pid);
            end(&held).await;
            self.leave_nothing(&data, &group, Some(spec.slot)).await;
            return false;
        }
        let identity = self.around.config.identities.for_slot(spec.slot);
        let socket = Socket { dir: record.socket_dir, uid: identity.uid };
        let place = Place { socket, data: data.clone(), group: group.clone(), log_start: record.log_start };
        let run = Arc::new(Run::new(held, place, self.around.scope.child(), None, self.sizer(true)));
        *self.shared.bounds.lock() = spec.size;
        // The server that started it may have died before it was calm.
        priority::calm(&group.members());
        run.settle();
        if !frozen && let Err(error) = self.catch_up(&run).await {
            tracing::warn!(error, "a running compute cannot be taken over");
            end(run.held()).await;
            self.leave_nothing(&data, &group, Some(spec.slot)).await;
            return false;
        }
        self.run = Some(run);
        self.spec = Some(spec);
        self.shared.run.lock().clone_from(&self.run);
        if frozen {
            self.step(Event::AdoptedFrozen);
        } else {
            self.step(Event::Adopted);
            self.open();
        }
        self.around.metrics.adoptions.inc();
        self.around.host.happened(&self.shared.id, Happening::Adopted { pid });
        true
    }

    /// Its host is another one than when the run began: the successor of this server came to nothing.
    async fn tell_again(&self, run: &Arc<Run>) {
        // It may have begun to take it over.
        take_in(run.group(), run.pid()).await;
        if self.state == State::Active {
            if let Err(error) = self.catch_up(run).await {
                tracing::warn!(error, "what was decided meanwhile is not applied yet");
            }
            self.around.host.awake(&self.shared.id, run);
        }
        self.around.host.state_changed(&self.shared.id, self.state, Some(run.pid()));
    }

    /// What a start does before clients get in, and the dead server perhaps did not.
    async fn catch_up(&self, run: &Arc<Run>) -> Result<(), String> {
        let id = &self.shared.id;
        self.around.host.opened(id).await.map_err(|e| e.to_string())?;
        if self.around.host.has_pending(id) {
            let client = run.admin(ADMIN_DATABASE).await.map_err(|e| e.to_string())?;
            let applied = self.around.host.apply(id, &client).await;
            self.shared.role_changes.happened();
            applied.map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    async fn leave_nothing(&self, data: &Path, group: &Group, slot: Option<u32>) {
        let (data, group, config) = (data.to_owned(), group.clone(), Arc::clone(&self.around.config));
        let dir = self.dir();
        let (watcher, id) = (self.around.watcher.clone(), self.shared.id.clone());
        task::blocking(move || {
            // Of an endpoint that is known no more only its files tell who it was.
            let owner = || Identity::owner_of(&data).unwrap_or_else(|| config.identities.for_slot(0));
            let identity = slot.map_or_else(owner, |slot| config.identities.for_slot(slot));
            // Processes that survive SIGKILL are reported there, and keep the next start from happening.
            let _all_ended = end_left_overs(&data, &group, identity, &config);
            group.remove();
            watcher.end(&id);
            if let Some(record) = Record::read(&dir)
                && let Some(socket_dir) = config.own_socket_dir(&record.socket_dir, identity)
            {
                // Empty it is gone; if not, the next start uses another one anyway.
                let _left = std::fs::remove_dir_all(socket_dir);
            }
        })
        .await;
        Record::remove(&self.dir());
    }
}

/// The running postmaster of a data directory, if there is one.
fn find(dir: &Path, data: &Path, config: &FleetConfig) -> Option<Record> {
    let belongs = |pid: u32| process::works_in(pid, data);
    let recorded = Record::read(dir).filter(|r| r.postmaster.is_alive() && belongs(r.postmaster.pid));
    recorded.or_else(|| {
        // The server died between starting it and writing the record.
        let PidFile { pid, socket_dir, .. } = PidFile::read(data)?;
        let socket_dir = config.own_socket_dir(&socket_dir?, Identity::owner_of(data)?)?;
        belongs(pid).then_some(())?;
        Some(Record { postmaster: Fingerprint::of(pid).ok()?, socket_dir, log_start: 0 })
    })
}

/// Gets a compute into our group, where an earlier server stood somewhere else. Whoever cannot have it sees that from
/// [`Group::holds`].
async fn take_in(group: &Group, pid: u32) {
    let group = group.clone();
    let _moved = task::blocking(move || group.take_in(pid)).await;
}

async fn becomes_ready(held: &Held, group: &Group, data: &Path, mode: Mode) -> bool {
    // A server that died while it thawed leaves some processes standing.
    if let Err(error) = group.thaw() {
        tracing::warn!(%error, "cannot thaw");
    }
    // The server that was to end its recovery may have died before it could.
    let recovers = promote::is_due(data) && mode == Mode::ReadWrite;
    if recovers && let Err(error) = promote::request(data).and_then(|()| held.signal(Signal::USR1)) {
        tracing::warn!(%error, "cannot end a recovery");
    }
    let standby = mode == Mode::ReadOnly;
    let ready = async {
        while !PidFile::read(data).is_some_and(|file| file.pid == held.pid() && file.is_ready(standby)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        result = tokio::time::timeout(READY_WITHIN, ready) => result.is_ok(),
        _ = held.ended() => false,
    }
}

async fn end(held: &Held) {
    if held.signal(Signal::QUIT).is_ok() {
        // What does not end by itself is ended by force right after.
        let _forced_next = tokio::time::timeout(END_WITHIN, held.ended()).await;
    }
}

/// Ends every process that still works in the data directory, and removes its shared memory. Cheap
/// when the last run ended in order (then there is no pid file). Tells whether nothing runs there
/// any more. Blocks.
#[must_use]
pub(super) fn end_left_overs(data: &Path, group: &Group, identity: Identity, config: &FleetConfig) -> bool {
    let pid_file = PidFile::read(data);
    if pid_file.is_none() && group.is_empty() {
        remove_odd_pid_file(data);
        return true;
    }
    tracing::warn!(data = %data.display(), "the last run did not end in order");
    if !group.kill() {
        tracing::error!(data = %data.display(), "processes survive SIGKILL");
        return false;
    }
    let Some(pid_file) = pid_file else {
        remove_odd_pid_file(data);
        return true;
    };
    let private = config.identities.is_private(identity);
    // With a dead process ID in it, PostgreSQL itself cleans up by this file at its next start. With the
    // ID of a living stranger it would refuse to start; nobody works in the directory, so it goes.
    if private || Fingerprint::of(pid_file.pid).is_ok() {
        shm::clean(identity, private, pid_file.shm_segment);
        if let Err(error) = std::fs::remove_file(data.join("postmaster.pid")) {
            tracing::error!(%error, "cannot remove the pid file of a dead postmaster");
        }
    }
    true
}

/// A superuser can put a pipe in the place of the pid file, and the next postmaster would wait for a
/// writer for ever. Nobody works in the directory, so it is nobody's.
fn remove_odd_pid_file(data: &Path) {
    let path = data.join("postmaster.pid");
    if std::fs::symlink_metadata(&path).is_ok_and(|meta| !meta.is_file())
        && let Err(error) = std::fs::remove_file(&path)
    {
        tracing::error!(%error, "cannot remove what stands in the place of the pid file");
    }
}
