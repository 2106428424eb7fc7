//! What a server is told, and what it tells when it is ready.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use dormouse_base::{ProjectId, Secret};
pub use dormouse_compute::sandbox::cgroup::Choice as CgroupChoice;
use dormouse_compute::spec::PauseTimeout;
pub use dormouse_control::{LocalClone, OidcSettings, WalSource, Ways};

pub use dormouse_proxy::arrivals::DEFAULT_RATE as DEFAULT_CONN_RATE;
pub use dormouse_proxy::peer::{ClientCerts, Wanted};

/// Clients at the same time (PgBouncer's `max_client_conn`).
pub const MAX_CLIENT_CONN: usize = 10_000;

/// What a server is told.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Everything it keeps is below this directory.
    pub data: PathBuf,
    /// Where PostgreSQL clients connect; port 0 = any free port.
    pub pg_listen: SocketAddr,
    /// Where HTTP clients connect; port 0 = any free port.
    pub http_listen: SocketAddr,
    /// PostgreSQL installations to prefer.
    pub pg_dir: Vec<PathBuf>,
    /// The domain below which endpoints have names. `localhost` means: none that every system resolves.
    pub domain: String,
    /// What is asked of clients' certificates; `None` = nothing.
    pub client_certs: Option<ClientCerts>,
    /// New connections a second from one source; 0 = no limit.
    pub max_conn_rate: u32,
    /// Settings of the pooler, by PgBouncer's names; they win over those that were kept.
    pub pool_settings: Vec<(String, String)>,
    /// Sleep after so long without work; `None` = never.
    pub idle_timeout: Option<Duration>,
    /// What happens to those that are paused.
    pub pause_timeout: PauseTimeout,
    /// The account that builds templates, when the server runs as root.
    pub compute_user: Option<String>,
    /// How computes are frozen.
    pub cgroup: CgroupChoice,
    /// The object store; `None` = a directory below `data`.
    pub store: Option<String>,
    /// Price sheets of the user's own; the first one is the default.
    pub price_sheets: Vec<PathBuf>,
    /// Leave computes running at the end, for the next server.
    pub keep_computes: bool,
    /// How directories are made.
    pub ways: Ways,
    /// Take over from the server that runs on the data directory, if there is one.
    pub takeover: bool,
    /// Then its clients may stay with it for so long, if they cannot move.
    pub takeover_limit: Duration,
    /// The identity provider whose tokens the API accepts.
    pub oidc: Option<OidcSettings>,
}

/// What a server tells when it is ready: the contract of `dormouse up --output json`.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The default project; `None` when its owner deleted every project.
    pub project: Option<ReadyProject>,
    /// The base of the HTTP API.
    pub api: String,
    /// A key for it.
    pub api_key: Secret<String>,
    /// The page for people.
    pub console: String,
    /// The same, signing in once, within minutes. `None` when the key above was revoked, or there is no console.
    pub console_link: Option<Secret<String>>,
}

/// How to use the default project.
#[derive(Debug, Clone)]
pub struct ReadyProject {
    /// The default project.
    pub project_id: ProjectId,
    /// Its default branch.
    pub branch: String,
    /// For clients that keep their connections.
    pub connection_string: Secret<String>,
    /// For clients that open many.
    pub pooled_connection_string: Secret<String>,
}
