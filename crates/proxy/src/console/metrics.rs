//! The pools on `/metrics`, read when somebody asks.
//!
//! Labels are bounded: an endpoint's pools are added up, and endpoints beyond [`MAX_ENDPOINTS`] are together in
//! `other`, so that a server with thousands of databases does not drown whoever watches it.
//!
//! | metric | labels |
//! |---|---|
//! | `dormouse_pools` | |
//! | `dormouse_pool_clients` | `endpoint`, `state` = active, waiting |
//! | `dormouse_pool_servers` | `endpoint`, `state` = active, idle, opening |
//! | `dormouse_pool_pinned` | `endpoint`, `reason` |
//! | `dormouse_pool_max_wait_seconds` | `endpoint` |
//! | `dormouse_pool_wait_seconds` (histogram) | `endpoint` |
//! | `dormouse_pool_assignments_total`, `…_transactions_total`, `…_queries_total`, `…_client_parses_total`, `…_server_parses_total`, `…_binds_total`, `…_logins_total`, `…_wakes_total` | `endpoint` |

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dormouse_pooler::stats::{BOUNDS, Counters, Histogram};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::pooled::{Pool, Pools};

/// Endpoints that have numbers of their own.
const MAX_ENDPOINTS: usize = 200;

/// The label of all others.
const OTHER: &str = "other";

/// The pools, as soon as there are any.
#[derive(Clone, Default)]
pub(crate) struct PoolMetrics(Arc<OnceLock<Arc<Pools>>>);

impl fmt::Debug for PoolMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PoolMetrics")
    }
}

impl PoolMetrics {
    /// Looks at these from now on.
    pub(crate) fn watch(&self, pools: &Arc<Pools>) {
        let _only_once = self.0.set(Arc::clone(pools));
    }
}

/// The pools of one endpoint, added up.
#[derive(Debug, Default)]
struct Sum {
    clients: [usize; 2],
    servers: [usize; 3],
    pins: BTreeMap<&'static str, usize>,
    max_wait: Duration,
    counters: Counters,
    waits: Histogram,
    wakes: u64,
}

impl Sum {
    fn add(&mut self, pool: &Pool) {
        let (counts, stats) = (pool.counts(), pool.stats());
        let clients = [counts.cl_active, counts.cl_waiting];
        let servers = [counts.sv_active, counts.sv_idle + counts.sv_used, counts.sv_login];
        self.clients.iter_mut().zip(clients).for_each(|(sum, more)| *sum += more);
        self.servers.iter_mut().zip(servers).for_each(|(sum, more)| *sum += more);
        for backend in pool.backends() {
            for reason in backend.pins() {
                *self.pins.entry(reason).or_default() += 1;
            }
        }
        self.max_wait = self.max_wait.max(counts.maxwait);
        self.counters += &stats.counters;
        self.waits.add(&stats.waits);
        self.wakes += stats.wakes;
    }
}

/// Sums by endpoint.
fn sums(pools: &[Arc<Pool>]) -> BTreeMap<String, Sum> {
    let mut found: BTreeMap<String, Sum> = BTreeMap::new();
    for pool in pools {
        let endpoint = pool.key.endpoint.as_str();
        let known = found.contains_key(endpoint) || found.len() < MAX_ENDPOINTS;
        found.entry(if known { endpoint } else { OTHER }.to_owned()).or_default().add(pool);
    }
    found
}

/// Writes families of metrics.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn gauges<'s>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        rows: impl IntoIterator<Item = (&'s str, &'static str, usize)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (endpoint, value, count) in rows {
            let labels = [("endpoint", endpoint), (label, value)];
            family.encode_family(&labels)?.encode_gauge(&i64::try_from(count).unwrap_or(i64::MAX))?;
        }
        Ok(())
    }

    fn counter(
        &mut self,
        name: &str,
        help: &str,
        all: &BTreeMap<String, Sum>,
        of: impl Fn(&Sum) -> u64,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (endpoint, sum) in all {
            let labels = [("endpoint", endpoint.as_str())];
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&of(sum), None)?;
        }
        Ok(())
    }

    fn waits(&mut self, all: &BTreeMap<String, Sum>) -> fmt::Result {
        let help = "How long clients waited for a server";
        let mut family =
            self.0.encode_descriptor("dormouse_pool_wait_seconds", help, None, MetricType::Histogram)?;
        for (endpoint, sum) in all {
            let (buckets, count) = buckets(&sum.waits);
            let labels = [("endpoint", endpoint.as_str())];
            let seconds = Duration::from_micros(sum.waits.sum()).as_secs_f64();
            family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)?;
        }
        Ok(())
    }
}

/// Upper bounds in seconds with the counts between them, and how many there are in all.
fn buckets(waits: &Histogram) -> (Vec<(f64, u64)>, u64) {
    let cumulative = waits.cumulative();
    let bounds =
        BOUNDS.iter().map(|bound| Duration::from_micros(*bound).as_secs_f64()).chain([f64::INFINITY]);
    let mut before = 0;
    let between = cumulative.map(|count| count - std::mem::replace(&mut before, count));
    (bounds.zip(between).collect(), cumulative[BOUNDS.len()])
}

impl Collector for PoolMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let pools = self.0.get().map(|pools| pools.list()).unwrap_or_default();
        let all = sums(&pools);
        let mut page = Page(encoder);
        page.0
            .encode_descriptor("dormouse_pools", "Pools", None, MetricType::Gauge)?
            .encode_gauge(&i64::try_from(pools.len()).unwrap_or(i64::MAX))?;
        let rows = all.iter().flat_map(|(endpoint, sum)| {
            ["active", "waiting"].into_iter().zip(sum.clients).map(|(state, n)| (endpoint.as_str(), state, n))
        });
        page.gauges("dormouse_pool_clients", "Clients of pools", "state", rows)?;
        let rows = all.iter().flat_map(|(endpoint, sum)| {
            ["active", "idle", "opening"]
                .into_iter()
                .zip(sum.servers)
                .map(|(state, n)| (endpoint.as_str(), state, n))
        });
        page.gauges("dormouse_pool_servers", "Servers (backends) of pools", "state", rows)?;
        let rows = all
            .iter()
            .flat_map(|(endpoint, sum)| sum.pins.iter().map(|(reason, n)| (endpoint.as_str(), *reason, *n)));
        page.gauges("dormouse_pool_pinned", "Servers that only their client can use", "reason", rows)?;
        let help = "How long the client that waits for longest has waited";
        let mut longest =
            page.0.encode_descriptor("dormouse_pool_max_wait_seconds", help, None, MetricType::Gauge)?;
        for (endpoint, sum) in &all {
            let labels = [("endpoint", endpoint.as_str())];
            longest.encode_family(&labels)?.encode_gauge(&sum.max_wait.as_secs_f64())?;
        }
        page.waits(&all)?;
        let name = |what: &str| format!("dormouse_pool_{what}");
        let each = &all;
        page.counter(&name("assignments"), "Times a client was given a server", each, |it| {
            it.counters.server_assignment_count
        })?;
        page.counter(&name("transactions"), "Transactions", each, |it| it.counters.xact_count)?;
        page.counter(&name("queries"), "Queries", each, |it| it.counters.query_count)?;
        page.counter(&name("client_parses"), "Named statements that clients prepared", each, |it| {
            it.counters.client_parse_count
        })?;
        page.counter(&name("server_parses"), "Statements prepared on servers for them", each, |it| {
            it.counters.server_parse_count
        })?;
        page.counter(&name("binds"), "Executions of prepared statements", each, |it| it.counters.bind_count)?;
        page.counter(&name("logins"), "Clients that logged in", each, |it| it.counters.client_login_count)?;
        page.counter(&name("wakes"), "Servers whose opening woke the endpoint", each, |it| it.wakes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_between_their_bounds() {
        let mut waits = Histogram::default();
        for wait in [50, 60, 300, 70_000_000] {
            waits.record(Duration::from_micros(wait));
        }
        let (buckets, count) = buckets(&waits);
        assert_eq!((buckets[0], buckets[1], buckets[2]), ((0.0001, 2), (0.0005, 1), (0.001, 0)));
        assert_eq!((buckets.last().copied(), count), (Some((f64::INFINITY, 1)), 4));
    }
}
