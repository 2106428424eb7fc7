//! What computes report to `/metrics`.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::event::Phases;
use crate::limits::Reason;
use crate::state::State;

/// Upper bounds in seconds: a millisecond to half a minute, each about double the one before.
const WAKE_BUCKETS: [f64; 16] =
    [0.001, 0.002, 0.004, 0.008, 0.012, 0.016, 0.024, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 2.0, 8.0, 30.0];

/// Upper bounds in seconds: looking at the computes of a node takes microseconds, or something is wrong.
const LOOK_BUCKETS: [f64; 8] = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.25];

/// A label of one value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Label {
    /// The value; the key is the family's.
    kind: &'static str,
}

/// The metrics of all endpoints together.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// `dormouse_endpoints{kind=<state>}`.
    pub endpoints: Family<Label, Gauge>,
    /// `dormouse_wake_seconds{kind=<phase|total|thaw>}`.
    pub wake: Family<Label, Histogram, fn() -> Histogram>,
    /// `dormouse_start_failures_total`.
    pub start_failures: Counter,
    /// `dormouse_crashes_total`.
    pub crashes: Counter,
    /// `dormouse_adoptions_total`.
    pub adoptions: Counter,
    /// `dormouse_resizes_total{kind=<reason>}`.
    pub resizes: Family<Label, Counter>,
    /// `dormouse_compute_units`.
    pub compute_units: Gauge<f64, AtomicU64>,
    /// `dormouse_size_look_seconds`.
    pub size_look: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            endpoints: Family::default(),
            wake: Family::new_with_constructor(|| Histogram::new(WAKE_BUCKETS)),
            start_failures: Counter::default(),
            crashes: Counter::default(),
            adoptions: Counter::default(),
            resizes: Family::default(),
            compute_units: Gauge::default(),
            size_look: Histogram::new(LOOK_BUCKETS),
        }
    }
}

impl Metrics {
    /// Adds them to the registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "dormouse_endpoints",
            "Endpoints that have been used, by state",
            self.endpoints.clone(),
        );
        registry.register_with_unit(
            "dormouse_wake",
            "Time of wakes by phase; `total` is Stopped to first row, `thaw` is Paused to running",
            Unit::Seconds,
            self.wake.clone(),
        );
        registry.register("dormouse_start_failures", "Starts that failed", self.start_failures.clone());
        registry.register("dormouse_crashes", "Postmasters that died by themselves", self.crashes.clone());
        registry.register(
            "dormouse_adoptions",
            "Computes taken over from an earlier server",
            self.adoptions.clone(),
        );
        self.register_sizes(registry);
    }

    /// Adds what is known of sizes.
    fn register_sizes(&self, registry: &mut Registry) {
        registry.register("dormouse_resizes", "Changes of size by reason", self.resizes.clone());
        registry.register(
            "dormouse_compute_units",
            "Size of all active computes together, compute units",
            self.compute_units.clone(),
        );
        registry.register_with_unit(
            "dormouse_size_look",
            "Time to look at the use of all active computes, four times a second while there is one",
            Unit::Seconds,
            self.size_look.clone(),
        );
    }

    /// Counts a change of size.
    pub fn resized(&self, reason: Reason) {
        self.resizes.get_or_create(&Label { kind: reason.name() }).inc();
    }

    /// All active computes were looked at: how long that took, and how many compute units they have together.
    pub fn looked(&self, took: Duration, units: f64) {
        self.size_look.observe(took.as_secs_f64());
        self.compute_units.set(units);
    }

    /// Counts a change of state.
    pub fn moved(&self, from: Option<State>, to: Option<State>) {
        if let Some(from) = from {
            self.endpoints.get_or_create(&Label { kind: from.name() }).dec();
        }
        if let Some(to) = to {
            self.endpoints.get_or_create(&Label { kind: to.name() }).inc();
        }
    }

    /// Records the phases of one wake.
    pub fn woke(&self, phases: &Phases) {
        for (name, us) in phases.named() {
            self.observe(name, us);
        }
        self.observe("total", u64::try_from(phases.total().as_micros()).unwrap_or(u64::MAX));
    }

    /// Records one duration in microseconds.
    pub fn observe(&self, kind: &'static str, us: u64) {
        self.wake.get_or_create(&Label { kind }).observe(us as f64 / 1e6);
    }
}
