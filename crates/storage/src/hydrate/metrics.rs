//! What hydration reports to `/metrics`, of all computes together.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Upper bounds in seconds: a page from a local pack to a read that gives up.
const WAIT_BUCKETS: [f64; 12] = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0, 30.0];

/// The metrics. Clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// `dormouse_hydration_faults_total`: requests of PostgreSQL for what was absent.
    pub faults: Counter,
    /// `dormouse_hydration_fault_errors_total`: those that failed.
    pub fault_errors: Counter,
    /// `dormouse_hydration_wait_seconds`: how long they took in the filler.
    pub wait: Histogram,
    /// `dormouse_hydration_filled_bytes_total`: bytes written into holes.
    pub bytes: Counter,
    /// `dormouse_hydrations`: directories with holes.
    pub running: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            faults: Counter::default(),
            fault_errors: Counter::default(),
            wait: Histogram::new(WAIT_BUCKETS),
            bytes: Counter::default(),
            running: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Adds them to the registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "dormouse_hydration_faults",
            "Reads and writes that waited for a chunk",
            self.faults.clone(),
        );
        registry.register(
            "dormouse_hydration_fault_errors",
            "Reads and writes that failed for want of a chunk",
            self.fault_errors.clone(),
        );
        let help = "Time that PostgreSQL waited for chunks";
        registry.register_with_unit("dormouse_hydration_wait", help, Unit::Seconds, self.wait.clone());
        let help = "Bytes written into holes";
        registry.register_with_unit("dormouse_hydration_filled", help, Unit::Bytes, self.bytes.clone());
        registry.register("dormouse_hydrations", "Directories that have holes", self.running.clone());
    }
}
