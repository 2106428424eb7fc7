//! What `/metrics` shows of endpoints that are awake, of alerts and of the statistics themselves; read when somebody asks.
//!
//! Labels are bounded: endpoints beyond [`MAX_ENDPOINTS`] are not told apart. An endpoint that fell asleep is shown for
//! [`SHOWN_FOR`] more, with zeros, so that its last seconds of CPU are not lost between two looks.
//!
//! | metric | labels |
//! |---|---|
//! | `dormouse_endpoint_cu`, `dormouse_endpoint_cpu_cores`, `dormouse_endpoint_memory_bytes`, `dormouse_endpoint_cpu_seconds_total` | `endpoint` |
//! | `dormouse_alerts` | `state` |
//! | `dormouse_statistics_series`, `dormouse_statistics_bytes`, `dormouse_statistics_dropped_total` | |
//! | `dormouse_metadata_bytes` | |

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dormouse_api::alert::AlertState;
use dormouse_base::EndpointId;
use dormouse_base::clock::Mono;
use dormouse_compute::limits::Live;
use dormouse_statistics::Recorder;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::alerts::Watch;
use crate::db::Db;

/// Endpoints that have numbers of their own; those of others are not shown.
pub const MAX_ENDPOINTS: usize = 200;
/// How long an endpoint that fell asleep is shown.
pub const SHOWN_FOR: Duration = Duration::from_secs(300);

/// What is shown. Cheap to clone.
#[derive(Clone)]
pub struct Exported {
    inner: Arc<Inner>,
}

struct Inner {
    recorder: Recorder,
    watch: Arc<Mutex<Watch>>,
    db: Db,
    dropped: AtomicU64,
    endpoints: Mutex<BTreeMap<EndpointId, Shown>>,
}

impl fmt::Debug for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exported")
    }
}

#[derive(Debug, Clone, Copy)]
struct Shown {
    live: Option<Live>,
    cpu_seconds: f64,
    at: Mono,
}

impl Exported {
    pub(crate) fn new(recorder: Recorder, watch: Arc<Mutex<Watch>>, db: Db) -> Self {
        let inner = Inner { recorder, watch, db, dropped: AtomicU64::new(0), endpoints: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// What is awake at `now`: called once a second.
    pub(crate) fn look<'a>(&self, awake: impl Iterator<Item = (&'a EndpointId, &'a Live)>, now: Mono) {
        let mut shown = self.inner.endpoints.lock();
        shown.retain(|_, it| now.since(it.at) < SHOWN_FOR);
        let asleep = |it: &mut Shown| it.live = None;
        shown.values_mut().for_each(asleep);
        for (endpoint, live) in awake {
            let has_room = shown.len() < MAX_ENDPOINTS;
            match shown.get_mut(endpoint) {
                Some(it) => {
                    // After a sleep the time in between was not used.
                    let since = now.since(it.at).min(Duration::from_secs(2)).as_secs_f64();
                    *it = Shown {
                        live: Some(*live),
                        cpu_seconds: it.cpu_seconds + live.cpu_cores * since,
                        at: now,
                    };
                }
                None if has_room => {
                    shown.insert(endpoint.clone(), Shown { live: Some(*live), cpu_seconds: 0.0, at: now });
                }
                None => {}
            }
        }
        drop(shown);
        self.inner.dropped.fetch_add(self.inner.recorder.take_dropped(), Ordering::Relaxed);
    }
}

/// Writes families of metrics.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn endpoints(
        &mut self,
        (name, help): (&str, &str),
        kind: MetricType,
        all: &BTreeMap<EndpointId, Shown>,
        value: impl Fn(&Shown) -> f64,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (endpoint, shown) in all {
            let labels = [("endpoint", endpoint.as_str())];
            let mut metric = family.encode_family(&labels)?;
            match kind {
                MetricType::Counter => metric.encode_counter::<NoLabelSet, _, u64>(&value(shown), None)?,
                _ => metric.encode_gauge(&value(shown))?,
            }
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        family.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl Collector for Exported {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        let all = self.inner.endpoints.lock().clone();
        let live = |value: fn(&Live) -> f64| move |shown: &Shown| shown.live.as_ref().map_or(0.0, value);
        let gauge = MetricType::Gauge;
        let name = ("dormouse_endpoint_cu", "The size that an endpoint has now, CU");
        page.endpoints(name, gauge, &all, live(|it| it.cu.as_f64()))?;
        let name = ("dormouse_endpoint_cpu_cores", "Processors that an endpoint uses, mean of a second");
        page.endpoints(name, gauge, &all, live(|it| it.cpu_cores))?;
        let name = ("dormouse_endpoint_memory_bytes", "Memory that an endpoint uses");
        page.endpoints(name, gauge, &all, live(|it| it.memory_bytes as f64))?;
        let name = ("dormouse_endpoint_cpu_seconds", "CPU that an endpoint has used while this server ran");
        page.endpoints(name, MetricType::Counter, &all, |shown| shown.cpu_seconds)?;

        let mut states = [0_u64; AlertState::ALL.len()];
        for (.., spot) in self.inner.watch.lock().all() {
            states[spot.tracked.state as usize] += 1;
        }
        let help = "Subjects of alert rules, by state";
        let mut family = page.0.encode_descriptor("dormouse_alerts", help, None, gauge)?;
        for (state, count) in AlertState::ALL.iter().zip(states) {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            family.encode_family(&[("state", state.name())])?.encode_gauge(&count)?;
        }
        // What cannot be measured now is left out.
        if let Ok(counts) = self.inner.recorder.counts() {
            let kept = u64::try_from(counts.kept).unwrap_or(u64::MAX);
            page.gauge("dormouse_statistics_series", "Series of statistics that are kept", kept)?;
            page.gauge("dormouse_statistics_bytes", "Size of the kept statistics", counts.bytes)?;
        }
        let help = "Samples of statistics that were dropped because there were too many series";
        page.0
            .encode_descriptor("dormouse_statistics_dropped", help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&self.inner.dropped.load(Ordering::Relaxed), None)?;
        if let Ok(bytes) = self.inner.db.bytes() {
            page.gauge("dormouse_metadata_bytes", "Size of the metadata", bytes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dormouse_base::{Cu, clock};
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn cpu_adds_up_while_it_is_used_and_who_sleeps_is_shown_for_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let (recorder, db) = (Recorder::open(dir.path()).unwrap(), Db::open(dir.path()).unwrap());
        let exported = Exported::new(recorder, Arc::default(), db);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(exported.clone()));
        let page = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text
        };
        let live = Live {
            at: clock::now(),
            cu: Cu::new(2.0).unwrap(),
            cpu_cores: 1.5,
            memory_bytes: 7,
            memory_limit_bytes: None,
            measured: true,
        };
        let (start, endpoint): (Mono, EndpointId) = (Mono::now(), "ep-one".parse().unwrap());
        for second in [0, 1, 2, 100, 101] {
            let now = start.plus(Duration::from_secs(second));
            exported.look([(&endpoint, &live)].into_iter(), now);
        }
        let text = page();
        for line in [
            "dormouse_endpoint_cu{endpoint=\"ep-one\"} 2",
            "dormouse_endpoint_cpu_seconds_total{endpoint=\"ep-one\"} 7.5",
            "dormouse_alerts{state=\"critical\"} 0",
            "dormouse_statistics_series 0",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        exported.look(std::iter::empty(), start.plus(Duration::from_secs(102)));
        assert!(page().contains("dormouse_endpoint_cu{endpoint=\"ep-one\"} 0"), "{}", page());
        assert!(page().contains("cpu_seconds_total{endpoint=\"ep-one\"} 7.5"));
        exported.look(std::iter::empty(), start.plus(Duration::from_secs(102) + SHOWN_FOR));
        assert!(!page().contains("ep-one"), "{}", page());
    }
}
