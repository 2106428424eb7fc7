//! A host that can be replaced while computes run, and that is nobody once another server has everything.
//!
//! Computes keep whom they ask for as long as they run. When a server hands over, what it writes down must end at
//! one moment, also what its last clients would have it note; and when its successor comes to nothing, its computes
//! go on with control that was opened anew.

use std::sync::Arc;

use dormouse_base::EndpointId;
use parking_lot::RwLock;
use tokio_postgres::Client;

use crate::endpoint::Run;
use crate::event::Happening;
use crate::host::{Host, HostError, QuotaUsedUp, SleepNotes};
use crate::postgres::admin::Door;
use crate::spec::{Directory, Spec};
use crate::state::State;

/// A host in front of another one.
pub struct HostChange(RwLock<Option<Arc<dyn Host>>>);

impl std::fmt::Debug for HostChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HostChange").field(&self.0.read().is_some()).finish()
    }
}

impl HostChange {
    /// In front of this one, to begin with.
    #[must_use]
    pub fn new(host: Arc<dyn Host>) -> Self {
        Self(RwLock::new(Some(host)))
    }

    /// From now on another one; `None`: what happens is another server's business.
    pub fn replace(&self, host: Option<Arc<dyn Host>>) {
        *self.0.write() = host;
    }

    fn now(&self) -> Option<Arc<dyn Host>> {
        self.0.read().clone()
    }

    fn ask(&self) -> Result<Arc<dyn Host>, HostError> {
        self.now().ok_or_else(|| HostError::new("another server has taken over"))
    }
}

#[async_trait::async_trait]
impl Host for HostChange {
    fn may_wake(&self, endpoint: &EndpointId) -> Result<(), QuotaUsedUp> {
        self.now().map_or(Ok(()), |host| host.may_wake(endpoint))
    }

    async fn spec(&self, endpoint: &EndpointId) -> Result<Spec, HostError> {
        self.ask()?.spec(endpoint).await
    }

    async fn directory(&self, spec: &Spec) -> Result<Directory, HostError> {
        self.ask()?.directory(spec).await
    }

    fn has_pending(&self, endpoint: &EndpointId) -> bool {
        self.now().is_some_and(|host| host.has_pending(endpoint))
    }

    async fn apply(&self, endpoint: &EndpointId, client: &Client) -> Result<(), HostError> {
        self.ask()?.apply(endpoint, client).await
    }

    async fn opened(&self, endpoint: &EndpointId) -> Result<(), HostError> {
        self.ask()?.opened(endpoint).await
    }

    fn awake(&self, endpoint: &EndpointId, run: &Arc<Run>) {
        if let Some(host) = self.now() {
            host.awake(endpoint, run);
        }
    }

    async fn before_sleep(&self, endpoint: &EndpointId, door: &Door) -> Result<SleepNotes, HostError> {
        self.ask()?.before_sleep(endpoint, door).await
    }

    fn thawed(&self, endpoint: &EndpointId) {
        if let Some(host) = self.now() {
            host.thawed(endpoint);
        }
    }

    async fn stopped_cleanly(&self, endpoint: &EndpointId) -> Result<(), HostError> {
        self.ask()?.stopped_cleanly(endpoint).await
    }

    fn state_changed(&self, endpoint: &EndpointId, state: State, pid: Option<u32>) {
        if let Some(host) = self.now() {
            host.state_changed(endpoint, state, pid);
        }
    }

    fn happened(&self, endpoint: &EndpointId, happening: Happening) {
        if let Some(host) = self.now() {
            host.happened(endpoint, happening);
        }
    }
}
