//! Statistics *(extension)*: what endpoints measured, summed up over periods, for the last 15 days.
//!
//! A series is one [`Metric`] of one subject: an endpoint, a project, or the whole server. A project's and the server's
//! are no sums of finished figures: capacity and the like are added up at each sample, ratios are taken of the sums, and
//! durations are one collection. A period without a sample has no datapoint: nothing ran.

use std::fmt;

use dormouse_base::{EndpointId, ProjectId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most datapoints in one reply, all series together.
pub const MAX_DATAPOINTS: usize = 50_000;
/// The most series in one reply.
pub const MAX_SERIES: usize = 500;
/// How far back statistics go, seconds.
pub const KEPT_SECONDS: i64 = 15 * 24 * 3600;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// CPU in use, percent of what the endpoint may use now.
    CpuUtilization,
    /// CU in use by the larger of CPU and memory, percent of the endpoint's `autoscaling_limit_max_cu`.
    CuUtilization,
    /// The CU that the endpoint has now.
    ServerlessDatabaseCapacity,
    /// Connections between clients and the server; pooled ones count once each.
    DatabaseConnections,
    /// Backends of PostgreSQL in use, percent of `max_connections`.
    ConnectionUtilization,
    /// Memory that the endpoint may still take, bytes.
    FreeableMemory,
    /// Data of the branch, bytes.
    StorageUsed,
    /// Data of the project, percent of its storage quota; without one, the disk's use in percent.
    StorageUtilization,
    /// What is used of the project's other quotas: of the one that is nearest to its end, percent.
    QuotaUtilization,
    /// Wakes from `stopped`, per hour.
    ColdStartRate,
    /// Time of such a wake until PostgreSQL served, milliseconds.
    ColdStartTime,
    /// From a client's arrival to the end of its login, milliseconds, a wake included.
    ConnectionTime,
    /// How long a pooled client waited for a backend, milliseconds; 0 counts too.
    PoolerWaitTime,
    /// What the present use would cost in an hour by the default price sheet, USD.
    CostPerHour,
}

impl Metric {
    /// All of them.
    pub const ALL: [Metric; 14] = [
        Metric::CpuUtilization,
        Metric::CuUtilization,
        Metric::ServerlessDatabaseCapacity,
        Metric::DatabaseConnections,
        Metric::ConnectionUtilization,
        Metric::FreeableMemory,
        Metric::StorageUsed,
        Metric::StorageUtilization,
        Metric::QuotaUtilization,
        Metric::ColdStartRate,
        Metric::ColdStartTime,
        Metric::ConnectionTime,
        Metric::PoolerWaitTime,
        Metric::CostPerHour,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Metric::CpuUtilization => "cpu_utilization",
            Metric::CuUtilization => "cu_utilization",
            Metric::ServerlessDatabaseCapacity => "serverless_database_capacity",
            Metric::DatabaseConnections => "database_connections",
            Metric::ConnectionUtilization => "connection_utilization",
            Metric::FreeableMemory => "freeable_memory",
            Metric::StorageUsed => "storage_used",
            Metric::StorageUtilization => "storage_utilization",
            Metric::QuotaUtilization => "quota_utilization",
            Metric::ColdStartRate => "cold_start_rate",
            Metric::ColdStartTime => "cold_start_time",
            Metric::ConnectionTime => "connection_time",
            Metric::PoolerWaitTime => "pooler_wait_time",
            Metric::CostPerHour => "cost_per_hour",
        }
    }

    /// The metric of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// What its figures are.
    #[must_use]
    pub fn unit(self) -> Unit {
        match self {
            Metric::CpuUtilization
            | Metric::CuUtilization
            | Metric::ConnectionUtilization
            | Metric::StorageUtilization
            | Metric::QuotaUtilization => Unit::Percent,
            Metric::ServerlessDatabaseCapacity => Unit::Cu,
            Metric::DatabaseConnections => Unit::Count,
            Metric::FreeableMemory | Metric::StorageUsed => Unit::Bytes,
            Metric::ColdStartRate => Unit::PerHour,
            Metric::ColdStartTime | Metric::ConnectionTime | Metric::PoolerWaitTime => Unit::Milliseconds,
            Metric::CostPerHour => Unit::UsdPerHour,
        }
    }

    /// For people.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Metric::CpuUtilization => "CPU in use, percent of what the endpoint may use now",
            Metric::CuUtilization => {
                "CU in use by the larger of CPU and memory, percent of the endpoint's largest size"
            }
            Metric::ServerlessDatabaseCapacity => "the CU that the endpoint has now",
            Metric::DatabaseConnections => "connections of clients; pooled ones count once each",
            Metric::ConnectionUtilization => "backends of PostgreSQL, percent of max_connections",
            Metric::FreeableMemory => "memory that the endpoint may still take",
            Metric::StorageUsed => "data of the branch",
            Metric::StorageUtilization => {
                "data of the project, percent of its storage quota; without one, how full the disk is"
            }
            Metric::QuotaUtilization => {
                "what is used of the project's quota that is nearest to its end, storage left out"
            }
            Metric::ColdStartRate => "wakes from stopped, per hour",
            Metric::ColdStartTime => "time of a wake from stopped until PostgreSQL served",
            Metric::ConnectionTime => "from a client's arrival to the end of its login, a wake included",
            Metric::PoolerWaitTime => "how long a pooled client waited for a backend",
            Metric::CostPerHour => "what the present use would cost in an hour by the default price sheet",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The unit of a metric's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// 100 is all of it.
    Percent,
    /// 1 CU = 1 vCPU and 4 GiB.
    Cu,
    /// A number of things.
    Count,
    /// Bytes.
    Bytes,
    /// Times in an hour.
    PerHour,
    /// Milliseconds.
    Milliseconds,
    /// US dollars in an hour.
    UsdPerHour,
}

/// What is told of the samples in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// Their mean.
    Average,
    /// The least.
    Minimum,
    /// The greatest.
    Maximum,
    /// All added up; what it means depends on the metric.
    Sum,
    /// Half are not above it, within 1 %.
    P50,
    /// 95 % are not above it, within 1 %.
    P95,
    /// 99 % are not above it, within 1 %.
    P99,
}

impl Statistic {
    /// All of them.
    pub const ALL: [Statistic; 7] = [
        Statistic::Average,
        Statistic::Minimum,
        Statistic::Maximum,
        Statistic::Sum,
        Statistic::P50,
        Statistic::P95,
        Statistic::P99,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Statistic::Average => "average",
            Statistic::Minimum => "minimum",
            Statistic::Maximum => "maximum",
            Statistic::Sum => "sum",
            Statistic::P50 => "p50",
            Statistic::P95 => "p95",
            Statistic::P99 => "p99",
        }
    }

    /// The statistic of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|statistic| statistic.name() == name)
    }
}

/// The query of `GET /statistics`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatisticsQuery {
    /// Names of [`Metric`]s with commas between them; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<String>,
    /// Of this endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_id: Option<String>,
    /// Of this project, by ID or name. Without it and without an endpoint: of the whole server, or, for a key that is
    /// bound to a project, of that project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// `endpoint`: a series for each endpoint of the project or the server, in the place of one for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// The beginning; an hour before the end when absent. At most 15 days ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// The end; now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// Seconds: 10, or a multiple of 60 up to a day. When absent, one that gives at most about 360 datapoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<u32>,
    /// Names of [`Statistic`]s with commas between them; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics: Option<String>,
}

/// How a reply is divided into series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// A series for each endpoint.
    Endpoint,
}

/// `GET /statistics`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Statistics {
    /// The beginning, rounded down to the period.
    pub from: Timestamp,
    /// The end.
    pub to: Timestamp,
    /// Seconds of a period. Longer than asked for where only longer ones are kept.
    pub period: u32,
    /// One for each metric and subject; one without datapoints says that nothing was measured.
    pub series: Vec<Series>,
}

/// One metric of one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// What is measured.
    pub metric: Metric,
    /// What its figures are.
    pub unit: Unit,
    /// The endpoint; absent when it is about more than one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_id: Option<EndpointId>,
    /// The project; absent when it is about the whole server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// In order; periods without a sample are left out.
    pub datapoints: Vec<Datapoint>,
}

/// The samples of one period.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Datapoint {
    /// The beginning of the period.
    pub timestamp: Timestamp,
    /// How many samples there were.
    pub sample_count: u64,
    /// See [`Statistic::Average`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average: Option<f64>,
    /// See [`Statistic::Minimum`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<f64>,
    /// See [`Statistic::Maximum`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<f64>,
    /// See [`Statistic::Sum`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<f64>,
    /// See [`Statistic::P50`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50: Option<f64>,
    /// See [`Statistic::P95`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95: Option<f64>,
    /// See [`Statistic::P99`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
}

/// `GET /statistics/metrics`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MetricList {
    /// Every metric.
    pub metrics: Vec<MetricInfo>,
}

/// A metric, explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MetricInfo {
    /// Its name.
    pub name: Metric,
    /// What its figures are.
    pub unit: Unit,
    /// For people.
    pub description: String,
}
