//! Everything that a compute asks of the rest of the product, as one trait.
//!
//! `control` implements it. The seam is deliberate: this crate starts and stops processes; it does
//! not know where data directories come from (today a copy of the template, later storage), which
//! roles should exist, or who wants to hear about events.

use std::sync::Arc;

use dormouse_base::EndpointId;
use tokio_postgres::Client;

use crate::endpoint::Run;
use crate::event::Happening;
use crate::postgres::admin::Door;
use crate::spec::{Directory, Spec};
use crate::state::State;

/// Why the host could not do its part. The text is for the operator; `full` marks a full disk.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct HostError {
    /// What failed, for the endpoint's event list.
    pub what: String,
    /// The disk is full: clients get 53100 instead of 57P03.
    pub disk_full: bool,
    /// The object store did not play along: clients get 58030 instead of 57P03.
    pub storage: bool,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl HostError {
    /// An error without a further cause.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), disk_full: false, storage: false, source: None }
    }
}

/// Why an endpoint may not be woken: its project has used up what it may use. Safe to show to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaUsedUp {
    /// What is limited, in words.
    pub what: String,
    /// What its owner can do.
    pub hint: String,
}

/// What was learned before an endpoint went to sleep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SleepNotes {
    /// A scheduled job is due about now and may not have begun: whoever is merely idle stays awake.
    pub job_is_due: bool,
}

/// What a compute asks of the rest of the product. Implementations must be quick and must not wait
/// for the same endpoint (its actor is the caller).
#[async_trait::async_trait]
pub trait Host: Send + Sync + 'static {
    /// Whether an endpoint that is not awake may be woken now. Asked at each wake, so answer from memory.
    ///
    /// # Errors
    /// When its project has used up what it may use.
    fn may_wake(&self, _endpoint: &EndpointId) -> Result<(), QuotaUsedUp> {
        Ok(())
    }

    /// What to run. Asked at each start and each adoption.
    async fn spec(&self, endpoint: &EndpointId) -> Result<Spec, HostError>;

    /// Makes the data directory ready to run on, and says where it is.
    async fn directory(&self, spec: &Spec) -> Result<Directory, HostError>;

    /// Whether [`Host::apply`] has anything to do; asked on the wake path, so answer from memory.
    fn has_pending(&self, endpoint: &EndpointId) -> bool;

    /// PostgreSQL runs and no client is in yet: apply what was decided while it slept. `client` is
    /// a superuser connection to database `postgres`.
    async fn apply(&self, endpoint: &EndpointId, client: &Client) -> Result<(), HostError>;

    /// A run begins: from now on clients may change roles, so what the metadata knows of them may
    /// become stale. Must be durable when it returns. Called while PostgreSQL boots, before any
    /// client is let in.
    async fn opened(&self, endpoint: &EndpointId) -> Result<(), HostError>;

    /// A run is open for clients, after a start or an adoption. Must not block; the run can be asked for
    /// a connection of one's own for as long as it lasts.
    fn awake(&self, endpoint: &EndpointId, run: &Arc<Run>);

    /// Nothing can change any more (the gate is closed, PostgreSQL still runs): learn the roles,
    /// databases and the next scheduled job. From here until [`Host::thawed`] the metadata is exact,
    /// as long as this server lives; only [`Host::stopped_cleanly`] makes that durable. (So a thaw
    /// costs no disk write: a server that dies meanwhile finds the durable mark of `opened`.)
    async fn before_sleep(&self, endpoint: &EndpointId, door: &Door) -> Result<SleepNotes, HostError>;

    /// A paused compute runs again and clients get in: the metadata may be stale. Must not block.
    fn thawed(&self, endpoint: &EndpointId);

    /// The run ended in order after [`Host::before_sleep`]: takes back the mark of `opened`, durably.
    async fn stopped_cleanly(&self, endpoint: &EndpointId) -> Result<(), HostError>;

    /// The endpoint is in a new state. Must not block.
    fn state_changed(&self, endpoint: &EndpointId, state: State, pid: Option<u32>);

    /// Something worth keeping on the endpoint's event list. Must not block.
    fn happened(&self, endpoint: &EndpointId, happening: Happening);
}
