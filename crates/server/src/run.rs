//! Start everything in order, wait for a signal, stop everything in the opposite order.
//!
//! ```text
//!  place ─► PostgreSQL views ─► metadata ─► fleet ─► adopt ─► control ─► HTTP, proxy ─► ready
//!  stop:    proxy and HTTP accept no more ─► computes drain and stop (or are left) ─► the rest ends
//! ```

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dormouse_api::server_file::{SERVER_FILE, ServerFile};
use dormouse_base::Secret;
use dormouse_compute::fleet::BOOTS_PER_CORE;
use dormouse_compute::metrics::Metrics as ComputeMetrics;
use dormouse_compute::postgres::discover::{self, Installations};
use dormouse_compute::postgres::view::View;
use dormouse_compute::sandbox::cgroup::Cgroups;
use dormouse_compute::sandbox::identity::Identities;
use dormouse_compute::{Fleet, FleetConfig};
use dormouse_control::{
    Address, Config as ControlConfig, Control, FirstProject, Foundation, Node, StartError, Timeouts, Vault,
};
use dormouse_proxy::metrics::Metrics as ProxyMetrics;
use dormouse_proxy::tls::Tls;
use dormouse_proxy::{Bound, Proxy, ProxyConfig};
use dormouse_runtime::shutdown::{STOP_WITHIN, Signals};
use dormouse_runtime::task::{self, Scope};
use dormouse_runtime::telemetry::Metrics;
use dormouse_storage::Store;
use dormouse_storage::object::StoreOptions;
use rustix::fs::Mode;
use tokio::net::TcpListener;

use crate::config::{MAX_CLIENT_CONN, Ready, ReadyProject, ServerConfig};
use crate::place::{self, Place, PlaceError};
use crate::{http, pooler, wake};

/// How long tasks may take to end after the computes have.
const TASKS_END_WITHIN: Duration = Duration::from_secs(3);

/// Computes that have not stopped by then are ended by force, so that the whole ends in time.
const COMPUTES_END_WITHIN: Duration = Duration::from_secs(STOP_WITHIN.as_secs() - 8);

/// What computes left behind is filed within this time; the next start does what remains.
const STORE_WITHIN: Duration = Duration::from_secs(5);

/// Why a server cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The data directory.
    #[error(transparent)]
    Place(PlaceError),
    /// No PostgreSQL.
    #[error(
        "no PostgreSQL 15 to 18 was found: run `scripts/postgres`, install one with the system's package manager, or name one with --pg-dir"
    )]
    NoPostgres,
    /// No user for computes.
    #[error(transparent)]
    Identity(dormouse_compute::sandbox::identity::IdentityError),
    /// The view of an installation.
    #[error(transparent)]
    View(dormouse_compute::postgres::view::ViewError),
    /// The control plane.
    #[error("the control plane cannot start")]
    Control(#[source] StartError),
    /// The object store.
    #[error("the object store cannot be used")]
    Store(#[source] dormouse_storage::object::OpenError),
    /// The certificate.
    #[error("TLS cannot be offered")]
    Tls(#[source] dormouse_proxy::tls::TlsError),
    /// A setting of the pooler.
    #[error("cannot start the pooler: {0}")]
    Pooler(String),
    /// The metadata.
    #[error("cannot read the pooler's settings")]
    PoolSettings(#[source] dormouse_control::db::DbError),
    /// An address.
    #[error("cannot listen on {address} for {what}: choose another port, or stop what uses it")]
    Listen {
        /// For whom.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Something else of the operating system.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Runs a server until SIGTERM or SIGINT. `ready` is called once, when clients can connect. A second
/// signal ends it at once.
///
/// # Errors
/// When it cannot start.
pub async fn run(config: ServerConfig, ready: impl FnOnce(Ready)) -> Result<(), ServerError> {
    // Computes run as other users and must get to what is made for them; secrets set their own modes.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let mut signals = Signals::new().map_err(system("wait for signals"))?;
    let (server, told) = Server::start(&config).await?;
    ready(told);
    tracing::info!(signal = signals.next().await, "stopping");
    tokio::select! {
        () = server.stop(config.keep_computes) => {}
        signal = signals.next() => tracing::warn!(signal, "ended at once; the next server adopts what runs"),
    }
    Ok(())
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> ServerError {
    move |source| ServerError::System { what, source }
}

/// What runs, in the order in which it is stopped.
struct Server {
    door: Scope,
    proxy: Proxy,
    fleet: Fleet,
    node: Node,
    work: Scope,
    place: Place,
}

/// The two ports, taken before anything else is started: a port that is in use is the most common
/// reason for a start to fail.
struct Ports {
    pg: Bound,
    http: TcpListener,
    http_address: SocketAddr,
}

impl Ports {
    async fn take(config: &ServerConfig) -> Result<Self, ServerError> {
        let pg = Bound::to(config.pg_listen).map_err(|e| no_clients(config.pg_listen, e))?;
        let failed = |source| ServerError::Listen { what: "HTTP", address: config.http_listen, source };
        let http = TcpListener::bind(config.http_listen).await.map_err(failed)?;
        let http_address = http.local_addr().map_err(failed)?;
        Ok(Self { pg, http, http_address })
    }
}

impl Server {
    async fn start(config: &ServerConfig) -> Result<(Self, Ready), ServerError> {
        place::raise_descriptor_limit();
        let place = Place::take(&config.data).map_err(ServerError::Place)?;
        let ports = Ports::take(config).await?;
        let config =
            &ServerConfig { pg_listen: ports.pg.address().unwrap_or(config.pg_listen), ..config.clone() };
        let metrics = Arc::new(Metrics::default());
        let (foundation, fleet) = computes(config, &place, &metrics).await?;
        let node = foundation.node();
        let vault: Arc<dyn Vault> = Arc::new(node.clone());
        let started = Self::serve(config, place, ports, foundation, &fleet, vault, &metrics).await;
        if started.is_err() {
            // Reconcilers may have started some already.
            fleet.shut_down(config.keep_computes, COMPUTES_END_WITHIN).await;
        }
        started
    }

    async fn serve(
        config: &ServerConfig,
        place: Place,
        ports: Ports,
        foundation: Foundation,
        fleet: &Fleet,
        vault: Arc<dyn Vault>,
        metrics: &Arc<Metrics>,
    ) -> Result<(Self, Ready), ServerError> {
        let (door, work) = (Scope::new(), Scope::new());
        let node = foundation.node();
        // Running computes may be waiting for the rest of their directories.
        foundation.look_around().await.map_err(ServerError::Control)?;
        let adopted = fleet.adopt_all().await;
        tracing::info!(count = adopted.len(), "adopted computes that were left running");
        let control = Control::new(foundation, Arc::new(fleet.clone()), vault, &work);
        control.register_metrics(metrics);
        control.start_reconcilers();
        node.catch_up();

        http::serve(ports.http, http::routes(control.router(), Arc::clone(metrics)), &door);
        let first = control.first_project().await.map_err(ServerError::Control)?;
        let proxy = start_proxy(config, ports.pg, &place, &control, fleet, metrics, &door).await?;
        let key = {
            let control = control.clone();
            task::blocking(move || control.local_key()).await.map_err(ServerError::Control)?
        };
        let told = describe(config, ports.http_address, first, key);
        write_server_file(&place.data, &told).map_err(system("write server.json"))?;
        Ok((Self { door, proxy, fleet: fleet.clone(), node, work, place }, told))
    }

    async fn stop(self, keep_computes: bool) {
        let file = self.place.data.join(SERVER_FILE);
        if let Err(error) = std::fs::remove_file(&file) {
            tracing::debug!(%error, "cannot remove server.json");
        }
        // HTTP may have requests under way; they get the time that computes need anyway.
        let door = self.door.close(TASKS_END_WITHIN);
        let computes = self.fleet.shut_down(keep_computes, COMPUTES_END_WITHIN);
        let (_, ()) = tokio::join!(door, computes);
        drop(self.proxy);
        self.node.close(STORE_WITHIN).await;
        if !self.work.close(TASKS_END_WITHIN).await {
            tracing::warn!("some tasks did not end in time");
        }
    }
}

/// PostgreSQL, metadata and the fleet.
async fn computes(
    config: &ServerConfig,
    place: &Place,
    metrics: &Metrics,
) -> Result<(Foundation, Fleet), ServerError> {
    let named = config.pg_dir.clone();
    let installations = task::blocking(move || Installations::discover(&named)).await;
    if installations.newest().is_none() {
        return Err(ServerError::NoPostgres);
    }
    let identities =
        Identities::detect(config.compute_user.as_deref(), &place.data).map_err(ServerError::Identity)?;
    place.check_passable(identities).map_err(ServerError::Place)?;
    let cgroups =
        Cgroups::detect(config.cgroup, &place.instance()).map_err(system("use the wanted cgroups"))?;
    let (views, cache) = (installations.clone(), place.data.join("postgres"));
    let views = task::blocking(move || prepare_views(&views, &cache)).await?;

    let store = open_store(config, place).await?;
    metrics.register(|registry| store.register_metrics(registry));
    let control = control_config(config, place, installations, identities, store);
    let foundation = task::blocking(move || Foundation::open(control)).await.map_err(ServerError::Control)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let fleet = FleetConfig {
        computes: place.data.join("computes"),
        run_root: place.run_root(),
        views,
        identities,
        cgroups,
        boot_slots: cores * BOOTS_PER_CORE,
    };
    let counters = ComputeMetrics::default();
    metrics.register(|registry| counters.register(registry));
    let host = Arc::new(foundation.keeper());
    let fleet = Fleet::new(fleet, host, counters, Scope::new())
        .map_err(system("prepare the computes' directories"))?;
    Ok((foundation, fleet))
}

fn prepare_views(installations: &Installations, cache: &Path) -> Result<BTreeMap<u16, View>, ServerError> {
    std::fs::create_dir_all(cache).map_err(system("create the directory of PostgreSQL views"))?;
    let mut views = BTreeMap::new();
    for installation in installations.iter() {
        let view = View::prepare(installation, cache).map_err(ServerError::View)?;
        tracing::info!(version = installation.version, bin = %installation.bin.display(), "PostgreSQL found");
        views.insert(installation.major, view);
    }
    tracing::debug!(home = %discover::own_home().display(), "Dormouse's own installations");
    Ok(views)
}

fn control_config(
    config: &ServerConfig,
    place: &Place,
    installations: Installations,
    identities: Identities,
    store: Store,
) -> ControlConfig {
    ControlConfig {
        data: place.data.clone(),
        address: address(config),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        timeouts: Timeouts { idle: config.idle_timeout, pause: config.pause_timeout },
        installations,
        identities,
        store,
        run_root: place.run_root(),
        ways: config.ways,
        oidc: config.oidc.clone(),
    }
}

/// The object store; without a wish a directory of the server's own.
async fn open_store(config: &ServerConfig, place: &Place) -> Result<Store, ServerError> {
    let own = || format!("file://{}", place.data.join("store").display());
    let url = config.store.clone().unwrap_or_else(own);
    let options = StoreOptions::from_environment().map_err(ServerError::Store)?;
    Store::open(&url, options).await.map_err(ServerError::Store)
}

/// How clients reach the proxy. Names below `localhost` do not resolve everywhere, so there the
/// address is used and the endpoint is named in `options`.
fn address(config: &ServerConfig) -> Address {
    let local = config.pg_listen.ip().is_loopback();
    let require = ("sslmode".to_owned(), "require".to_owned());
    Address {
        domain: (config.domain != "localhost").then(|| config.domain.clone()),
        host: config.pg_listen.ip().to_string(),
        port: config.pg_listen.port(),
        parameters: if local { Vec::new() } else { vec![require] },
    }
}

async fn start_proxy(
    config: &ServerConfig,
    listen: Bound,
    place: &Place,
    control: &Control,
    fleet: &Fleet,
    metrics: &Metrics,
    door: &Scope,
) -> Result<Proxy, ServerError> {
    let (dir, domain, clients) = (place.data.join("tls"), config.domain.clone(), config.client_certs.clone());
    let tls = task::blocking(move || Tls::load_or_make(&dir, &domain, clients));
    let tls = tls.await.map_err(ServerError::Tls)?;
    let counters = ProxyMetrics::default();
    metrics.register(|registry| counters.register(registry));
    let proxy = ProxyConfig {
        listen: vec![listen],
        tls: Some(tls),
        max_client_conn: MAX_CLIENT_CONN,
        max_conn_rate: config.max_conn_rate,
        shards: std::thread::available_parallelism().map_or(1, usize::from),
        secret: place.proxy_secret().map_err(ServerError::Place)?,
        pool: pooler::settings(
            &control.pool_settings().map_err(ServerError::PoolSettings)?,
            &config.pool_settings,
        )
        .map_err(ServerError::Pooler)?,
        upstream: None,
    };
    let wake = Arc::new(wake::Door { control: control.clone(), fleet: fleet.clone() });
    let proxy = Proxy::start(proxy, wake, counters, door).map_err(|e| no_clients(config.pg_listen, e))?;
    control.attach_pooler(Arc::new(pooler::Desk(proxy.pooler())));
    Ok(proxy)
}

fn no_clients(address: SocketAddr, source: io::Error) -> ServerError {
    ServerError::Listen { what: "PostgreSQL clients", address, source }
}

fn describe(
    config: &ServerConfig,
    http: SocketAddr,
    first: Option<FirstProject>,
    api_key: Secret<String>,
) -> Ready {
    let address = address(config);
    let project = first.map(|first| {
        let password = first.password.as_ref().map(|p| p.expose().as_str());
        let uri = |pooled| address.uri(&first.endpoint, pooled, &first.role, password, &first.database);
        ReadyProject {
            connection_string: uri(false),
            pooled_connection_string: uri(true),
            project_id: first.project,
            branch: first.branch,
        }
    });
    Ready { project, api: format!("http://{http}/api/v2"), api_key, console: format!("http://{http}/") }
}

/// So that the command line finds this server. Only its owner may read the key in it.
fn write_server_file(data: &Path, ready: &Ready) -> io::Result<()> {
    let file = ServerFile { api: ready.api.clone(), api_key: ready.api_key.clone(), pid: std::process::id() };
    let partial = data.join(".server.json");
    // A file left by a crash may have another mode.
    let _absent = std::fs::remove_file(&partial);
    let out = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    serde_json::to_writer(out, &file)?;
    std::fs::rename(partial, data.join(SERVER_FILE))
}
