//! What control counts. Registered once, in the server's one registry.
//!
//! | metric | labels |
//! |---|---|
//! | `dormouse_operations_total` | `kind`, `outcome` = done, undone, stuck |
//! | `dormouse_reconciler_runs_total` | `reconciler`, `outcome` = ok, failed |
//! | `dormouse_endpoint_events_dropped_total` | |
//! | `dormouse_api_requests_total` | `status` |

use dormouse_runtime::telemetry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::operation::phase::Phase;

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
#[derive(Debug, Default)]
pub struct Metrics {
    operations: Family<OperationLabels, Counter>,
    reconcilers: Family<ReconcilerLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    changes: Family<ChangeLabels, Counter>,
    notices: Family<NoticeLabels, Counter>,
    /// Events that found the queue full.
    pub events_dropped: Counter,
}

impl Metrics {
    /// Makes the counters visible.
    pub fn register(&self, metrics: &telemetry::Metrics) {
        metrics.register(|registry| {
            registry.register("dormouse_operations", "Operations that ended", self.operations.clone());
            registry.register("dormouse_reconciler_runs", "Runs of reconcilers", self.reconcilers.clone());
            registry.register("dormouse_api_requests", "API requests by status", self.requests.clone());
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

    pub(crate) fn request(&self, status: u16) {
        self.requests.get_or_create(&RequestLabels { status: u32::from(status) }).inc();
    }
}
