//! Clients that LISTEN hear everything, although their backends end with each run of the compute.
//!
//! ```text
//!            LISTEN committed              its backend ends             somebody wants the compute
//!   (none) ───────────────────► On(run) ────────────────────► Away ──────────────────────────────► On(new run)
//!                                  └──── the session ends ─────┴──────► Over
//! ```
//!
//! A client that listens on channels (`LISTEN`) keeps its backend for that. When the compute goes to sleep
//! the client stays, without a backend, and does not keep the endpoint awake. As nobody can NOTIFY while nothing
//! runs, it misses nothing until a new run begins. From then on it would: so [`Listeners`] stands in front of the
//! door that everybody goes through, clients of pools and others, and lets nobody have a compute on which a
//! listener of its endpoint does not listen yet.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dormouse_base::EndpointId;
use dormouse_pgwire::ClientError;
use dormouse_pooler::config::Settings;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::client_info::ClientInfo;
use crate::handover::Departure;
use crate::route::Route;
use crate::upstream::Handed;
use crate::wake::{Backend, Claim, Compute, End, StoredRole, TokenRefusal, Wake, same_run};

/// Others wait so long for listeners at most. A listener that is not back then is told that it has ended.
const RETURN_WITHIN: Duration = Duration::from_secs(10);

/// Where a listener's backend is.
enum Place {
    /// On this run.
    On(End),
    /// Nowhere.
    Away,
    /// Its session has ended, or listens no more.
    Over,
}

/// One client that listens.
struct Listener {
    info: Arc<ClientInfo>,
    place: watch::Sender<Place>,
    /// Somebody waits for it to come back to this run.
    wanted: Mutex<Option<End>>,
    /// It did not in time.
    late: AtomicBool,
}

/// The door, with all who listen in front of it.
pub(crate) struct Listeners {
    wake: Arc<dyn Wake>,
    all: Mutex<HashMap<EndpointId, Vec<Arc<Listener>>>>,
    count: AtomicUsize,
    /// When another process takes over.
    pub(crate) departure: Arc<Departure>,
}

/// A client's place among them; it ends when this is dropped.
pub(super) struct Listening {
    among: Arc<Listeners>,
    endpoint: EndpointId,
    listener: Arc<Listener>,
}

impl Listeners {
    pub(crate) fn new(wake: Arc<dyn Wake>) -> Self {
        Self { wake, all: Mutex::default(), count: AtomicUsize::new(0), departure: Arc::default() }
    }

    /// The door itself: for listeners.
    pub(super) fn ungated(&self) -> &dyn Wake {
        &*self.wake
    }

    /// A client begins to listen on this run.
    pub(super) fn add(
        self: &Arc<Self>,
        endpoint: &EndpointId,
        info: &Arc<ClientInfo>,
        on: &Arc<dyn Compute>,
    ) -> Listening {
        let listener = Arc::new(Listener {
            info: Arc::clone(info),
            place: watch::Sender::new(Place::On(on.closing())),
            wanted: Mutex::new(None),
            late: AtomicBool::new(false),
        });
        self.all.lock().entry(endpoint.clone()).or_default().push(Arc::clone(&listener));
        self.count.fetch_add(1, Ordering::AcqRel);
        Listening { among: Arc::clone(self), endpoint: endpoint.clone(), listener }
    }

    /// Waits until all listeners of an endpoint are on this run.
    async fn all_on(&self, endpoint: &EndpointId, run: &End) {
        let missing: Vec<_> = {
            let all = self.all.lock();
            let listeners = all.get(endpoint).map_or(&[][..], Vec::as_slice);
            listeners.iter().filter(|listener| !listener.is_settled(run)).cloned().collect()
        };
        for listener in &missing {
            *listener.wanted.lock() = Some(run.clone());
            listener.info.wake();
        }
        let back = async {
            for listener in &missing {
                let mut place = listener.place.subscribe();
                let _never_closed = place.wait_for(|place| place.is_settled(run)).await;
            }
        };
        if missing.is_empty() || tokio::time::timeout(RETURN_WITHIN, back).await.is_ok() {
            return;
        }
        for listener in missing.iter().filter(|listener| !listener.is_settled(run)) {
            tracing::warn!(client = listener.info.id, %endpoint, "a listening client could not be restored in time");
            listener.late.store(true, Ordering::Release);
            listener.info.wake();
        }
    }
}

impl Place {
    fn is_settled(&self, run: &End) -> bool {
        match self {
            Self::On(on) => same_run(on, run),
            Self::Away => false,
            Self::Over => true,
        }
    }
}

impl Listener {
    fn is_settled(&self, run: &End) -> bool {
        self.place.borrow().is_settled(run)
    }
}

impl Listening {
    /// It listens on this run.
    pub(super) fn on(&self, run: &Arc<dyn Compute>) {
        if !self.listener.is_settled(&run.closing()) {
            self.listener.place.send_replace(Place::On(run.closing()));
        }
    }

    /// Its backend has ended.
    pub(super) fn away(&self) {
        self.listener.place.send_replace(Place::Away);
    }

    /// Whether somebody waits for it to come back, to a run that has not ended meanwhile.
    pub(super) fn is_wanted(&self) -> bool {
        let wanted = self.listener.wanted.lock();
        wanted.as_ref().is_some_and(|run| run.has_changed().is_ok() && run.borrow().is_none())
    }

    /// Whether others went on without it.
    pub(super) fn is_late(&self) -> bool {
        self.listener.late.load(Ordering::Acquire)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut all = self.among.all.lock();
        if let Some(listeners) = all.get_mut(&self.endpoint) {
            listeners.retain(|listener| !Arc::ptr_eq(listener, &self.listener));
            if listeners.is_empty() {
                all.remove(&self.endpoint);
            }
        }
        drop(all);
        self.among.count.fetch_sub(1, Ordering::AcqRel);
        self.listener.place.send_replace(Place::Over);
    }
}

#[async_trait::async_trait]
impl Wake for Listeners {
    fn locate(&self, route: &Route) -> Result<EndpointId, ClientError> {
        self.wake.locate(route)
    }

    fn admit(&self, endpoint: &EndpointId, from: IpAddr) -> Result<(), ClientError> {
        self.wake.admit(endpoint, from)
    }

    fn expects_token(&self, endpoint: &EndpointId) -> bool {
        self.wake.expects_token(endpoint)
    }

    fn check_token(&self, token: &[u8], claim: Claim<'_>) -> Result<(), TokenRefusal> {
        self.wake.check_token(token, claim)
    }

    async fn stored_password(
        &self,
        endpoint: &EndpointId,
        role: &str,
    ) -> Result<Option<StoredRole>, ClientError> {
        self.wake.stored_password(endpoint, role).await
    }

    fn remembered_password(&self, endpoint: &EndpointId, role: &str) -> Option<StoredRole> {
        self.wake.remembered_password(endpoint, role)
    }

    async fn is_same_role(&self, endpoint: &EndpointId, role: &str, oid: u32) -> Result<bool, ClientError> {
        self.wake.is_same_role(endpoint, role, oid).await
    }

    fn knows_key(&self, key: &str) -> bool {
        self.wake.knows_key(key)
    }

    fn key_opens(&self, key: &str, endpoint: Option<&EndpointId>) -> bool {
        self.wake.key_opens(key, endpoint)
    }

    fn owner_of(&self, endpoint: &EndpointId, database: &str) -> Result<Option<String>, ClientError> {
        self.wake.owner_of(endpoint, database)
    }

    fn is_awake(&self, endpoint: &EndpointId) -> bool {
        self.wake.is_awake(endpoint)
    }

    async fn keep_pool_settings(
        &self,
        changes: &[(&'static str, Option<String>)],
    ) -> Result<(), ClientError> {
        self.wake.keep_pool_settings(changes).await
    }

    fn pool_settings(
        &self,
        endpoint: &EndpointId,
        database: &str,
        role: &str,
        global: &Settings,
    ) -> Settings {
        self.wake.pool_settings(endpoint, database, role, global)
    }

    fn stands_in(&self) -> bool {
        self.wake.stands_in()
    }

    fn keeps_up(&self, endpoint: &EndpointId, database: &str) -> bool {
        self.wake.keeps_up(endpoint, database)
    }

    fn hand(&self, database: &str, role: &str) -> Option<Handed> {
        self.wake.hand(database, role)
    }

    fn moves_in(&self) -> bool {
        self.wake.moves_in()
    }

    fn is_auto(&self, endpoint: &EndpointId) -> bool {
        self.wake.is_auto(endpoint)
    }

    fn forgotten(&self, endpoint: &EndpointId, database: &str) {
        self.wake.forgotten(endpoint, database);
    }

    fn place(&self, endpoint: &EndpointId, database: &str) -> String {
        self.wake.place(endpoint, database)
    }

    fn running(&self, endpoint: &EndpointId, identity: &str) -> Option<Arc<dyn Compute>> {
        self.wake.running(endpoint, identity)
    }

    async fn acquire(&self, endpoint: &EndpointId) -> Result<Backend, ClientError> {
        let backend = self.wake.acquire(endpoint).await?;
        if self.count.load(Ordering::Acquire) > 0 {
            self.all_on(endpoint, &backend.compute.closing()).await;
        }
        Ok(backend)
    }
}
