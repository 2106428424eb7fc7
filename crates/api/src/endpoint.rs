//! Endpoint: the compute of a branch, one PostgreSQL process tree.
//!
//! It shows two states. [`LiveState`] is the real one; [`CurrentState`] with its pending partner is
//! how Neon's clients understand it:
//!
//! ```text
//!  state     current_state  pending_state
//!  stopped   idle           –
//!  starting  idle           active
//!  active    active         –
//!  paused    idle           –
//!  stopping  active         idle
//! ```

use std::collections::BTreeMap;

use dormouse_base::{BranchId, EndpointId, Lsn, ProjectId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Operation;

/// `provisioner` of every endpoint.
pub const PROVISIONER: &str = "dormouse";

/// Where an endpoint is in its life *(extension)*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LiveState {
    /// No process.
    Stopped,
    /// A process is being started.
    Starting,
    /// Serving.
    Active,
    /// The processes exist, frozen.
    Paused,
    /// Running work is finishing.
    Stopping,
}

impl LiveState {
    /// All states, in the order of life.
    pub const ALL: [LiveState; 5] =
        [LiveState::Stopped, LiveState::Starting, LiveState::Active, LiveState::Paused, LiveState::Stopping];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            LiveState::Stopped => "stopped",
            LiveState::Starting => "starting",
            LiveState::Active => "active",
            LiveState::Paused => "paused",
            LiveState::Stopping => "stopping",
        }
    }

    /// The same state in Neon's words: the current state, and the one it is on its way to.
    #[must_use]
    pub fn in_neon_words(self) -> (CurrentState, Option<CurrentState>) {
        match self {
            LiveState::Stopped | LiveState::Paused => (CurrentState::Idle, None),
            LiveState::Starting => (CurrentState::Idle, Some(CurrentState::Active)),
            LiveState::Active => (CurrentState::Active, None),
            LiveState::Stopping => (CurrentState::Active, Some(CurrentState::Idle)),
        }
    }
}

/// Neon's words for the state of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CurrentState {
    /// Being made; it never ran.
    Init,
    /// Serving.
    Active,
    /// Asleep; a connection wakes it.
    Idle,
}

/// What an endpoint may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndpointType {
    /// The one writer of its branch.
    ReadWrite,
    /// One of any number of readers.
    ReadOnly,
}

/// How the `-pooler` host name shares connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PoolerMode {
    /// A server connection per transaction.
    Transaction,
}

/// An endpoint as the API shows it. In JSON this is one flat object; here it is in groups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Endpoint {
    /// The endpoint.
    pub id: EndpointId,
    /// Its project.
    pub project_id: ProjectId,
    /// Its branch.
    pub branch_id: BranchId,
    /// The host name that clients connect to.
    pub host: String,
    /// The domain that host names end with.
    pub proxy_host: String,
    /// Always [`crate::project::REGION`].
    pub region_id: String,
    /// Always [`PROVISIONER`].
    pub provisioner: String,
    /// What it may do.
    #[serde(rename = "type")]
    pub kind: EndpointType,
    /// It shows its branch as it was at this position, for ever; only a `read_only` one *(extension)*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_lsn: Option<Lsn>,
    /// It refuses every connection.
    pub disabled: bool,
    /// Clients may come in without a password; never here.
    #[serde(default)]
    pub passwordless_access: bool,
    /// Who made it; always [`crate::branch::CREATION_SOURCE`].
    #[serde(default)]
    pub creation_source: String,
    /// The `-pooler` host name works.
    pub pooler_enabled: bool,
    /// How that host name shares connections.
    pub pooler_mode: PoolerMode,
    /// PostgreSQL settings of this endpoint.
    pub settings: EndpointSettings,
    /// Client addresses that may connect, of those that the project allows; empty = all of them *(extension)*.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_ips: Vec<String>,
    /// What it is doing.
    #[serde(flatten)]
    pub live: EndpointLive,
    /// When it goes to sleep, and how large it may become.
    #[serde(flatten)]
    pub limits: EndpointLimits,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a field of it changed last.
    pub updated_at: Timestamp,
}

/// What an endpoint is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointLive {
    /// In Neon's words; see [`LiveState::in_neon_words`].
    pub current_state: CurrentState,
    /// The state it is on its way to, in Neon's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_state: Option<CurrentState>,
    /// The real state *(extension)*.
    pub state: LiveState,
    /// Process ID of the postmaster, `null` when there is none *(extension)*.
    pub pid: Option<u32>,
    /// When it last had work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_active: Option<Timestamp>,
    /// When it last became active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it last went to sleep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_at: Option<Timestamp>,
    /// When it will wake by itself for a scheduled job *(extension)*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_wake: Option<Timestamp>,
    /// Its size at the moment, compute units; `null` while it is stopped *(extension)*.
    #[serde(default)]
    pub current_cu: Option<f64>,
    /// What it uses at the moment; `null` while it is stopped *(extension)*.
    #[serde(default, rename = "live")]
    pub load: Option<EndpointLoad>,
}

/// What an endpoint uses at the moment *(extension)*.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointLoad {
    /// Processors, mean of the last second.
    pub cpu_cores: f64,
    /// Memory in use, bytes, without what can be dropped at once.
    pub memory_bytes: u64,
    /// The memory of its size, bytes; `null` when nothing limits it.
    pub memory_limit_bytes: Option<u64>,
    /// Connections to its PostgreSQL that clients have.
    pub connections: u32,
    /// Clients that wait for a connection of a pool.
    pub pool_waiting: u32,
    /// CPU and memory are measured and limited. If not, they are zero, and its size is the smallest that is set.
    pub measured: bool,
}

/// A time in which an endpoint is kept awake, again and again *(extension)*.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeepWarm {
    /// When it begins: the five fields of cron, in UTC, such as `0 8 * * 1-5`.
    pub schedule: String,
    /// How long it lasts, minutes.
    pub minutes: u32,
}

/// When an endpoint goes to sleep, and how large it may become.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointLimits {
    /// Idle time before sleep, seconds; 0 = the server's default, −1 = never.
    pub suspend_timeout_seconds: i64,
    /// Time paused before it stops, seconds; 0 = never pause, −1 = stay paused *(extension)*.
    pub pause_timeout_seconds: i64,
    /// Smallest size, compute units.
    pub autoscaling_limit_min_cu: f64,
    /// Largest size, compute units.
    pub autoscaling_limit_max_cu: f64,
    /// When it is kept awake, whether somebody works or not *(extension)*.
    #[serde(default)]
    pub keep_warm: Vec<KeepWarm>,
    /// Its working set is read soon after each start *(extension)*.
    #[serde(default)]
    pub prewarm: bool,
}

/// PostgreSQL settings of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointSettings {
    /// Name and value; they take effect at the next start.
    #[serde(default)]
    pub pg_settings: BTreeMap<String, String>,
}

/// `GET …/endpoints`, of a project or of a branch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Endpoints {
    /// All of them.
    pub endpoints: Vec<Endpoint>,
}

/// `GET …/endpoints/{endpoint_id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointReply {
    /// The endpoint.
    pub endpoint: Endpoint,
}

/// `POST …/endpoints` (201), `PATCH` and `DELETE …/endpoints/{endpoint_id}`, and
/// `POST …/start|suspend|pause|restart|evict|set-aside`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointChanged {
    /// The endpoint after the change.
    pub endpoint: Endpoint,
    /// The work that carried the change out.
    pub operations: Vec<Operation>,
}

/// `PATCH …/endpoints/{endpoint_id}`, the request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UpdateEndpoint {
    /// The changes.
    pub endpoint: EndpointPatch,
}

/// `POST /projects/{project_id}/wake` *(extension)*: how it went with each endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectWoken {
    /// All endpoints of the project, by creation.
    pub endpoints: Vec<EndpointWoken>,
}

/// One endpoint of a batch *(extension)*.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointWoken {
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// Its branch.
    pub branch_id: BranchId,
    /// What it was doing.
    pub was: LiveState,
    /// What it does now.
    pub state: LiveState,
    /// How long that took, milliseconds.
    pub took_ms: u64,
    /// Why it did not wake, if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Changes to an endpoint; absent fields stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointPatch {
    /// See [`EndpointLimits::suspend_timeout_seconds`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend_timeout_seconds: Option<i64>,
    /// See [`EndpointLimits::pause_timeout_seconds`] *(extension)*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_timeout_seconds: Option<i64>,
    /// See [`EndpointLimits::autoscaling_limit_min_cu`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_min_cu: Option<f64>,
    /// See [`EndpointLimits::autoscaling_limit_max_cu`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_max_cu: Option<f64>,
    /// Replaces [`EndpointLimits::keep_warm`] *(extension)*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_warm: Option<Vec<KeepWarm>>,
    /// See [`EndpointLimits::prewarm`] *(extension)*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prewarm: Option<bool>,
    /// Replaces all PostgreSQL settings of the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<EndpointSettings>,
    /// Replaces [`Endpoint::allowed_ips`]; new connections go by it at once *(extension)*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_ips: Option<Vec<String>>,
}

/// `POST /projects/{project_id}/endpoints`, the request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CreateEndpoint {
    /// The wishes.
    pub endpoint: NewEndpoint,
}

/// Wishes for a new endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NewEndpoint {
    /// Its branch.
    pub branch_id: BranchId,
    /// What it may do.
    #[serde(rename = "type")]
    pub kind: EndpointType,
    /// Show the branch as it was at this position; only with `read_only` *(extension)*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_lsn: Option<Lsn>,
    /// The same as a time; not together with `pinned_lsn` *(extension)*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_timestamp: Option<Timestamp>,
    /// When it sleeps, and how large it may become.
    #[serde(flatten)]
    pub limits: NewEndpointLimits,
}

/// When a new endpoint sleeps, and how large it may become; absent fields are the project's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NewEndpointLimits {
    /// See [`EndpointLimits::suspend_timeout_seconds`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend_timeout_seconds: Option<i64>,
    /// See [`EndpointLimits::pause_timeout_seconds`] *(extension)*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_timeout_seconds: Option<i64>,
    /// See [`EndpointLimits::autoscaling_limit_min_cu`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_min_cu: Option<f64>,
    /// See [`EndpointLimits::autoscaling_limit_max_cu`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_max_cu: Option<f64>,
    /// See [`EndpointLimits::keep_warm`] *(extension)*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_warm: Option<Vec<KeepWarm>>,
    /// See [`EndpointLimits::prewarm`] *(extension)*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prewarm: Option<bool>,
    /// PostgreSQL settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<EndpointSettings>,
}
