//! What control counts. Registered once, in the server's one registry.
//!
//! | metric | labels |
//! |---|---|
//! | `dormouse_operations_total` | `kind`, `outcome` = done, undone, stuck |
//! | `dormouse_reconciler_runs_total` | `reconciler`, `outcome` = ok, failed |
//! | `dormouse_endpoint_events_dropped_total` | |
//! | `dormouse_api_requests_total` | `route` (the `operationId`, or `none`), `status` |
//! | `dormouse_api_request_seconds` | |
//! | `dormouse_alert_changes_total` | `to` |
//! | `dormouse_notices_total` | `outcome` = delivered, retried, failed |

use std::time::Duration;

use dormouse_runtime::telemetry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

use crate::operation::phase::Phase;

/// Upper bounds in seconds: from what the metadata answers to what has to stop and start an endpoint.
const REQUEST_BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 2.0, 10.0, 120.0];

/// Labels of `dormouse_operations_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OperationLabels {
    kind: String,
    outcome: &'static str,
}

/// Labels of `dormouse_reconciler_runs_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReconcilerLabels {
    reconciler: &'static str,
    outcome: &'static str,
}

/// Labels of `dormouse_api_requests_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    route: &'static str,
    status: u32,
}

/// Labels of `dormouse_alert_changes_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ChangeLabels {
    to: &'static str,
}

/// Labels of `dormouse_notices_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct NoticeLabels {
    outcome: &'static str,
}

/// The counters.
#[derive(Debug)]
pub struct Metrics {
    operations: Family<OperationLabels, Counter>,
    reconcilers: Family<ReconcilerLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    request_time: Histogram,
    changes: Family<ChangeLabels, Counter>,
    notices: Family<NoticeLabels, Counter>,
    /// Events that found the queue full.
    pub events_dropped: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            operations: Family::default(),
            reconcilers: Family::default(),
            requests: Family::default(),
            request_time: Histogram::new(REQUEST_BUCKETS),
            changes: Family::default(),
            notices: Family::default(),
            events_dropped: Counter::default(),
        }
    }
}

impl Metrics {
    /// Makes the counters visible.
    pub fn register(&self, metrics: &telemetry::Metrics) {
        metrics.register(|registry| {
            registry.register("dormouse_operations", "Operations that ended", self.operations.clone());
            registry.register("dormouse_reconciler_runs", "Runs of reconcilers", self.reconcilers.clone());
            registry.register(
                "dormouse_api_requests",
                "API requests by route and status",
                self.requests.clone(),
            );
            let help = "Time of an API request";
            registry.register_with_unit(
                "dormouse_api_request",
                help,
                Unit::Seconds,
                self.request_time.clone(),
            );
            let help = "Changes of alerts, by the state that they led to";
            registry.register("dormouse_alert_changes", help, self.changes.clone());
            let help = "Tries to tell a webhook, by what came of them";
            registry.register("dormouse_notices", help, self.notices.clone());
            let help = "Endpoint events that were lost because the queue was full";
            registry.register("dormouse_endpoint_events_dropped", help, self.events_dropped.clone());
        });
    }

    pub(crate) fn operation(&self, kind: &str, phase: Phase) {
        self.operations
            .get_or_create(&OperationLabels { kind: kind.to_owned(), outcome: phase.name() })
            .inc();
    }

    pub(crate) fn reconciler(&self, reconciler: &'static str, ok: bool) {
        let outcome = if ok { "ok" } else { "failed" };
        self.reconcilers.get_or_create(&ReconcilerLabels { reconciler, outcome }).inc();
    }

    pub(crate) fn alert_changed(&self, to: &'static str) {
        self.changes.get_or_create(&ChangeLabels { to }).inc();
    }

    pub(crate) fn notice(&self, outcome: &'static str) {
        self.notices.get_or_create(&NoticeLabels { outcome }).inc();
    }

    pub(crate) fn request(&self, route: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&RequestLabels { route, status: u32::from(status) }).inc();
        self.request_time.observe(took.as_secs_f64());
    }
}
