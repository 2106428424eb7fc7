//! The keeper: what computes ask of control, and what control remembers of them.
//!
//! It implements [`Host`](dormouse_compute::Host). Three promises meet here:
//!
//! * **What was decided while an endpoint slept is applied before a client gets in.** A change is a
//!   *pending* row; [`has_pending`](dormouse_compute::Host::has_pending) answers from memory, and the flag is set before anybody
//!   looks at the endpoint's state, so a start that overlaps the change cannot miss it.
//! * **A changed password stops working at once.** What the metadata knows of roles is *exact* from
//!   [`before_sleep`](dormouse_compute::Host::before_sleep) until clients may get in again. While it is not, the live catalog is
//!   asked instead ([`crate::password`]). [`opened`](dormouse_compute::Host::opened) marks the metadata stale durably, and only
//!   an orderly stop takes that back; a crash leaves the mark, and the reconciler `heal` sees it.
//! * **Nobody waits for bookkeeping.** States and events go into a bounded queue.
//!
//! A *read-only* endpoint takes no part in the first two: nothing is applied to it and nothing is learned from
//! it; its branch's writer, or the branch's rows, know the passwords.
//!
//! [`host`] is what computes ask, [`apply`] changes PostgreSQL, [`learn`] reads it, [`memory`] is the part that
//! forgets at a restart.

use std::sync::Arc;

use dormouse_base::{EndpointId, clock};
use dormouse_compute::event::Happening;
use dormouse_compute::spec::Mode;
use dormouse_pricing::Pricing;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use crate::computes::Computes;
use crate::db::{Db, DbError, endpoints, usage};
use crate::measure::colds::Waiting;
use crate::metering::{Guard, Meter};
use crate::metrics::Metrics;
use crate::model::record::Endpoint;
use crate::model::settings::Timeouts;
use crate::node::Node;
use crate::operation::StepFailure;

pub mod apply;
mod host;
pub mod learn;
pub mod memory;

use memory::Memory;

/// Events and states that wait to be written; more are counted and dropped.
pub const EVENT_QUEUE: usize = 4096;

/// Wakes reconcilers before their timer does.
#[derive(Debug, Default)]
pub struct Signals {
    /// A spare may have been used, and whoever used it is awake.
    pub spares: Notify,
    /// A compute died.
    pub heal: Notify,
    /// An endpoint went to sleep, perhaps with a scheduled job.
    pub schedule: Notify,
    /// An endpoint is awake with changes still pending.
    pub pending: Notify,
    /// Something changed that storage keeps for a disaster.
    pub mirror: Notify,
    /// Webhooks are to be told something.
    pub notices: Notify,
    /// A branch or an endpoint expires, perhaps sooner than any other.
    pub expire: Notify,
    /// Somebody changed when an endpoint is kept awake, or one that should be did not wake.
    pub warm: Notify,
    /// Those that did not.
    warm_failed: Mutex<Vec<EndpointId>>,
}

impl Signals {
    /// An endpoint that should be kept awake did not wake: it is tried again.
    pub(crate) fn warm_failed(&self, endpoint: &EndpointId) {
        self.warm_failed.lock().push(endpoint.clone());
        self.warm.notify_one();
    }

    pub(crate) fn take_warm_failed(&self) -> Vec<EndpointId> {
        std::mem::take(&mut *self.warm_failed.lock())
    }
}

/// Something to write down.
#[derive(Debug)]
pub struct Note {
    /// Of which endpoint.
    pub endpoint: EndpointId,
    /// When.
    pub at: dormouse_base::Timestamp,
    /// What.
    pub what: Noted,
}

/// What there is to write down.
#[derive(Debug)]
pub enum Noted {
    /// For the event list.
    Event(Happening),
    /// It became Active.
    Started,
    /// It left Active.
    Suspended,
}

/// See the module. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Keeper {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    db: Db,
    node: Node,
    timeouts: Timeouts,
    memory: Memory,
    meter: Meter,
    guard: Guard,
    notes: mpsc::Sender<Note>,
    unread: Mutex<Option<mpsc::Receiver<Note>>>,
    signals: Signals,
    metrics: Arc<Metrics>,
    cold_starts: Waiting,
}

impl Keeper {
    /// A keeper on this metadata. Reads which endpoints have changes pending.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub fn new(
        db: Db,
        node: Node,
        timeouts: Timeouts,
        metrics: Arc<Metrics>,
        pricing: Arc<Pricing>,
    ) -> Result<Self, DbError> {
        let (notes, unread) = mpsc::channel(EVENT_QUEUE);
        let memory = Memory::default();
        for endpoint in db.read("list pending changes", endpoints::with_pending)? {
            memory.set_pending(&endpoint, true);
        }
        let meter = Meter::resume(db.read("read the ledger", usage::load)?);
        let guard = Guard::new(pricing);
        let now = clock::now();
        guard.note_all(&db.read("look at the quotas", |db| guard.assess_all(db, now))?);
        let unread = Mutex::new(Some(unread));
        let signals = Signals::default();
        let cold_starts = Waiting::default();
        let inner =
            Inner { db, node, timeouts, memory, meter, guard, notes, unread, signals, metrics, cold_starts };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What wakes the reconcilers.
    #[must_use]
    pub fn signals(&self) -> &Signals {
        &self.inner.signals
    }

    /// What endpoints and branches use.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        &self.inner.meter
    }

    /// Wakes that are still to be measured.
    pub(crate) fn cold_starts(&self) -> &Waiting {
        &self.inner.cold_starts
    }

    /// Who may not be woken.
    #[must_use]
    pub fn guard(&self) -> &Guard {
        &self.inner.guard
    }

    /// The queue of notes; only the first caller gets it.
    pub(crate) fn take_notes(&self) -> Option<mpsc::Receiver<Note>> {
        self.inner.unread.lock().take()
    }

    /// Says that an endpoint has (or no longer has) changes that PostgreSQL has not seen. Say "has"
    /// *before* the endpoint's state is looked at.
    pub fn set_pending(&self, endpoint: &EndpointId, pending: bool) {
        self.inner.memory.set_pending(endpoint, pending);
    }

    /// Whether the metadata knows exactly which roles an endpoint has, given its row.
    #[must_use]
    pub fn is_exact(&self, endpoint: &Endpoint) -> bool {
        !endpoint.roles_stale || self.inner.memory.is_exact(&endpoint.id)
    }

    /// Whether an endpoint has a data directory on this machine.
    #[must_use]
    pub fn is_here(&self, endpoint: &EndpointId) -> bool {
        self.inner.node.is_here(endpoint)
    }

    /// Endpoints that are Paused, the longest first.
    #[must_use]
    pub fn paused(&self) -> Vec<EndpointId> {
        self.inner.memory.paused()
    }

    /// Endpoints that have changes pending.
    #[must_use]
    pub fn pending(&self) -> Vec<EndpointId> {
        self.inner.memory.pending()
    }

    /// The branch of an endpoint got other data while it was stopped: its roles are to be written again.
    pub(crate) fn changed_underneath(&self, endpoint: &Endpoint) {
        self.inner.memory.set_exact(&endpoint.id, false);
        self.inner.memory.set_pending(&endpoint.id, endpoint.mode == Mode::ReadWrite);
    }

    /// Forgets a deleted endpoint.
    pub fn forget(&self, endpoint: &EndpointId) {
        self.inner.memory.forget(endpoint);
        self.inner.meter.forget(endpoint);
        self.inner.node.forget(endpoint);
    }

    /// Applies what is pending to an Active endpoint. Returns what PostgreSQL refused; that stays
    /// pending.
    ///
    /// # Errors
    /// When the endpoint is not Active, the metadata fails, or a role cannot be made safe.
    pub(crate) async fn apply_awake(
        &self,
        computes: &dyn Computes,
        endpoint: &EndpointId,
    ) -> Result<Vec<apply::Refusal>, StepFailure> {
        let client = computes.admin(endpoint, "postgres").await?;
        let lock = self.inner.memory.lock_of(endpoint);
        let _one_at_a_time = lock.lock().await;
        let todo = apply::Todo::read(&self.inner.db, endpoint)?;
        apply::disown_dropped(computes, endpoint, &client, &todo).await?;
        let done = apply::run(&client, &todo).await;
        if let Some(changes) = computes.role_changes(endpoint) {
            match todo.alters_roles() {
                true => changes.renamed(),
                false => changes.happened(),
            }
        }
        let done = done?;
        self.settle(endpoint, done).await
    }

    /// Reads roles and databases of an Active endpoint into the metadata.
    ///
    /// # Errors
    /// When the endpoint is not Active or the metadata fails.
    pub async fn refresh(&self, computes: &dyn Computes, endpoint: &EndpointId) -> Result<(), StepFailure> {
        let client = computes.admin(endpoint, "postgres").await?;
        let learned = learn::ask(&client).await.map_err(|error| apply::failed("read the roles", &error))?;
        let (endpoint, now) = (endpoint.clone(), clock::now());
        self.inner.db.write("store the roles", move |db| learn::store(db, &endpoint, &learned, now)).await?;
        self.inner.signals.mirror.notify_one();
        Ok(())
    }

    async fn settle(
        &self,
        endpoint: &EndpointId,
        done: apply::Done,
    ) -> Result<Vec<apply::Refusal>, StepFailure> {
        let (id, refused) = (endpoint.clone(), done.refused.clone());
        let left = self
            .inner
            .db
            .write("store what was applied", move |db| {
                done.settle(db)?;
                Ok(endpoints::with_pending(db)?.contains(&id))
            })
            .await?;
        self.inner.memory.set_pending(endpoint, left);
        Ok(refused)
    }

    fn note(&self, endpoint: &EndpointId, what: Noted) {
        let note = Note { endpoint: endpoint.clone(), at: clock::now(), what };
        if self.inner.notes.try_send(note).is_err() {
            self.inner.metrics.events_dropped.inc();
        }
    }
}

#[cfg(test)]
mod tests;
