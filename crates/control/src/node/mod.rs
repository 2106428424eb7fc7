//! What this node holds of branches: their directories, the capture of their WAL, their snapshots.
//!
//! ```text
//!               ready                opened              awake               Paused, Stopped
//!  (nothing) ─────────► directory ─────────► published ─────────► capture ─────────────────► all filed,
//!                       [`ready`]            [`publish`]          [`capture`]                snapshot [`shots`]
//!      ▲                                                                                         │
//!      └───────────────────────────── evicted: the store has everything [`evict`] ◄──────────────┘
//! ```
//!
//! Control says which branch an endpoint is for; this module makes the directory, in whatever way is the
//! quickest (the one that is there; a spare copy of the template; the store), tells the branch's register
//! that there is a new writer, and keeps the store in step with what the writer does. [`vault`] is the
//! other side: what control asks of branches, on the way down.
//!
//! One lock per endpoint ([`home::Home`]) orders all of it. What is durable of it is one small file,
//! [`resident`].

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use dormouse_base::EndpointId;
use dormouse_compute::sandbox::identity::Identities;
use dormouse_runtime::task::Scope;
use dormouse_storage::{Store, StoreError};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::computes::Computes;
use crate::directory::Directories;

pub(crate) mod resident;
pub(crate) mod home;
pub(crate) mod error;
pub(crate) mod registers;
pub(crate) mod head;
pub(crate) mod ready;
pub(crate) mod publish;
pub(crate) mod capture;
pub(crate) mod shots;
pub(crate) mod backup;
pub(crate) mod evict;
pub(crate) mod template;
pub mod vault;

pub use error::NodeError;
use home::Home;
use registers::Registers;

/// What this node holds of branches. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    registers: Registers,
    directories: Directories,
    identities: Identities,
    data: PathBuf,
    homes: Mutex<HashMap<EndpointId, Arc<Home>>>,
    /// Comes later than everything else, because computes ask the keeper, which asks this.
    computes: OnceLock<Arc<dyn Computes>>,
    scope: Scope,
    /// Something may be due for a snapshot.
    look: Notify,
}

impl Node {
    /// A node on a store. Its tasks live in `scope`.
    #[must_use]
    pub fn new(
        store: Store,
        directories: Directories,
        identities: Identities,
        data: PathBuf,
        scope: &Scope,
    ) -> Self {
        let registers = Registers::new(store.clone());
        let inner = Inner {
            store,
            registers,
            directories,
            identities,
            data,
            homes: Mutex::default(),
            computes: OnceLock::new(),
            scope: scope.clone(),
            look: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Gives it the computes, and starts what runs all the time. Only the first call counts.
    pub(crate) fn attach(&self, computes: Arc<dyn Computes>) {
        if self.inner.computes.set(computes).is_ok() {
            let node = self.clone();
            self.inner.scope.spawn("snapshots", async move { node.keep_snapshots().await });
        }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    fn computes(&self) -> Result<&Arc<dyn Computes>, NodeError> {
        self.inner.computes.get().ok_or(NodeError::NotYet)
    }

    /// The home of an endpoint, whether anything is in it or not.
    pub(crate) fn home(&self, endpoint: &EndpointId) -> Arc<Home> {
        let mut homes = self.inner.homes.lock();
        let path = || self.inner.data.join("computes").join(endpoint.as_str());
        let home = homes.entry(endpoint.clone());
        Arc::clone(home.or_insert_with(|| Arc::new(Home::new(endpoint.clone(), path()))))
    }

    /// All homes that were ever looked at since the start.
    fn homes(&self) -> Vec<Arc<Home>> {
        self.inner.homes.lock().values().cloned().collect()
    }

    /// Forgets a deleted endpoint.
    pub(crate) async fn forget(&self, endpoint: &EndpointId) {
        let home = self.inner.homes.lock().remove(endpoint);
        if let Some(home) = home {
            home.quiet().await;
        }
    }
}

/// A store error as ours.
fn store_error(what: &'static str) -> impl FnOnce(StoreError) -> NodeError {
    move |source| NodeError::Store { what, source }
}
