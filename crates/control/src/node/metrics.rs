//! What this node counts of storage. [`Node::register_metrics`] adds it to the server's registry, with what
//! hydration and the collector of garbage count themselves.
//!
//! | metric | |
//! |---|---|
//! | `dormouse_snapshots_total{kind}` | `clean`, `online`: published |
//! | `dormouse_snapshot_failures_total` | those that were given up (not those that gave way to a start) |
//! | `dormouse_snapshot_bytes_total` | bytes that they added to the store |
//! | `dormouse_snapshot_seconds` | time of each |
//! | `dormouse_wal_lag_bytes`, `dormouse_wal_lag_seconds` | WAL that is on this machine only: the sum, the oldest |
//! | `dormouse_wal_filed_bytes_total{form}` | WAL that was filed, `plain` and as `stored` |
//! | `dormouse_wal_pieces_total` | objects of it |
//! | `dormouse_wal_slot_losses_total` | replication slots that were found lost |
//! | `dormouse_wal_alarms` | endpoints whose WAL somebody should look at |
//! | `dormouse_residents` | directories of branches on this machine |

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use dormouse_runtime::telemetry;
use dormouse_storage::branch::record::SnapshotKind;
use dormouse_storage::wal::filer::Status;
use dormouse_storage::{gc, hydrate};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::Node;

/// Upper bounds in seconds: from a small clean snapshot to a large first one.
const SNAPSHOT_BUCKETS: [f64; 9] = [0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 20.0, 100.0, 1000.0];

/// Labels of `dormouse_snapshots_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct KindLabel {
    kind: &'static str,
}

/// Labels of `dormouse_wal_filed_bytes_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FormLabel {
    form: &'static str,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Metrics {
    snapshots: Family<KindLabel, Counter>,
    pub(super) snapshot_failures: Counter,
    snapshot_bytes: Counter,
    snapshot_time: Histogram,
    pub(super) lag_bytes: Gauge,
    pub(super) lag: Gauge<f64, AtomicU64>,
    filed: Family<FormLabel, Counter>,
    pieces: Counter,
    slot_losses: Counter,
    pub(super) alarms: Gauge,
    pub(super) residents: Gauge,
    pub(super) hydration: hydrate::Metrics,
    pub(super) garbage: gc::Metrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            snapshots: Family::default(),
            snapshot_failures: Counter::default(),
            snapshot_bytes: Counter::default(),
            snapshot_time: Histogram::new(SNAPSHOT_BUCKETS),
            lag_bytes: Gauge::default(),
            lag: Gauge::default(),
            filed: Family::default(),
            pieces: Counter::default(),
            slot_losses: Counter::default(),
            alarms: Gauge::default(),
            residents: Gauge::default(),
            hydration: hydrate::Metrics::default(),
            garbage: gc::Metrics::default(),
        }
    }
}

/// What was counted of one filer already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pieces: u64,
    plain: u64,
    stored: u64,
    slot_losses: u64,
}

impl Counted {
    fn of(status: &Status) -> Self {
        Self {
            pieces: status.pieces,
            plain: status.plain_bytes,
            stored: status.stored_bytes,
            slot_losses: u64::from(status.slot_losses),
        }
    }
}

impl Metrics {
    /// A snapshot was published.
    pub(super) fn snapshot(&self, kind: SnapshotKind, bytes: u64, time: Duration) {
        let kind = match kind {
            SnapshotKind::Clean => "clean",
            SnapshotKind::Online => "online",
        };
        self.snapshots.get_or_create(&KindLabel { kind }).inc();
        self.snapshot_bytes.inc_by(bytes);
        self.snapshot_time.observe(time.as_secs_f64());
    }

    /// Adds what a filer did since it was looked at last. A new filer begins at zero.
    pub(super) fn filed(&self, before: &mut Counted, status: &Status) {
        let now = Counted::of(status);
        let grown = |before: u64, now: u64| if now >= before { now - before } else { now };
        self.pieces.inc_by(grown(before.pieces, now.pieces));
        self.slot_losses.inc_by(grown(before.slot_losses, now.slot_losses));
        let filed = |form| self.filed.get_or_create(&FormLabel { form }).clone();
        filed("plain").inc_by(grown(before.plain, now.plain));
        filed("stored").inc_by(grown(before.stored, now.stored));
        *before = now;
    }

    fn register(&self, registry: &mut Registry) {
        self.hydration.register(registry);
        self.garbage.register(registry);
        registry.register("dormouse_snapshots", "Snapshots published", self.snapshots.clone());
        let help = "Snapshots that were given up";
        registry.register("dormouse_snapshot_failures", help, self.snapshot_failures.clone());
        let help = "Bytes that snapshots added to the store";
        registry.register("dormouse_snapshot_bytes", help, self.snapshot_bytes.clone());
        let help = "Time of a snapshot";
        registry.register_with_unit("dormouse_snapshot", help, Unit::Seconds, self.snapshot_time.clone());
        let help = "Bytes of WAL that are on this machine only";
        registry.register("dormouse_wal_lag_bytes", help, self.lag_bytes.clone());
        let help = "How long the oldest WAL has been waiting to be filed";
        registry.register_with_unit("dormouse_wal_lag", help, Unit::Seconds, self.lag.clone());
        registry.register("dormouse_wal_filed_bytes", "Bytes of WAL filed", self.filed.clone());
        registry.register("dormouse_wal_pieces", "Pieces of WAL filed", self.pieces.clone());
        let help = "Replication slots that were found lost";
        registry.register("dormouse_wal_slot_losses", help, self.slot_losses.clone());
        let help = "Endpoints whose WAL somebody should look at";
        registry.register("dormouse_wal_alarms", help, self.alarms.clone());
        registry.register("dormouse_residents", "Directories of branches here", self.residents.clone());
    }
}

impl Node {
    /// Makes what this node counts visible.
    pub(crate) fn register_metrics(&self, metrics: &telemetry::Metrics) {
        metrics.register(|registry| self.inner.metrics.register(registry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_filer_does_not_count_backwards() {
        let metrics = Metrics::default();
        let mut seen = Counted::default();
        let status = |pieces| Status { pieces, plain_bytes: pieces * 10, ..Status::default() };
        for pieces in [3, 5, 1] {
            metrics.filed(&mut seen, &status(pieces));
        }
        assert_eq!(metrics.pieces.get(), 6);
        assert_eq!(metrics.filed.get_or_create(&FormLabel { form: "plain" }).get(), 60);
    }

    #[test]
    fn every_metric_has_the_name_of_the_table() {
        let metrics = Metrics::default();
        metrics.snapshot(SnapshotKind::Clean, 7, Duration::from_millis(60));
        metrics.filed(&mut Counted::default(), &Status { pieces: 1, stored_bytes: 4, ..Status::default() });
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for name in [
            "dormouse_snapshots_total{kind=\"clean\"} 1",
            "dormouse_snapshot_failures_total 0",
            "dormouse_snapshot_bytes_total 7",
            "dormouse_snapshot_seconds_count 1",
            "dormouse_wal_lag_bytes 0",
            "dormouse_wal_lag_seconds 0",
            "dormouse_wal_filed_bytes_total{form=\"stored\"} 4",
            "dormouse_wal_pieces_total 1",
            "dormouse_wal_slot_losses_total 0",
            "dormouse_wal_alarms 0",
            "dormouse_residents 0",
            "dormouse_hydration_faults_total 0",
            "dormouse_gc_runs_total 0",
        ] {
            assert!(text.contains(name), "{name}\n{text}");
        }
    }
}
