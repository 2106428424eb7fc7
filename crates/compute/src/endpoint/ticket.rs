//! Measures a wake to its first row.
//!
//! The actor knows how long the boot took; only the proxy sees the client's backend answer. Who
//! caused the wake gets a ticket, marks the two last phases on it, and drops it: then the wake is
//! written on the event list and the compute returns to ordinary priority.

use std::fmt;
use std::sync::Arc;

use dormouse_base::EndpointId;
use dormouse_base::clock::Mono;

use super::run::Run;
use crate::event::{Cause, Happening, Phases};
use crate::host::Host;
use crate::metrics::Metrics;

/// Filled in by the one who woke the endpoint; recorded when dropped.
pub struct Ticket {
    endpoint: EndpointId,
    cause: Cause,
    phases: Phases,
    last: Mono,
    run: Arc<Run>,
    host: Arc<dyn Host>,
    metrics: Metrics,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("endpoint", &self.endpoint).field("phases", &self.phases).finish()
    }
}

impl Ticket {
    pub(super) fn new(
        endpoint: EndpointId,
        cause: Cause,
        phases: Phases,
        run: Arc<Run>,
        host: Arc<dyn Host>,
        metrics: Metrics,
    ) -> Self {
        Self { endpoint, cause, phases, last: Mono::now(), run, host, metrics }
    }

    /// The client's backend is ready for queries.
    pub fn connected(&mut self) {
        self.phases.connect_us = self.lap();
    }

    /// The first row (or completion) went to the client.
    pub fn first_row(&mut self) {
        self.phases.first_row_us = self.lap();
    }

    fn lap(&mut self) -> u64 {
        let now = Mono::now();
        let us = u64::try_from(now.since(self.last).as_micros()).unwrap_or(u64::MAX);
        self.last = now;
        us
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.run.settle();
        self.metrics.woke(&self.phases);
        tracing::info!(endpoint = %self.endpoint, cause = ?self.cause, phases = ?self.phases, "woke");
        self.host.happened(&self.endpoint, Happening::Woke { cause: self.cause, phases: self.phases });
    }
}
