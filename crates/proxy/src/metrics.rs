//! What the proxy reports to `/metrics`.

use std::time::Duration;

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

/// Upper bounds in seconds of the time of a request over HTTP.
const REQUEST_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// A door of the gateway: `sql`, `queries` or `websocket`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DoorLabel {
    /// Which one.
    pub door: &'static str,
}

/// How a request over HTTP ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Answered {
    /// Which door.
    pub door: &'static str,
    /// The HTTP status.
    pub status: u32,
}

/// A WebSocket that is open; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenSocket(Gauge);

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The proxy's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// `dormouse_client_connections_total{outcome}`.
    pub connections: Family<Outcome, Counter>,
    /// Those of them that came through. Each login counts here, so it is not looked for by its label.
    served: Counter,
    /// `dormouse_client_sessions`: clients past login now.
    pub sessions: Gauge,
    /// `dormouse_client_handshakes`: clients before login now.
    pub handshakes: Gauge,
    /// `dormouse_auth_failures_total`.
    pub auth_failures: Counter,
    /// `dormouse_login_seconds`: from accept to the first ReadyForQuery, wake included.
    pub login: Histogram,
    /// `dormouse_gateway_requests_total{door,status}`.
    pub requests: Family<Answered, Counter>,
    /// `dormouse_gateway_request_seconds{door}`: to the beginning of the answer.
    pub request_time: Family<DoorLabel, Histogram, fn() -> Histogram>,
    /// `dormouse_gateway_websockets`: open now.
    pub websockets: Gauge,
    /// `dormouse_pool_…`: see `console/metrics.rs`.
    pub(crate) pools: PoolMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let connections = Family::<Outcome, Counter>::default();
        Self {
            served: connections.get_or_create_owned(&Outcome { outcome: "served".to_owned() }),
            connections,
            sessions: Gauge::default(),
            handshakes: Gauge::default(),
            auth_failures: Counter::default(),
            login: Histogram::new(LOGIN_BUCKETS),
            requests: Family::default(),
            request_time: Family::new_with_constructor(|| Histogram::new(REQUEST_BUCKETS)),
            websockets: Gauge::default(),
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
        let help = "Requests for the database over HTTP, by how they were answered";
        registry.register("dormouse_gateway_requests", help, self.requests.clone());
        let help = "From a request over HTTP to the beginning of its answer, a wake included";
        registry.register_with_unit(
            "dormouse_gateway_request",
            help,
            Unit::Seconds,
            self.request_time.clone(),
        );
        registry.register("dormouse_gateway_websockets", "WebSockets that are open", self.websockets.clone());
        registry.register_collector(Box::new(self.pools.clone()));
    }

    /// A request over HTTP was answered.
    pub(crate) fn answered(&self, door: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&Answered { door, status: u32::from(status) }).inc();
        self.request_time.get_or_create(&DoorLabel { door }).observe(took.as_secs_f64());
    }

    /// A WebSocket is open.
    pub(crate) fn websocket(&self) -> OpenSocket {
        self.websockets.inc();
        OpenSocket(self.websockets.clone())
    }

    /// Counts a client that came through its login.
    pub(crate) fn served(&self) {
        self.served.inc();
    }

    /// Counts another end of a connection's start.
    pub fn ended(&self, outcome: &str) {
        self.connections.get_or_create(&Outcome { outcome: outcome.to_owned() }).inc();
    }
}
