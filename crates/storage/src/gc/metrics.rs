//! What the collector counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The counters of a collector. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) runs: Counter,
    pub(super) failures: Counter,
    pub(super) deleted: Counter,
    pub(super) deleted_bytes: Counter,
    pub(super) retired: Counter,
    pub(super) restored: Counter,
    pub(super) rewritten: Counter,
    pub(super) waiting: Gauge,
    pub(super) strange: Gauge,
    pub(super) frozen: Gauge,
}

impl Metrics {
    /// Adds them to a registry.
    pub fn register(&self, registry: &mut Registry) {
        let counters = [
            ("dormouse_gc_runs", "Runs of the collector that ended", &self.runs),
            ("dormouse_gc_failures", "Projects that a run gave up, for any reason", &self.failures),
            ("dormouse_gc_deleted_objects", "Objects deleted because nothing reached them", &self.deleted),
            ("dormouse_gc_deleted_bytes", "Bytes of these objects", &self.deleted_bytes),
            ("dormouse_gc_retired_snapshots", "Snapshots that left the list of their branch", &self.retired),
            ("dormouse_gc_restored_snapshots", "Snapshots put back for a branch just made", &self.restored),
            ("dormouse_gc_rewritten_packs", "Packs whose live parts were written anew", &self.rewritten),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        let gauges = [
            (
                "dormouse_gc_waiting_objects",
                "Unreached objects that the last run left to wait",
                &self.waiting,
            ),
            ("dormouse_gc_strange_objects", "Objects that the last run did not understand", &self.strange),
            ("dormouse_gc_frozen_projects", "Projects that the last run did not dare to touch", &self.frozen),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
    }
}
