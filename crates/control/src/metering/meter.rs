//! The ledger as the rest of control holds it: cheap to tell something, and told from anywhere.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dormouse_base::{BranchId, Cu, EndpointId};
use dormouse_compute::State;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::gain::Traffic;
use super::ledger::{Batch, Doing, Ledger, Level};
use super::moment::Moment;
use crate::db::usage::Loaded;

/// The longest time between two batches, and so what a crash can lose.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// Counts what clients do. The proxy does; it starts after control, so it is attached when it is there.
pub trait Clients: Debug + Send + Sync + 'static {
    /// What clients did since this was last asked, by endpoint.
    fn take(&self) -> Vec<(EndpointId, Traffic)>;
}

#[derive(Debug)]
struct Inner {
    ledger: Mutex<Ledger>,
    /// Something happened that should be stored soon.
    news: Notify,
    clients: OnceLock<Arc<dyn Clients>>,
}

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Meter {
    inner: Arc<Inner>,
}

impl Meter {
    /// Goes on from what is stored.
    #[must_use]
    pub fn resume(from: Loaded) -> Self {
        let heartbeat = u64::try_from(HEARTBEAT.as_millis()).unwrap_or(u64::MAX);
        let ledger = Ledger::resume(from.number, from.marks, from.levels, heartbeat);
        let inner = Inner { ledger: Mutex::new(ledger), news: Notify::new(), clients: OnceLock::new() };
        Self { inner: Arc::new(inner) }
    }

    /// The next run of an endpoint begins with this size.
    pub fn size_at_start(&self, endpoint: &EndpointId, cu: Cu) {
        self.inner.ledger.lock().size_at_start(endpoint, cu, &Moment::now());
    }

    /// An endpoint is in this state.
    pub fn state(&self, endpoint: &EndpointId, state: State) {
        self.turn(&mut self.inner.ledger.lock(), endpoint, state);
    }

    fn turn(&self, ledger: &mut Ledger, endpoint: &EndpointId, state: State) {
        let doing = match state {
            State::Stopped | State::Starting => Doing::Off,
            State::Active => Doing::Active,
            State::Paused => Doing::Paused,
            // What serves finishes its work; what was frozen only ends.
            State::Stopping => match ledger.doing(endpoint) {
                Some(Doing::Active) => return,
                _ => Doing::Off,
            },
        };
        let before = ledger.doing(endpoint);
        ledger.turn(endpoint, doing, None, &Moment::now());
        if before != Some(doing) {
            self.inner.news.notify_one();
        }
    }

    /// An endpoint that the last server left is in this state, unless it has said something itself meanwhile.
    pub(crate) fn hear(&self, endpoint: &EndpointId, state: State) {
        let mut ledger = self.inner.ledger.lock();
        if ledger.doing(endpoint).is_none() {
            self.turn(&mut ledger, endpoint, state);
        }
    }

    /// An endpoint has this size.
    pub fn size(&self, endpoint: &EndpointId, cu: Cu) {
        self.inner.ledger.lock().size(endpoint, cu, &Moment::now());
    }

    /// A branch has so many bytes.
    pub fn level(&self, branch: &BranchId, storage: u64, history: u64) {
        self.inner.ledger.lock().level(branch, storage, history, &Moment::now());
    }

    /// What a branch has, as far as it was measured.
    #[must_use]
    pub fn stock(&self, branch: &BranchId) -> Option<Level> {
        self.inner.ledger.lock().stock(branch)
    }

    /// Bytes of WAL that an endpoint wrote lately.
    pub fn written(&self, endpoint: &EndpointId, bytes: u64) {
        self.inner.ledger.lock().written(endpoint, bytes, &Moment::now());
    }

    /// An endpoint was deleted.
    pub fn forget(&self, endpoint: &EndpointId) {
        self.inner.ledger.lock().forget(endpoint, &Moment::now());
    }

    /// Branches that have something in the store, as far as it was measured.
    pub(crate) fn stocked(&self) -> Vec<BranchId> {
        self.inner.ledger.lock().stocked().cloned().collect()
    }

    /// Endpoints that lived when the last server ended, and of which nothing is known yet.
    pub(crate) fn unheard(&self) -> Vec<EndpointId> {
        self.inner.ledger.lock().unheard()
    }

    /// Endpoints that are awake or paused.
    pub(crate) fn living(&self) -> Vec<EndpointId> {
        self.inner.ledger.lock().living()
    }

    /// Endpoints that are active, with their sizes.
    pub(crate) fn active(&self) -> Vec<(EndpointId, Cu)> {
        self.inner.ledger.lock().active()
    }

    /// Clients are counted there. Only the first one holds.
    pub(crate) fn attach(&self, clients: Arc<dyn Clients>) {
        let _only_once = self.inner.clients.set(clients);
    }

    /// Counts everything up to now, and gives what is to be stored.
    pub(crate) fn beat(&self, all: bool) -> Option<Arc<Batch>> {
        let traffic = self.inner.clients.get().map(|clients| clients.take()).unwrap_or_default();
        let now = Moment::now();
        let mut ledger = self.inner.ledger.lock();
        for (endpoint, traffic) in traffic {
            ledger.traffic(&endpoint, traffic, &now);
        }
        ledger.settle(&now, all);
        ledger.take()
    }

    /// A batch is stored.
    pub(crate) fn done(&self, batch: &Batch) {
        self.inner.ledger.lock().done(batch);
    }

    /// Has the heartbeat come at once.
    pub(crate) fn nudge(&self) {
        self.inner.news.notify_one();
    }

    /// Becomes ready when something should be stored soon.
    pub(crate) async fn news(&self) {
        self.inner.news.notified().await;
    }
}
