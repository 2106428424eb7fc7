//! From what was seen in one second to samples of endpoints, projects and the server. Pure.
//!
//! A project and the server are sampled as a whole: sizes, connections and memory are added up, ratios are those of the
//! sums, and durations are one collection. While nothing is awake only the server's own sizes are sampled, as zero.

use std::collections::BTreeMap;

use dormouse_api::statistics::Metric;
use dormouse_base::cu::MEMORY_PER_CU;
use dormouse_base::{Cu, EndpointId, ProjectId};
use dormouse_compute::limits::Live;
use dormouse_statistics::{Key, Subject};

use super::Census;

/// A sample: of what, the value, how often.
pub type Sample = (Key, f64, u64);

/// What is known of an endpoint from the metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// Its project.
    pub project: ProjectId,
    /// The largest size that it may have, CU.
    pub max_cu: f64,
    /// PostgreSQL's `max_connections`.
    pub max_connections: u32,
}

/// One endpoint in one second.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// From the metadata.
    pub known: Known,
    /// What it uses, if it is awake.
    pub live: Option<Live>,
    /// What its clients do.
    pub census: Option<Census>,
    /// Wakes since the last second, milliseconds each.
    pub wakes: Vec<f64>,
}

/// What an hour costs, by the default price sheet, USD.
#[allow(missing_debug_implementations, reason = "two functions")]
pub struct Rates<'a> {
    /// Of a compute of this size.
    pub compute: &'a dyn Fn(Cu) -> f64,
    /// Of the data that a subject has.
    pub storage: &'a dyn Fn(&Subject) -> f64,
}

/// Sums over endpoints that are awake.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    cores: f64,
    limit_cores: f64,
    used_cu: f64,
    max_cu: f64,
    cu: f64,
    /// Whether `cores` and the like were measured at all.
    measured: bool,
    freeable: f64,
    clients: f64,
    backends: f64,
    max_backends: f64,
    /// USD in an hour, of computes.
    rate: f64,
}

impl Sums {
    /// Of one endpoint; `available` is what the machine has left, bytes.
    fn of(seen: &Seen, live: &Live, available: u64, rates: &Rates<'_>) -> Self {
        let limit = live.memory_limit_bytes.map(|limit| limit.saturating_sub(live.memory_bytes));
        let census = seen.census.as_ref();
        let by_memory = live.memory_bytes as f64 / MEMORY_PER_CU as f64;
        let mut sums = Self {
            cu: live.cu.as_f64(),
            // More than the machine has left cannot be taken.
            freeable: limit.map_or(available, |limit| limit.min(available)) as f64,
            clients: census.map_or(0.0, |census| census.clients as f64),
            backends: census.map_or(0.0, |census| census.backends as f64),
            max_backends: f64::from(seen.known.max_connections),
            rate: (rates.compute)(live.cu),
            ..Self::default()
        };
        if live.measured {
            sums.measured = true;
            (sums.cores, sums.limit_cores) = (live.cpu_cores, live.cu.cores());
            (sums.used_cu, sums.max_cu) = (live.cpu_cores.max(by_memory), seen.known.max_cu);
        }
        sums
    }

    fn add(&mut self, other: &Self, available: u64) {
        self.cores += other.cores;
        self.limit_cores += other.limit_cores;
        self.used_cu += other.used_cu;
        self.max_cu += other.max_cu;
        self.cu += other.cu;
        self.measured |= other.measured;
        // What is left of the machine is there once.
        self.freeable = (self.freeable + other.freeable).min(available as f64);
        self.clients += other.clients;
        self.backends += other.backends;
        self.max_backends += other.max_backends;
        self.rate += other.rate;
    }

    fn samples(&self, subject: &Subject, rates: &Rates<'_>, out: &mut Vec<Sample>) {
        let mut put = |metric, value: f64| {
            out.push((Key { subject: subject.clone(), metric }, value, 1));
        };
        let percent = |part: f64, whole: f64| 100.0 * part / whole.max(f64::MIN_POSITIVE);
        if self.measured {
            // A measurement over a second can be a little more than its limit.
            put(Metric::CpuUtilization, percent(self.cores, self.limit_cores).min(100.0));
            put(Metric::CuUtilization, percent(self.used_cu, self.max_cu).min(100.0));
        }
        put(Metric::ServerlessDatabaseCapacity, self.cu);
        put(Metric::DatabaseConnections, self.clients);
        put(Metric::CostPerHour, self.rate + (rates.storage)(subject));
        if self.max_backends > 0.0 {
            put(Metric::ConnectionUtilization, percent(self.backends, self.max_backends).min(100.0));
            put(Metric::FreeableMemory, self.freeable);
        }
    }
}

/// The samples of one second. `available` is the memory that the machine has left, bytes.
#[must_use]
pub fn samples(seen: &[Seen], available: u64, rates: &Rates<'_>) -> Vec<Sample> {
    let mut out = Vec::with_capacity(seen.len() * 8 + 8);
    let mut projects: BTreeMap<&ProjectId, Sums> = BTreeMap::new();
    let mut server = Sums::default();
    for one in seen {
        if let Some(live) = &one.live {
            let sums = Sums::of(one, live, available, rates);
            sums.samples(&Subject::Endpoint(one.endpoint.clone()), rates, &mut out);
            projects.entry(&one.known.project).or_default().add(&sums, available);
            server.add(&sums, available);
        }
        durations(one, &mut out);
    }
    for (project, sums) in projects {
        sums.samples(&Subject::Project(project.clone()), rates, &mut out);
    }
    server.samples(&Subject::Server, rates, &mut out);
    out
}

fn durations(seen: &Seen, out: &mut Vec<Sample>) {
    let subjects = [
        Subject::Endpoint(seen.endpoint.clone()),
        Subject::Project(seen.known.project.clone()),
        Subject::Server,
    ];
    let mut put = |metric, value, count| {
        out.extend(subjects.iter().map(|subject| (Key { subject: subject.clone(), metric }, value, count)));
    };
    for wake in &seen.wakes {
        put(Metric::ColdStartTime, *wake, 1);
    }
    if let Some(census) = &seen.census {
        census.logins.iter().for_each(|(ms, count)| put(Metric::ConnectionTime, *ms, *count));
        census.waits.iter().for_each(|(ms, count)| put(Metric::PoolerWaitTime, *ms, *count));
    }
}

#[cfg(test)]
mod tests {
    use dormouse_base::clock;

    use super::*;

    const GIB: u64 = 1 << 30;

    /// A dollar for a CU, and ten cents for what anybody stores.
    fn samples(seen: &[Seen], available: u64) -> Vec<Sample> {
        let rates = Rates { compute: &|cu| cu.as_f64(), storage: &|_| 0.1 };
        super::samples(seen, available, &rates)
    }

    fn live(cu: f64, cpu_cores: f64, memory: u64, limit: Option<u64>) -> Live {
        let cu = Cu::new(cu).unwrap();
        let at = clock::now();
        Live { at, cu, cpu_cores, memory_bytes: memory, memory_limit_bytes: limit, measured: true }
    }

    fn seen(name: &str, live: Option<Live>) -> Seen {
        let known =
            Known { project: "calm-oak-abcd2345".parse().unwrap(), max_cu: 4.0, max_connections: 100 };
        let endpoint = format!("ep-{name}").parse().unwrap();
        Seen { endpoint, known, live, census: None, wakes: Vec::new() }
    }

    fn of(samples: &[Sample], subject: &str, metric: Metric) -> Option<f64> {
        let key = Key { subject: subject.parse().unwrap(), metric };
        samples.iter().find(|(of, ..)| *of == key).map(|(_, value, _)| *value)
    }

    #[test]
    fn an_endpoint_is_measured_against_its_limit_and_its_largest_size() {
        let mut one = seen("one", Some(live(2.0, 1.5, 4 * GIB, Some(8 * GIB))));
        let endpoint = one.endpoint.clone();
        one.census = Some(Census {
            endpoint,
            clients: 300,
            backends: 80,
            waiting: 4,
            logins: vec![(12.0, 1)],
            waits: vec![(0.0, 99), (700.0, 1)],
        });
        let all = samples(&[one], 100 * GIB);
        let value = |metric| of(&all, "endpoint ep-one", metric).unwrap();
        assert_eq!(value(Metric::CpuUtilization), 75.0);
        assert_eq!(value(Metric::CuUtilization), 37.5, "1.5 of 4: more than memory's 1 of 4");
        assert_eq!(value(Metric::ServerlessDatabaseCapacity), 2.0);
        assert_eq!(value(Metric::FreeableMemory), (4 * GIB) as f64);
        assert_eq!((value(Metric::DatabaseConnections), value(Metric::ConnectionUtilization)), (300.0, 80.0));
        let waits: u64 = all
            .iter()
            .filter(|(key, ..)| key.metric == Metric::PoolerWaitTime && key.subject == Subject::Server)
            .map(|(.., count)| count)
            .sum();
        assert_eq!(waits, 100);
    }

    #[test]
    fn a_whole_is_the_ratio_of_sums_and_not_a_mean_of_ratios() {
        let idle = seen("idle", Some(live(3.0, 0.0, GIB, None)));
        let busy = seen("busy", Some(live(1.0, 1.0, GIB, None)));
        let all = samples(&[idle, busy], 10 * GIB);
        for whole in ["project calm-oak-abcd2345", "server"] {
            assert_eq!(of(&all, whole, Metric::CpuUtilization), Some(25.0));
            assert_eq!(of(&all, whole, Metric::ServerlessDatabaseCapacity), Some(4.0));
            assert_eq!(of(&all, whole, Metric::CostPerHour), Some(4.1));
            assert_eq!(of(&all, whole, Metric::FreeableMemory), Some((10 * GIB) as f64), "there once");
        }
    }

    #[test]
    fn who_sleeps_has_no_samples_but_the_server_has_its_zero() {
        let mut asleep = seen("asleep", None);
        asleep.wakes = vec![31.0];
        let all = samples(&[asleep], GIB);
        assert_eq!(of(&all, "endpoint ep-asleep", Metric::ServerlessDatabaseCapacity), None);
        assert_eq!(of(&all, "endpoint ep-asleep", Metric::ColdStartTime), Some(31.0));
        assert_eq!(of(&all, "server", Metric::ServerlessDatabaseCapacity), Some(0.0));
        assert_eq!(of(&all, "server", Metric::CostPerHour), Some(0.1));
        assert_eq!(of(&all, "server", Metric::CpuUtilization), None);
    }

    #[test]
    fn what_was_not_measured_is_absent_and_not_zero() {
        let unmeasured = Live { measured: false, ..live(1.0, 0.0, 0, None) };
        let all = samples(&[seen("one", Some(unmeasured))], GIB);
        assert_eq!(of(&all, "endpoint ep-one", Metric::CpuUtilization), None);
        assert_eq!(of(&all, "endpoint ep-one", Metric::ServerlessDatabaseCapacity), Some(1.0));
    }
}
