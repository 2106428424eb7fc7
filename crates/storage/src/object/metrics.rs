//! What is counted of a store: tries by kind and result, bytes, and how long they took.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::error::Verdict;

/// Seconds: from a directory on flash memory to a body that takes its time.
const BUCKETS: [f64; 14] =
    [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0, 20.0, 60.0];

/// The kinds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Get,
    Head,
    Put,
    Create,
    List,
    Delete,
}

impl Op {
    pub(super) const ALL: [Op; 6] = [Op::Get, Op::Head, Op::Put, Op::Create, Op::List, Op::Delete];

    pub(super) fn name(self) -> &'static str {
        match self {
            Op::Get => "get",
            Op::Head => "head",
            Op::Put => "put",
            Op::Create => "create",
            Op::List => "list",
            Op::Delete => "delete",
        }
    }
}

/// What became of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok,
    NotFound,
    Exists,
    Retried,
    Failed,
}

impl Outcome {
    const ALL: [Outcome; 5] =
        [Outcome::Ok, Outcome::NotFound, Outcome::Exists, Outcome::Retried, Outcome::Failed];

    pub(super) fn of(verdict: Verdict, again: bool) -> Self {
        match verdict {
            Verdict::NotFound => Outcome::NotFound,
            Verdict::Exists => Outcome::Exists,
            _ if again => Outcome::Retried,
            _ => Outcome::Failed,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::NotFound => "not_found",
            Outcome::Exists => "exists",
            Outcome::Retried => "retried",
            Outcome::Failed => "failed",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    op: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    op: &'static str,
}

/// A few sums since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Tries of reads, sizes included.
    pub reads: u64,
    /// Tries of writes and creates.
    pub writes: u64,
    /// Tries of listings.
    pub lists: u64,
    /// Tries of deletes.
    pub deletes: u64,
    /// Tries that failed and were repeated.
    pub retries: u64,
    /// Operations that failed in the end; "not found" and "exists" are not failures.
    pub failures: u64,
    /// Bytes of bodies read.
    pub bytes_read: u64,
    /// Bytes of bodies written.
    pub bytes_written: u64,
}

/// The counters of one store.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    requests: Family<Request, Counter>,
    seconds: Family<Kind, Histogram, fn() -> Histogram>,
    pub(super) read: Counter,
    pub(super) written: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            read: Counter::default(),
            written: Counter::default(),
        }
    }
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "dormouse_store_requests",
            "Requests to the object store by kind and result; a retry is a request of its own",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "dormouse_store_request",
            "Time of one request to the object store, by kind",
            Unit::Seconds,
            self.seconds.clone(),
        );
        registry.register("dormouse_store_read_bytes", "Bytes of objects read", self.read.clone());
        registry.register("dormouse_store_written_bytes", "Bytes of objects written", self.written.clone());
    }

    pub(super) fn attempt(&self, op: Op, outcome: Outcome, took: Duration) {
        self.requests.get_or_create(&Request { op: op.name(), result: outcome.name() }).inc();
        self.seconds.get_or_create(&Kind { op: op.name() }).observe(took.as_secs_f64());
    }

    fn count(&self, op: Op, outcome: Outcome) -> u64 {
        self.requests
            .get(&Request { op: op.name(), result: outcome.name() })
            .map_or(0, |counter| counter.get())
    }

    pub(super) fn stats(&self) -> StoreStats {
        let of = |op| Outcome::ALL.iter().map(|outcome| self.count(op, *outcome)).sum::<u64>();
        let with = |outcome| Op::ALL.iter().map(|op| self.count(*op, outcome)).sum::<u64>();
        StoreStats {
            reads: of(Op::Get) + of(Op::Head),
            writes: of(Op::Put) + of(Op::Create),
            lists: of(Op::List),
            deletes: of(Op::Delete),
            retries: with(Outcome::Retried),
            failures: with(Outcome::Failed),
            bytes_read: self.read.get(),
            bytes_written: self.written.get(),
        }
    }
}
