//! All endpoints of this node.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::EndpointId;
use dormouse_runtime::task::Scope;
use futures_util::stream::{FuturesUnordered, StreamExt};
use parking_lot::RwLock;
use tokio::sync::{OwnedRwLockWriteGuard, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::endpoint::{Endpoint, Surroundings};
use crate::event::SleepReason;
use crate::host::Host;
use crate::limits::watch::Watcher;
use crate::limits::{Clients, Controllers, Live};
use crate::metrics::Metrics;
use crate::postgres::view::View;
use crate::sandbox::cgroup::Cgroups;
use crate::sandbox::identity::{Identities, Identity};
use crate::sandbox::priority::MAX_URGENT_BOOTS;
use crate::state::State;

/// A Unix socket path must fit `sun_path` (108 bytes, with the final NUL).
pub const MAX_RUN_ROOT: usize = 107 - "/0123456789abcdef/.s.PGSQL.5432".len();

/// Socket directories have random names of this length.
pub const SOCKET_NAME_LEN: usize = 16;

/// Boots at the same time, for each processor.
pub const BOOTS_PER_CORE: usize = 2;

/// How long the actors may take to end after their computes have.
const ACTORS_END_WITHIN: Duration = Duration::from_secs(2);

/// What the node offers to computes.
#[derive(Debug)]
pub struct FleetConfig {
    /// One directory for each endpoint: `<computes>/<endpoint>/data` and its log.
    pub computes: PathBuf,
    /// Socket directories are made here; at most [`MAX_RUN_ROOT`] bytes long.
    pub run_root: PathBuf,
    /// The PostgreSQL versions that can be run.
    pub views: BTreeMap<u16, View>,
    /// Who computes run as.
    pub identities: Identities,
    /// How they are frozen.
    pub cgroups: Cgroups,
    /// How they are limited.
    pub controllers: Controllers,
    /// Boots at the same time.
    pub boot_slots: usize,
}

impl FleetConfig {
    /// The socket directory that a record or a pid file names, if it is one that this server made:
    /// directly below [`FleetConfig::run_root`], with a name of the right form, owned by the compute.
    /// (Computes can write pid files, and what is accepted here will be removed one day.)
    #[must_use]
    pub fn own_socket_dir(&self, named: &Path, owner: Identity) -> Option<PathBuf> {
        let name = named.file_name()?.to_str()?;
        let formed = name.len() == SOCKET_NAME_LEN && name.bytes().all(|b| b.is_ascii_alphanumeric());
        let dir = self.run_root.join(name);
        let ours = std::fs::symlink_metadata(&dir).is_ok_and(|meta| meta.is_dir() && meta.uid() == owner.uid);
        (formed && named == dir && ours).then_some(dir)
    }
}

/// All endpoints of this node. Cheap to clone; clones are the same fleet.
#[derive(Clone)]
pub struct Fleet {
    endpoints: Arc<RwLock<HashMap<EndpointId, Arc<Endpoint>>>>,
    around: Surroundings,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").field("endpoints", &self.endpoints.read().len()).finish_non_exhaustive()
    }
}

impl Fleet {
    /// A fleet that starts nothing by itself. Makes its directories.
    ///
    /// # Errors
    /// When a directory cannot be made, or the socket directory's path is too long.
    pub fn new(
        mut config: FleetConfig,
        host: Arc<dyn Host>,
        metrics: Metrics,
        scope: Scope,
    ) -> io::Result<Self> {
        crate::endpoint::passable(&config.computes)?;
        crate::endpoint::passable(&config.run_root)?;
        // Processes are recognised by their working directory, which the kernel shows without links.
        config.computes = config.computes.canonicalize()?;
        config.run_root = config.run_root.canonicalize()?;
        if config.run_root.as_os_str().len() > MAX_RUN_ROOT {
            let text = format!("{} is too long for Unix sockets", config.run_root.display());
            return Err(io::Error::new(io::ErrorKind::InvalidFilename, text));
        }
        let admission = Admission::new(config.boot_slots);
        let urgency = Arc::new(Semaphore::new(MAX_URGENT_BOOTS));
        let stopping = CancellationToken::new();
        let turns: Arc<tokio::sync::RwLock<()>> = Arc::default();
        let watcher = Watcher::new(config.controllers.clone(), Arc::clone(&host), metrics.clone(), &scope);
        watcher.start(Arc::clone(&turns));
        let around = Surroundings {
            config: Arc::new(config),
            host,
            metrics,
            admission,
            urgency,
            scope,
            stopping,
            turns,
            watcher,
        };
        Ok(Self { endpoints: Arc::default(), around })
    }

    /// The handle of an endpoint, made on first use. Starts nothing.
    #[must_use]
    pub fn endpoint(&self, id: &EndpointId) -> Arc<Endpoint> {
        if let Some(found) = self.get(id) {
            return found;
        }
        let mut endpoints = self.endpoints.write();
        let made = endpoints
            .entry(id.clone())
            .or_insert_with(|| Arc::new(Endpoint::start(id.clone(), self.around.clone())));
        Arc::clone(made)
    }

    /// The handle of an endpoint that was used before.
    #[must_use]
    pub fn get(&self, id: &EndpointId) -> Option<Arc<Endpoint>> {
        self.endpoints.read().get(id).cloned()
    }

    /// How large an endpoint is and what it uses; `None` unless it is Active or Paused.
    #[must_use]
    pub fn live(&self, id: &EndpointId) -> Option<Live> {
        self.get(id)?.live()
    }

    /// Who is asked about the clients of endpoints.
    pub fn attach_clients(&self, clients: Arc<dyn Clients>) {
        self.around.watcher.attach(clients);
    }

    /// All handles.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Endpoint>> {
        self.endpoints.read().values().cloned().collect()
    }

    /// Forgets a deleted endpoint, which must be Stopped.
    pub async fn forget(&self, id: &EndpointId) {
        let removed = self.endpoints.write().remove(id);
        if let Some(endpoint) = removed {
            endpoint.release().await;
        }
    }

    /// Takes over the computes that an earlier server left running, and ends what is left of others.
    /// Returns those that were taken over.
    pub async fn adopt_all(&self) -> Vec<EndpointId> {
        let Ok(entries) = std::fs::read_dir(&self.around.config.computes) else { return Vec::new() };
        let ids = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<EndpointId>().ok());
        let mut work: FuturesUnordered<_> = ids
            .filter(|id| self.left_something(id))
            .map(|id| async move { self.endpoint(&id).adopt().await.then_some(id) })
            .collect();
        let mut adopted = Vec::new();
        while let Some(result) = work.next().await {
            adopted.extend(result);
        }
        adopted
    }

    /// A run that ended in order leaves neither file; most endpoints are asleep, so this is the quick way.
    fn left_something(&self, id: &EndpointId) -> bool {
        let dir = self.around.config.computes.join(id.as_str());
        dir.join("compute.json").exists() || dir.join("data/postmaster.pid").exists()
    }

    /// Ends with the server: stops all computes in order, or leaves them running for the next server.
    /// Nothing is started from now on; what has not stopped `within` the time is ended by force.
    pub async fn shut_down(&self, keep_computes: bool, within: Duration) {
        self.around.stopping.cancel();
        let endpoints = self.all();
        let mut work: FuturesUnordered<_> =
            endpoints.iter().map(|endpoint| end_one(endpoint, keep_computes)).collect();
        let all = async { while work.next().await.is_some() {} };
        let in_time = tokio::time::timeout(within, all).await.is_ok();
        drop(work);
        if !self.around.scope.close(ACTORS_END_WITHIN).await {
            tracing::warn!("some endpoint tasks did not end in time");
        }
        if !in_time && !keep_computes {
            for endpoint in endpoints {
                endpoint.end_by_force().await;
            }
        }
        self.around.watcher.remove();
        self.around.config.cgroups.remove();
    }

    /// Has every endpoint stand still where it is: nothing is started, frozen, stopped or noticed until
    /// [`Standstill::end`], if that ever comes. Clients of those that are awake go on. `None` when something that is
    /// under way takes longer than `within`.
    pub async fn hold(&self, within: Duration) -> Option<Standstill> {
        let still = Arc::clone(&self.around.turns).write_owned();
        tokio::time::timeout(within, still).await.ok().map(|guard| Standstill { guard: Some(guard) })
    }

    /// How many are in a state now.
    #[must_use]
    pub fn count(&self, state: State) -> usize {
        self.endpoints.read().values().filter(|endpoint| endpoint.state() == state).count()
    }
}

/// No endpoint changes its state by this server's doing. Whoever only drops this leaves it so for good: another server
/// has the computes by then, and what this one has seen of them was of a run that may be over.
#[derive(Debug)]
pub struct Standstill {
    guard: Option<OwnedRwLockWriteGuard<()>>,
}

impl Standstill {
    /// The computes are this server's again.
    pub fn end(mut self) {
        drop(self.guard.take());
    }
}

impl Drop for Standstill {
    fn drop(&mut self) {
        std::mem::forget(self.guard.take());
    }
}

async fn end_one(endpoint: &Endpoint, keep_computes: bool) {
    if keep_computes {
        endpoint.release().await;
    } else if let Err(error) = endpoint.suspend(SleepReason::Shutdown).await {
        tracing::error!(endpoint = %endpoint.id(), %error, "not stopped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_directory_of_our_own_is_accepted() {
        let root = tempfile::tempdir().expect("a directory");
        let run_root = root.path().join("run");
        let dir = run_root.join("0123456789abcdef");
        std::fs::create_dir_all(&dir).expect("a directory");
        let me = Identity::owner_of(&dir).expect("it exists");
        let config = FleetConfig {
            computes: root.path().join("computes"),
            run_root: run_root.clone(),
            views: BTreeMap::new(),
            identities: Identities::Own(me),
            cgroups: Cgroups::Signals,
            controllers: Controllers::Missing("a test".to_owned()),
            boot_slots: 1,
        };
        assert_eq!(config.own_socket_dir(&dir, me), Some(dir.clone()));
        for foreign in
            [run_root.join(".."), root.path().join("0123456789abcdef"), run_root.join("x"), "/etc".into()]
        {
            assert_eq!(config.own_socket_dir(&foreign, me), None, "{foreign:?}");
        }
        let somebody = Identity { uid: me.uid + 1, gid: me.gid };
        assert_eq!(config.own_socket_dir(&dir, somebody), None, "another compute's");
    }
}
