//! The storage crate, used directly: a store of this run, snapshots into it and directories out of it.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_base::{Epoch, with_causes};
use dormouse_runtime::task::Scope;
use dormouse_storage::Store;
use dormouse_storage::manifest::{Manifest, Owner};
use dormouse_storage::object::{FaultPlan, StoreOptions};
use dormouse_storage::restore::{self, Materialised, Mode, Order};
use dormouse_storage::snapshot::{self, Base, Options, Request, Taken};
use tokio_util::sync::CancellationToken;

use super::cluster::Cluster;
use super::size;
use crate::bare::Bare;
use crate::cpu;
use crate::error::Error;
use crate::tool::Took;

/// Tasks end at once; what does not is broken.
const END_WITHIN: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(super) struct Lab {
    runtime: tokio::runtime::Runtime,
    /// Everything that is started here.
    pub(super) scope: Scope,
    store: Store,
    dir: tempfile::TempDir,
    epoch: AtomicU32,
}

/// An error of the storage crate as ours.
pub(super) fn broke<E: std::error::Error + 'static>(error: E) -> Error {
    Error::unexpected(with_causes(&error))
}

impl Lab {
    /// An empty store in a directory of this run.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn new() -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(Error::system("start a runtime"))?;
        let dir = size::scratch()?;
        let url = dir.path().join("store").display().to_string();
        let store = runtime.block_on(Store::open(&url, StoreOptions::default())).map_err(broke)?;
        Ok(Self { runtime, scope: Scope::new(), store, dir, epoch: AtomicU32::new(1) })
    }

    /// A directory that goes with this value.
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Waits for a future.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The store.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// The same store, further away.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn far_store(&self, latency: Duration) -> Result<Store, Error> {
        let url = self.dir.path().join("store").display().to_string();
        let faults = Some(FaultPlan { latency, ..FaultPlan::default() });
        self.wait(Store::open(&url, StoreOptions { faults, ..StoreOptions::default() })).map_err(broke)
    }

    /// A snapshot of the template.
    ///
    /// # Errors
    /// When it cannot be taken.
    pub(super) fn template(&self, cluster: &Cluster) -> Result<Taken, Error> {
        let owner = Owner::Template { template: "15-0000000000000001".to_owned() };
        self.take(Request { dir: cluster.template.clone(), owner, ..self.request(cluster, None) })
            .map(|(taken, _)| taken)
    }

    /// A snapshot of the stopped cluster with one thread, and what it took.
    ///
    /// # Errors
    /// When it cannot be taken.
    pub(super) fn snapshot(&self, cluster: &Cluster, base: Option<Base>) -> Result<(Taken, Took), Error> {
        self.take(self.request(cluster, base))
    }

    fn take(&self, request: Request) -> Result<(Taken, Took), Error> {
        let (start, before) = (Mono::now(), cpu::of_process(std::process::id()));
        let taken = self.wait(snapshot::clean(request)).map_err(broke)?;
        let cpu = cpu::of_process(std::process::id()).saturating_sub(before);
        Ok((taken, Took { wall: start.elapsed(), cpu }))
    }

    fn request(&self, cluster: &Cluster, base: Option<Base>) -> Request {
        let id = "bench-bench-aaaaaaaa";
        let owner = Owner::Branch {
            project: id.parse().expect("a project"),
            branch: format!("br-{id}").parse().expect("a branch"),
        };
        Request {
            store: self.store.clone(),
            dir: cluster.bare.data(),
            owner,
            // Each writer's objects have names of their own, so that nothing is found done already.
            epoch: Epoch(self.epoch.fetch_add(1, Ordering::Relaxed)),
            base,
            state: Some(self.path().join("snapshot.state")),
            missing: None,
            hot: Vec::new(),
            options: Options { threads: 1, ..Options::default() },
            cancel: CancellationToken::new(),
        }
    }

    /// A directory of a snapshot, below `root`. `base`: what is there already.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn materialise(
        &self,
        store: &Store,
        taken: &Taken,
        bare: &Bare,
        mode: Mode,
        base: Option<Arc<Manifest>>,
    ) -> Result<Materialised, Error> {
        let identity = bare.identity();
        let order = Order {
            store: store.clone(),
            from: restore::From::Boot(taken.record.boot.clone()),
            dir: bare.data(),
            base,
            mode,
            owner: Some((identity.uid, identity.gid)),
            durable: false,
        };
        self.wait(restore::materialise(order)).map_err(broke)
    }

    /// A place for a cluster below a new directory, started like `cluster`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn place(&self, cluster: &Cluster, name: &str) -> Result<Bare, Error> {
        let root: PathBuf = self.path().join(name);
        size::passable(&root)?;
        // The sockets of all are in one place: only one runs at a time.
        Bare::at(
            &cluster.install,
            super::cluster::arguments(&cluster.install),
            &root,
            cluster.bare.socket_dir(),
        )
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let scope = self.scope.clone();
        // What does not end ends with the runtime.
        let _ended = self.runtime.block_on(scope.close(END_WITHIN));
    }
}
