//! What the proxy reports to `/metrics`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::console::PoolMetrics;

/// Upper bounds in seconds of the time from accept to the first ReadyForQuery.
const LOGIN_BUCKETS: [f64; 13] =
    [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 4.0, 30.0];

/// How a connection attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    /// `served`, `cancel_request`, or the SQLSTATE it was refused with.
    pub outcome: String,
}

/// The proxy's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// `dormouse_client_connections_total{outcome}`.
    pub connections: Family<Outcome, Counter>,
    /// `dormouse_client_sessions`: clients past login now.
    pub sessions: Gauge,
    /// `dormouse_client_handshakes`: clients before login now.
    pub handshakes: Gauge,
    /// `dormouse_auth_failures_total`.
    pub auth_failures: Counter,
    /// `dormouse_login_seconds`: from accept to the first ReadyForQuery, wake included.
    pub login: Histogram,
    /// `dormouse_pool_…`: see `console/metrics.rs`.
    pub(crate) pools: PoolMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            connections: Family::default(),
            sessions: Gauge::default(),
            handshakes: Gauge::default(),
            auth_failures: Counter::default(),
            login: Histogram::new(LOGIN_BUCKETS),
            pools: PoolMetrics::default(),
        }
    }
}

impl Metrics {
    /// Adds them to the registry.
    pub fn register(&self, registry: &mut Registry) {
        let connections = self.connections.clone();
        registry.register("dormouse_client_connections", "Connections by how their start ended", connections);
        registry.register("dormouse_client_sessions", "Clients past login", self.sessions.clone());
        registry.register("dormouse_client_handshakes", "Clients before login", self.handshakes.clone());
        registry.register("dormouse_auth_failures", "Failed logins", self.auth_failures.clone());
        let help = "From accept to the first ReadyForQuery, wake included";
        registry.register_with_unit("dormouse_login", help, Unit::Seconds, self.login.clone());
        registry.register_collector(Box::new(self.pools.clone()));
    }

    /// Counts the end of a connection's start.
    pub fn ended(&self, outcome: &str) {
        self.connections.get_or_create(&Outcome { outcome: outcome.to_owned() }).inc();
    }
}
