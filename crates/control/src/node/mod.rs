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
//! quickest (the one that is there; a clone of the parent's; the store and a spare copy of the template),
//! tells the branch's register
//! that there is a new writer, and keeps the store in step with what the writer does. [`vault`] is the
//! other side: what control asks of branches, on the way down.
//!
//! One lock per endpoint ([`home::Home`]) orders all of it. What is durable of it is one small file,
//! [`resident`].

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dormouse_base::{EndpointId, with_causes};
use dormouse_compute::Host;
use dormouse_compute::event::Happening;
use dormouse_compute::sandbox::identity::Identities;
use dormouse_runtime::task::Scope;
use dormouse_storage::gc::{Leases, Windows};
use dormouse_storage::usage::Usage;
use dormouse_storage::{Store, StoreError};
use futures_util::stream::{self, StreamExt};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::computes::Computes;
use crate::directory::Directories;
use crate::keeper::Keeper;

pub(crate) mod resident;
pub(crate) mod home;
pub(crate) mod error;
pub(crate) mod registers;
pub(crate) mod head;
mod hole;
mod reader;
pub(crate) mod ready;
pub(crate) mod near;
pub(crate) mod twin;
pub mod ways;
pub(crate) mod publish;
pub(crate) mod standing;
pub(crate) mod left;
pub(crate) mod capture;
pub(crate) mod walsender;
pub(crate) mod filling;
pub(crate) mod shots;
pub(crate) mod backup;
pub(crate) mod evict;
pub(crate) mod import;
pub(crate) mod sizes;
pub(crate) mod upkeep;
pub(crate) mod overview;
pub(crate) mod metrics;
pub(crate) mod watch;
pub(crate) mod template;
pub mod vault;

pub use error::NodeError;
use home::Home;
use registers::Registers;
pub use ways::{LocalClone, WalSource, Ways};

/// Between two tries to fill the directory of a compute that an earlier server left running.
const FILL_AGAIN: Duration = Duration::from_secs(2);

/// Endpoints that are seen to at once where all of them are.
const AT_ONCE: usize = 16;

/// How long what is done with directories may take to end with the server.
const HOMES_END_WITHIN: Duration = Duration::from_secs(10);

/// How long tasks may take to end with the server.
const TASKS_END_WITHIN: Duration = Duration::from_secs(3);

/// What this node holds of branches. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("store", &self.inner.store).finish_non_exhaustive()
    }
}

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
    /// Held while a snapshot is taken.
    shooting: tokio::sync::Mutex<()>,
    templates: tokio::sync::Mutex<HashMap<u16, Arc<template::Template>>>,
    ways: Ways,
    found: ways::Found,
    metrics: metrics::Metrics,
    /// For sockets: a short path.
    run_root: PathBuf,
    /// What is in use of the past, so that the collector leaves it alone.
    leases: Leases,
    windows: Arc<dyn Windows>,
    usage: Usage,
    /// Held while garbage is collected.
    collecting: tokio::sync::Mutex<()>,
    /// For what an operator should read in an endpoint's events.
    troubles: OnceLock<Keeper>,
}

impl Node {
    /// A node on a store, with its data directory and a short one for sockets. Its tasks live in `scope`.
    #[must_use]
    pub fn new(
        store: Store,
        directories: Directories,
        identities: Identities,
        (data, run_root): (PathBuf, PathBuf),
        windows: Arc<dyn Windows>,
        ways: Ways,
        scope: &Scope,
    ) -> Self {
        let usage = Usage::new(&store);
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
            shooting: tokio::sync::Mutex::default(),
            templates: tokio::sync::Mutex::default(),
            ways,
            found: ways::Found::default(),
            metrics: metrics::Metrics::default(),
            run_root,
            leases: Leases::default(),
            windows,
            usage,
            collecting: tokio::sync::Mutex::default(),
            troubles: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// A node on a store in memory.
    #[cfg(test)]
    pub(crate) fn in_memory(data: &std::path::Path, directories: Directories) -> Self {
        let store = Store::new(Arc::new(object_store::memory::InMemory::new()));
        let identities = Identities::Own(dormouse_compute::sandbox::identity::Identity { uid: 1, gid: 1 });
        let windows = Arc::new(dormouse_storage::gc::Always(None));
        let places = (data.to_owned(), data.join("run"));
        Self::new(store, directories, identities, places, windows, Ways::default(), &Scope::new())
    }

    /// Gives it the computes, and starts what runs all the time. Only the first call counts.
    pub(crate) fn attach(&self, computes: Arc<dyn Computes>) {
        if self.inner.computes.set(computes).is_ok() {
            let node = self.clone();
            self.inner.scope.spawn("snapshots", async move { node.keep_snapshots().await });
            let node = self.clone();
            self.inner.scope.spawn("storage-watch", async move { node.keep_watch().await });
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

    /// Gives it somebody who writes events down. Only the first call counts.
    pub(crate) fn report_to(&self, keeper: Keeper) {
        // A second keeper would be a second server.
        let _first_counts = self.inner.troubles.set(keeper);
    }

    /// Puts something on an endpoint's event list.
    pub(super) fn trouble(&self, endpoint: &EndpointId, message: String) {
        if let Some(keeper) = self.inner.troubles.get() {
            keeper.happened(endpoint, Happening::Trouble { message });
        }
    }

    /// Whether an endpoint has a directory here.
    pub(crate) fn is_here(&self, endpoint: &EndpointId) -> bool {
        resident::is_in(&self.inner.data.join("computes").join(endpoint.as_str()))
    }

    /// After a start of the server, before computes are adopted: looks at every directory of this node. Those
    /// with holes are filled again (their PostgreSQL may be running and waits), the others are known.
    ///
    /// # Errors
    /// When the directories cannot be listed.
    pub async fn look_around(&self, slots: impl Fn(&EndpointId) -> Option<u32>) -> Result<(), NodeError> {
        let computes = self.inner.data.join("computes");
        let entries = std::fs::read_dir(&computes).map_err(NodeError::file("list", &computes))?;
        let known = entries.filter_map(Result::ok).filter_map(|entry| {
            let id = entry.file_name().to_str().and_then(|name| name.parse::<EndpointId>().ok())?;
            let slot = slots(&id)?;
            Some((self.home(&id), slot))
        });
        // Several at once: each with holes asks the store, and a store that is away is waited for.
        let known: Vec<(Arc<Home>, u32)> = known.collect();
        let looking =
            stream::iter(known).for_each_concurrent(AT_ONCE, |(home, slot)| self.look_at(home, slot));
        looking.await;
        Ok(())
    }

    async fn look_at(&self, home: Arc<Home>, slot: u32) {
        let mut held = match home.held().await {
            Ok(held) => held,
            Err(error) => {
                tracing::error!(endpoint = %home.endpoint, error = &error as &dyn std::error::Error, "unreadable");
                return;
            }
        };
        if held.resident.as_ref().is_some_and(|resident| resident.lazy)
            && let Err(error) = self.resume_filling(&home, &mut held, slot).await
        {
            tracing::error!(endpoint = %home.endpoint, error = &error as &dyn std::error::Error, "not filled");
            if held.spoilt.is_none() {
                drop(held);
                self.fill_later(home, slot);
            }
        }
    }

    /// Tries again to fill a directory whose PostgreSQL may be running and waiting, until it works.
    fn fill_later(&self, home: Arc<Home>, slot: u32) {
        let node = self.clone();
        self.inner.scope.spawn("fill-later", async move {
            let token = node.inner.scope.token();
            while tokio::time::timeout(FILL_AGAIN, token.cancelled()).await.is_err() {
                let Ok(mut held) = home.held().await else { continue };
                if held.resident.as_ref().is_none_or(|resident| !resident.lazy) || held.hydration.is_some() {
                    return;
                }
                match node.resume_filling(&home, &mut held, slot).await {
                    Ok(()) => return,
                    Err(_) if held.spoilt.is_some() => return,
                    Err(error) => tracing::debug!(endpoint = %home.endpoint, error = with_causes(&error),
                        "still not filled"),
                }
            }
        });
    }

    /// After computes were adopted: what stands still may have left something that is not in the store yet.
    pub fn catch_up(&self) {
        for home in self.homes() {
            if home.run().is_none() {
                self.at_rest(&home.endpoint, true);
            }
        }
    }

    /// The server ends: what computes left behind is filed, as far as that takes no longer than `within`. False:
    /// something is still under way.
    pub async fn close(&self, within: Duration) -> bool {
        if !self.file_everything(within).await {
            tracing::warn!("some WAL is on this machine only; the next start files it");
        }
        let ending = stream::iter(self.homes()).for_each_concurrent(AT_ONCE, |home| async move {
            home.quiet().await;
            if let Ok(held) = home.held().await
                && let Some(hydration) = &held.hydration
            {
                hydration.stop().await;
            }
        });
        let quiet = tokio::time::timeout(HOMES_END_WITHIN, ending).await.is_ok();
        if !quiet {
            tracing::warn!("something is still being done with a directory; the server ends without it");
        }
        self.inner.scope.close(TASKS_END_WITHIN).await && quiet
    }

    /// Files what computes have written up to now. False: it took longer than `within`.
    async fn file_everything(&self, within: Duration) -> bool {
        // Several at once: one that waits for something must not keep the others from being filed.
        let filing = stream::iter(self.homes()).for_each_concurrent(AT_ONCE, |home| async move {
            // What stopped was filed then; of what nobody touched there is nothing new.
            let known = home.held().await.is_ok_and(|held| held.stopped_at.is_some());
            if !known && let Err(error) = self.file_all(&home, None).await {
                tracing::warn!(endpoint = %home.endpoint, error = &error as &dyn std::error::Error, "not filed");
            }
        });
        tokio::time::timeout(within, filing).await.is_ok()
    }

    /// Forgets a deleted endpoint.
    pub(crate) fn forget(&self, endpoint: &EndpointId) {
        if let Some(home) = self.inner.homes.lock().remove(endpoint) {
            self.inner.scope.spawn("forget", async move {
                home.quiet().await;
                if let Ok(mut held) = home.held().await {
                    held.end().await;
                }
            });
        }
    }
}

/// A store error as ours.
fn store_error(what: &'static str) -> impl FnOnce(StoreError) -> NodeError {
    move |source| NodeError::Store { what, source }
}
