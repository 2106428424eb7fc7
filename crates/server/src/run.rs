//! Start everything in order, wait for a signal, stop everything in the opposite order.
//!
//! ```text
//!  place ─► ports ─► PostgreSQL, store, TLS ─► metadata ─► fleet ─► adopt ─► control ─► proxy, HTTP ─► ready
//!  stop:    proxy and HTTP accept no more ─► computes drain and stop (or are left) ─► the rest ends
//!  another server takes over: [`succession`], [`crate::takeover`]
//! ```

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::middleware;
use dormouse_api::server_file::SERVER_FILE;
use dormouse_base::clock::Mono;
use dormouse_compute::limits::Clients;
use dormouse_compute::metrics::Metrics as ComputeMetrics;
use dormouse_compute::{Fleet, HostChange};
use dormouse_control::{Control, Foundation, Node, Vault};
use dormouse_proxy::metrics::Metrics as ProxyMetrics;
use dormouse_proxy::{Proxy, ProxyConfig};
use dormouse_runtime::shutdown::{STOP_WITHIN, Signals};
use dormouse_runtime::task::{self, Scope};
use dormouse_runtime::telemetry::Metrics;
use parking_lot::RwLock;
use rustix::fs::Mode;
use tokio::sync::mpsc;

use crate::config::{MAX_CLIENT_CONN, Ready, ServerConfig};
use crate::error::{ServerError, system};
use crate::place::{self, Place, PlaceError};
use crate::ports::{Ports, no_clients};
use crate::prepared::Prepared;
use crate::systemd::{self, State};
use crate::takeover::ask::{self, Predecessor, Turn};
use crate::takeover::give::{self, Wish};
use crate::{http, pooler, traffic, wake};
use told::{describe, write_server_file};

mod told;
mod succession;

/// How long tasks may take to end after the computes have.
const TASKS_END_WITHIN: Duration = Duration::from_secs(3);

/// Computes that have not stopped by then are ended by force, so that the whole ends in time.
const COMPUTES_END_WITHIN: Duration = Duration::from_secs(STOP_WITHIN.as_secs() - 8);

/// What computes left behind is filed within this time; the next start does what remains.
const STORE_WITHIN: Duration = Duration::from_secs(5);

/// Between two tries to get the lock of a server that has just died.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Runs a server until SIGTERM or SIGINT, or until another one has taken over. `ready` is called once, when clients
/// can connect. A second signal ends it at once.
///
/// # Errors
/// When it cannot start.
pub async fn run(config: ServerConfig, ready: impl FnOnce(Ready)) -> Result<(), ServerError> {
    // Computes run as other users and must get to what is made for them; secrets set their own modes.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let mut signals = Signals::new().map_err(system("wait for signals"))?;
    let (mut server, told) = Server::start(&config).await?;
    ready(told);
    systemd::tell(if config.takeover { State::ReadyInstead } else { State::Ready });
    loop {
        tokio::select! {
            signal = signals.next() => {
                tracing::info!(signal, "stopping");
                systemd::tell(State::Stopping);
                break;
            }
            Some(wish) = server.wishes.recv() => match server.hand_over(wish, &mut signals).await? {
                Some(again) => server = again,
                None => return Ok(()),
            },
        }
    }
    tokio::select! {
        () = server.stop(config.keep_computes) => {}
        signal = signals.next() => tracing::warn!(signal, "ended at once; the next server adopts what runs"),
    }
    Ok(())
}

/// What runs, in the order in which it is stopped. All but the first ends when another server takes over, and is
/// made anew when that comes to nothing.
struct Server {
    lasting: Lasting,
    /// Requests over HTTP, which may take long.
    http: Scope,
    /// What accepts, and what is done beside it.
    door: Scope,
    node: Node,
    work: Scope,
    control: Control,
    metrics: Arc<Metrics>,
    /// Empty as long as it does not accept.
    wishes: mpsc::Receiver<Wish>,
}

/// What clients hold on to.
struct Lasting {
    config: ServerConfig,
    place: Place,
    ports: Ports,
    prepared: Prepared,
    proxy: Arc<Proxy>,
    proxy_metrics: ProxyMetrics,
    fleet: Fleet,
    fleet_metrics: ComputeMetrics,
    host: Arc<HostChange>,
    wake: Arc<wake::Door>,
}

impl Server {
    async fn start(config: &ServerConfig) -> Result<(Self, Ready), ServerError> {
        place::raise_descriptor_limit();
        if config.takeover {
            // No canonical path yet: it may not even exist.
            match ask::ask(config, &config.data).await.map_err(ServerError::Takeover)? {
                Some(predecessor) => return Self::succeed(config, predecessor).await,
                None => tracing::warn!(data = %config.data.display(),
                    "no server runs here to take over from: this is an ordinary start"),
            }
        }
        let place = Place::take(&config.data).map_err(ServerError::Place)?;
        let ports = Ports::take(config)?;
        let prepared = Prepared::make(config, &place).await?;
        let (server, told) = Self::open(config, place, ports, prepared).await?;
        Ok((server.accept(&told)?, told))
    }

    /// Starts in the place of a server that runs.
    async fn succeed(config: &ServerConfig, predecessor: Predecessor) -> Result<(Self, Ready), ServerError> {
        let place = Place::of_another(&config.data).map_err(ServerError::Place)?;
        let ports = Ports::given(&predecessor).map_err(system("use the sockets of the running server"))?;
        // Whatever can fail should fail now, while the other one serves.
        let prepared = Prepared::make(config, &place).await?;
        let (place, busy) = match predecessor.take().await.map_err(ServerError::Takeover)? {
            Turn::Ours(lock, busy) => (place.own(lock).map_err(ServerError::Place)?, busy),
            Turn::Orphaned => (orphaned(config).await?, Vec::new()),
        };
        let (server, told) = Self::open(config, place, ports, prepared).await?;
        let lasting = &server.lasting;
        let held = busy.iter().filter_map(|id| lasting.fleet.get(id)?.gate().pass_quietly()).collect();
        let serving =
            predecessor.serving(Arc::clone(&lasting.proxy), lasting.fleet.clone(), held, &server.door);
        serving.await.map_err(ServerError::Takeover)?;
        // Not earlier: who comes to a server that dies before it said so would be lost.
        Ok((server.accept(&told)?, told))
    }

    async fn open(
        config: &ServerConfig,
        place: Place,
        ports: Ports,
        prepared: Prepared,
    ) -> Result<(Self, Ready), ServerError> {
        let config = &ServerConfig { pg_listen: ports.pg_address, ..config.clone() };
        let metrics = Arc::new(Metrics::default());
        let foundation = prepared.foundation(config, &place).await?;
        let host = Arc::new(HostChange::new(Arc::new(foundation.keeper())));
        let fleet_metrics = ComputeMetrics::default();
        let fleet = prepared.fleet(&place, &host, fleet_metrics.clone())?;
        let node = foundation.node();
        let (door, work) = (Scope::new(), Scope::new());
        let lasting = async {
            let control = adopt(&fleet, foundation, &work).await?;
            let layers = control.pool_layers().map_err(ServerError::PoolSettings)?;
            let layers = Arc::new(RwLock::new(pooler::layers(layers)));
            let wake = Arc::new(wake::Door::new(control.clone(), fleet.clone(), layers));
            let proxy_metrics = ProxyMetrics::default();
            let proxy = prepare_proxy((config, &place, &ports), &prepared, &control, &wake, &proxy_metrics)?;
            let lasting = Lasting {
                config: config.clone(),
                place,
                ports,
                prepared,
                proxy: Arc::new(proxy),
                proxy_metrics,
                fleet: fleet.clone(),
                fleet_metrics,
                host,
                wake,
            };
            lasting.serve(control, node, (door, work), metrics).await
        };
        let started = lasting.await;
        if started.is_err() {
            // Reconcilers may have started some already.
            fleet.shut_down(config.keep_computes, COMPUTES_END_WITHIN).await;
        }
        started
    }

    /// Opens the door: from here on clients get in, and another server may take over.
    fn accept(mut self, told: &Ready) -> Result<Self, ServerError> {
        let (ports, config, data) = (&self.lasting.ports, &self.lasting.config, &self.lasting.place.data);
        write_server_file(data, told).map_err(system("write server.json"))?;
        let http = ports.http().map_err(system("listen for HTTP"))?;
        let control = Arc::new(self.control.clone());
        let lend = middleware::map_request(move |mut request: Request| {
            control.lend(request.headers_mut());
            std::future::ready(request)
        });
        // The console's SQL editor has a session and no key.
        let gateway = self.lasting.proxy.gateway(&self.door);
        let databases = gateway.router().merge(gateway.queries().layer(lend));
        let routes = http::routes(self.control.router(), databases, Arc::clone(&self.metrics));
        http::serve(http, http::Site { routes, gateway }, self.lasting.proxy.tls(), &self.http);
        let listening = self.lasting.proxy.listen(vec![ports.pg(config)?], &self.door);
        listening.map_err(|e| no_clients(config.pg_listen, e))?;
        let sockets = ports.share().map_err(system("share the listening sockets"))?;
        self.wishes = give::offer(data, sockets, &self.door).map_err(system("offer a takeover"))?;
        Ok(self)
    }

    async fn stop(self, keep_computes: bool) {
        let Self { lasting, http, door, node, work, .. } = self;
        let file = lasting.place.data.join(SERVER_FILE);
        if let Err(error) = std::fs::remove_file(&file) {
            tracing::debug!(%error, "cannot remove server.json");
        }
        // HTTP may have requests under way; they get the time that computes need anyway.
        let (http, door) = (http.close(TASKS_END_WITHIN), door.close(TASKS_END_WITHIN));
        let computes = lasting.fleet.shut_down(keep_computes, COMPUTES_END_WITHIN);
        let (_, _, ()) = tokio::join!(http, door, computes);
        drop(lasting.proxy);
        let _filed_by_the_next = node.close(STORE_WITHIN).await;
        if !work.close(TASKS_END_WITHIN).await {
            tracing::warn!("some tasks did not end in time");
        }
    }
}

impl Lasting {
    /// Everything but the door.
    async fn serve(
        self,
        control: Control,
        node: Node,
        (door, work): (Scope, Scope),
        metrics: Arc<Metrics>,
    ) -> Result<(Server, Ready), ServerError> {
        metrics.register(|registry| self.prepared.store.register_metrics(registry));
        metrics.register(|registry| self.fleet_metrics.register(registry));
        metrics.register(|registry| self.proxy_metrics.register(registry));
        control.register_metrics(&metrics);
        let desk = Arc::new(pooler::Desk::new(self.proxy.pooler(), control.clone(), self.wake.layers()));
        self.fleet.attach_clients(Arc::clone(&desk) as Arc<dyn Clients>);
        control.attach_pooler(desk);
        control.attach_clients(Arc::new(traffic::Counted(Arc::clone(&self.proxy))));
        control.start_reconcilers();
        node.catch_up();
        let first = control.first_project().await.map_err(ServerError::Control)?;
        let key = {
            let control = control.clone();
            task::blocking(move || control.local_key()).await.map_err(ServerError::Control)?
        };
        let code = control.console_code(&key).map_err(ServerError::Keys)?;
        let told = describe(&self.config, self.ports.http_address, first, (key, code));
        let (_, wishes) = mpsc::channel(1);
        let http = Scope::new();
        Ok((Server { lasting: self, http, door, node, work, control, metrics, wishes }, told))
    }
}

/// Control over what an earlier server left, or this one had.
async fn adopt(fleet: &Fleet, foundation: Foundation, work: &Scope) -> Result<Control, ServerError> {
    // Running computes may be waiting for the rest of their directories.
    foundation.look_around().await.map_err(ServerError::Control)?;
    let adopted = fleet.adopt_all().await;
    tracing::info!(count = adopted.len(), "adopted computes that were left running");
    let vault: Arc<dyn Vault> = Arc::new(foundation.node());
    Ok(Control::new(foundation, Arc::new(fleet.clone()), vault, work))
}

/// The server that ran is gone, and its lock is free in a moment.
async fn orphaned(config: &ServerConfig) -> Result<Place, ServerError> {
    let start = Mono::now();
    loop {
        match Place::take(&config.data) {
            Err(PlaceError::InUse(_)) if start.elapsed() < ask::LOCK_WITHIN => {
                tokio::time::sleep(LOCK_PAUSE).await;
            }
            taken => return taken.map_err(ServerError::Place),
        }
    }
}

fn prepare_proxy(
    lasting: (&ServerConfig, &Place, &Ports),
    prepared: &Prepared,
    control: &Control,
    wake: &Arc<wake::Door>,
    counters: &ProxyMetrics,
) -> Result<Proxy, ServerError> {
    let (config, place, ports) = lasting;
    let proxy = ProxyConfig {
        listen: vec![ports.pg(config)?],
        tls: Some(prepared.tls.clone()),
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
    let wake: Arc<wake::Door> = Arc::clone(wake);
    let prepared = Proxy::prepare(proxy, wake, counters.clone());
    // It listens later, on another handle.
    prepared.map(|(proxy, _handle)| proxy).map_err(|e| no_clients(config.pg_listen, e))
}
