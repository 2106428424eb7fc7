//! Joins the proxy's counters to control's ledger.

use std::sync::Arc;

use dormouse_base::EndpointId;
use dormouse_control::metering::{Clients, Traffic};
use dormouse_proxy::Proxy;

/// What clients of this proxy do.
#[derive(Debug)]
pub(crate) struct Counted(pub(crate) Arc<Proxy>);

impl Clients for Counted {
    fn take(&self) -> Vec<(EndpointId, Traffic)> {
        let one = |traffic: dormouse_proxy::Traffic| Traffic {
            egress: traffic.egress,
            ingress: traffic.ingress,
            queries: traffic.queries,
        };
        self.0.take_traffic().into_iter().map(|(endpoint, traffic)| (endpoint, one(traffic))).collect()
    }
}
