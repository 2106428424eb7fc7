//! Accepting connections, within limits.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dormouse_base::EndpointId;
use dormouse_base::clock::Mono;
use dormouse_pgwire::ClientError;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pooler::config::Settings;
use dormouse_runtime::shard::Shards;
use dormouse_runtime::task::Scope;
use parking_lot::Mutex;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::arrivals::Arrivals;
pub use crate::bound::Bound;
use crate::bound::{Incoming, Listening};
use crate::console::{Operators, Pooler};
use crate::gateway::Gateway;
use crate::handover::parcel::{self, Content, Parcel, Unfit};
use crate::handshakes::Handshakes;
use crate::metrics::Metrics;
use crate::pooled::{self, Listeners, Pools};
use crate::session::{self, Shared, help};
use crate::stream::ClientStream;
use crate::throttle::Throttle;
use crate::tls::Tls;
use crate::upstream::Upstream;
use crate::wake::{Backend, Wake};

/// Half-open connections at the same time; see [`crate::handshakes`].
pub const MAX_HANDSHAKES: usize = 2_000;

/// After `accept` failed (no descriptors left, for example).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Clients beyond `max_client_conn` that may log in to be told that there are too many, and operators.
const ROOM_TO_REFUSE: usize = 256;

/// A client that is turned away at the door gets this long to say something first.
const TURNED_AWAY_WITHIN: Duration = Duration::from_secs(1);

/// A serverless client that froze leaves a dead connection; the system finds it within 60 + 5 × 10 s.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(10), 5);

/// What the console shows as the proxy's address when it listens on Unix sockets only.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// How the proxy listens.
#[derive(Debug)]
pub struct ProxyConfig {
    /// Where to listen, all of them.
    pub listen: Vec<Bound>,
    /// TLS, if it is to be offered.
    pub tls: Option<Tls>,
    /// Clients at the same time (PgBouncer's `max_client_conn`).
    pub max_client_conn: usize,
    /// New connections a second from one source; 0 = no limit. See [`crate::arrivals`].
    pub max_conn_rate: u32,
    /// Threads of the data path.
    pub shards: usize,
    /// A secret of this installation, the same after a restart.
    pub secret: Vec<u8>,
    /// How connections are pooled.
    pub pool: Settings,
    /// Present when ordinary servers are behind it, and no computes; then it is the `wake` of the start, too.
    pub upstream: Option<Upstream>,
}

/// The running proxy.
pub struct Proxy {
    pooler: Pooler,
    // Sessions live on its shards, and end with them.
    door: Arc<Door>,
    /// Ends what listens on TCP.
    tcp: CancellationToken,
    /// And on Unix sockets.
    unix: CancellationToken,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").finish_non_exhaustive()
    }
}

impl Proxy {
    /// Starts to listen; accepts until `scope` is closed.
    ///
    /// # Errors
    /// When the address cannot be used, or no threads can be started.
    pub fn start(
        config: ProxyConfig,
        wake: Arc<dyn Wake>,
        metrics: Metrics,
        scope: &Scope,
    ) -> io::Result<Self> {
        let (proxy, listen) = Self::prepare(config, wake, metrics)?;
        proxy.listen(listen, scope)?;
        Ok(proxy)
    }

    /// A proxy that does not listen yet; [`Proxy::listen`] does, on what comes back.
    ///
    /// # Errors
    /// When no threads can be started.
    pub fn prepare(
        config: ProxyConfig,
        wake: Arc<dyn Wake>,
        metrics: Metrics,
    ) -> io::Result<(Self, Vec<Bound>)> {
        let address = config.listen.iter().find_map(Bound::address).unwrap_or(NOWHERE);
        let shards = Arc::new(Shards::start(config.shards)?);
        // Whoever gets a compute gets it after those who listen on it.
        let listeners = Arc::new(Listeners::new(wake));
        let departure = Arc::clone(&listeners.departure);
        let wake: Arc<dyn Wake> = Arc::clone(&listeners) as Arc<dyn Wake>;
        let pools = Arc::new(Pools::new(shards.all(), listeners, config.pool));
        metrics.pools.watch(&pools);
        let shared = Arc::new(Shared {
            wake,
            upstream: config.upstream,
            tls: config.tls,
            throttle: Throttle::default(),
            lookups: crate::lookups::Lookups::default(),
            proofs: crate::proofs::Proofs::default(),
            cancels: crate::cancel::Registry::default(),
            metrics,
            doom_secret: config.secret,
            pools,
            address,
            departure,
            operators: Operators::default(),
            listening: Mutex::default(),
        });
        let pooler = Pooler::new(&shared);
        let beyond = if shared.upstream.is_some() { ROOM_TO_REFUSE } else { 0 };
        let door = Arc::new(Door {
            shared,
            shards,
            handshakes: Handshakes::new(MAX_HANDSHAKES.min(config.max_client_conn.saturating_add(beyond))),
            arrivals: Arrivals::new(config.max_conn_rate),
            clients: Arc::default(),
            max_clients: AtomicUsize::new(config.max_client_conn),
        });
        let (tcp, unix) = (CancellationToken::new(), CancellationToken::new());
        Ok((Self { pooler, door, tcp, unix }, config.listen))
    }

    /// Accepts on these until `scope` is closed; what runs beside that ends with it, too.
    ///
    /// # Errors
    /// When an address cannot be used.
    pub fn listen(&self, listen: Vec<Bound>, scope: &Scope) -> io::Result<()> {
        let listening = listen.into_iter().map(|bound| bound.listen().map(Arc::new));
        let listening = listening.collect::<io::Result<Vec<_>>>()?;
        let shared = &self.door.shared;
        shared.listening.lock().extend(listening.iter().map(Arc::downgrade));
        keep_averages(shared, scope);
        let token = scope.token();
        let (watched, ended) = (Arc::clone(shared), token.clone());
        scope.spawn("TLS files", async move {
            tokio::select! {
                () = follow_tls_files(&watched) => {}
                () = ended.cancelled() => {}
            }
        });
        for listening in listening {
            let left = if listening.is_tcp() { self.tcp.clone() } else { self.unix.clone() };
            let (door, token) = (Arc::clone(&self.door), token.clone());
            scope.spawn("accept", async move {
                tokio::select! {
                    () = door.accept(listening) => {}
                    () = token.cancelled() => {}
                    () = left.cancelled() => {}
                }
            });
        }
        self.keep_up();
        Ok(())
    }

    /// Sends clients away through `parcels`, to go on in another process: each as soon as it can. Call
    /// [`Proxy::rouse`] until [`Proxy::clients`] is zero, or it has been long enough.
    pub fn depart(&self, parcels: mpsc::Sender<Parcel>) {
        self.door.shared.departure.begin(parcels);
        self.rouse();
    }

    /// Has all sessions look whether they can go now.
    pub fn rouse(&self) {
        self.door.shared.departure.rouse();
        for client in self.door.shared.pools.list().iter().flat_map(|pool| pool.clients()) {
            client.wake();
        }
    }

    /// Ends those who could not go, telling them why.
    pub fn dismiss(&self) {
        self.door.shared.departure.end();
        self.rouse();
    }

    /// Goes on with a client of another process.
    ///
    /// # Errors
    /// When it cannot go on here; its connection ends.
    pub fn receive(&self, parcel: Parcel) -> Result<(), Unfit> {
        self.door.receive(parcel)
    }

    /// Has an endpoint woken, after those who listen on it, as for a client of this proxy.
    ///
    /// # Errors
    /// When it cannot be woken, or not in time.
    pub async fn acquire(&self, endpoint: &EndpointId) -> Result<Backend, ClientError> {
        self.door.shared.wake.acquire(endpoint).await
    }

    /// How many clients there are, those who are still logging in included.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.door.clients.load(Ordering::Acquire)
    }

    /// The first address that is listened on (with the real port when 0 was asked for).
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.door.shared.address
    }

    /// The pooler, to look at it and to order it about.
    #[must_use]
    pub fn pooler(&self) -> Pooler {
        self.pooler.clone()
    }

    /// Its certificate and key, as they are at each moment.
    #[must_use]
    pub fn tls(&self) -> Option<Tls> {
        self.door.shared.tls()
    }

    /// The database over HTTP. Its housekeeping ends with `scope`.
    #[must_use]
    pub fn gateway(&self, scope: &Scope) -> Gateway {
        Gateway::new(&self.door.shared, Arc::downgrade(&self.door), scope)
    }

    /// New limits of clients and pools, from now on. Clients that are there stay.
    pub fn reconfigure(&self, settings: &Settings) {
        self.door.max_clients.store(clients(settings), Ordering::Relaxed);
        self.door.shared.pools.change(settings);
        self.keep_up();
    }

    /// Makes the pools that are kept up without clients.
    fn keep_up(&self) {
        let shared = &self.door.shared;
        for key in shared.upstream.iter().flat_map(Upstream::kept_up) {
            let _made = shared.pools.get(key);
        }
    }

    /// Does not listen on TCP any more; Unix sockets go with the scope.
    pub fn leave_tcp(&self) {
        self.tcp.cancel();
    }

    /// Does not listen on Unix sockets any more.
    pub fn leave_unix(&self) {
        self.unix.cancel();
    }

    /// Refuses all work that has not begun.
    pub fn drain(&self) {
        self.door.shared.pools.drain();
    }

    /// How many connections to servers are in use or being opened.
    #[must_use]
    pub fn busy_servers(&self) -> usize {
        let pools = self.door.shared.pools.list();
        pools.iter().map(|pool| pool.counts()).map(|counts| counts.sv_active + counts.sv_login).sum()
    }

    /// Ends every pooled client, telling it why.
    pub fn end_clients(&self) {
        for client in self.door.shared.pools.list().iter().flat_map(|pool| pool.clients()) {
            client.kill();
        }
    }
}

/// `max_client_conn` as a number of connections.
fn clients(settings: &Settings) -> usize {
    usize::try_from(settings.max_client_conn).unwrap_or(usize::MAX)
}

/// Looks at the TLS files for ever.
async fn follow_tls_files(shared: &Shared) {
    loop {
        tokio::time::sleep(crate::tls::LOOK_EVERY).await;
        if let Some(tls) = shared.tls() {
            tls.look().await;
        }
    }
}

/// Has the pools' averages end their periods.
fn keep_averages(shared: &Arc<Shared>, scope: &Scope) {
    let (pools, token) = (Arc::clone(&shared.pools), scope.token());
    let (swept, ended) = (Arc::clone(&pools), token.clone());
    scope.spawn("unused pools", async move {
        tokio::select! {
            () = swept.keep_clean() => {}
            () = ended.cancelled() => {}
        }
    });
    scope.spawn("pool averages", async move {
        tokio::select! {
            () = pools.keep_averages() => {}
            () = token.cancelled() => {}
        }
    });
}

/// Who may come in.
pub(crate) struct Door {
    shared: Arc<Shared>,
    shards: Arc<Shards>,
    handshakes: Handshakes,
    arrivals: Arrivals,
    clients: Arc<AtomicUsize>,
    max_clients: AtomicUsize,
}

/// One client's place; given back when dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Door {
    async fn accept(self: Arc<Self>, listening: Arc<Listening>) {
        loop {
            match listening.accept().await {
                Ok((incoming, peer)) => self.admit(incoming, peer),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn receive(&self, parcel: Parcel) -> Result<(), Unfit> {
        let Parcel { body, files } = parcel;
        let counted = Box::new(self.count().1);
        let mut files = files.into_iter();
        match (parcel::open(&body)?, files.next(), files.next()) {
            (Content::Pooled(who, baggage), Some(client), None) => {
                pooled::arrive(&self.shared, who, baggage, client, counted)
            }
            (Content::Direct(who), Some(client), Some(backend)) => {
                session::moving::arrive(&self.shared, &self.shards, who, (client, backend), counted)
            }
            _ => Err(Unfit::Unreadable),
        }
    }

    /// One client more: how many there were before, and its place.
    fn count(&self) -> (usize, Counted) {
        let counted = Counted(Arc::clone(&self.clients));
        (self.clients.fetch_add(1, Ordering::AcqRel), counted)
    }

    fn admit(&self, incoming: Incoming, peer: SocketAddr) {
        if let Incoming::Tcp(stream) = &incoming
            && let Err(error) = prepare(stream)
        {
            tracing::debug!(%error, "cannot set socket options");
        }
        // The socket has left the accepting executor, for the shard that will serve it.
        self.let_in(move || incoming.into_stream().ok(), peer);
    }

    /// Takes a client in that the gateway carries.
    pub(crate) fn enter(&self, stream: ClientStream, peer: SocketAddr) {
        self.let_in(move || Some(stream), peer);
    }

    /// `stream` is called on the shard that will serve the client.
    fn let_in(&self, stream: impl FnOnce() -> Option<ClientStream> + Send + 'static, peer: SocketAddr) {
        let (before, counted) = self.count();
        let refusal = self.refusal(before, peer);
        // Whoever is turned away must not push somebody out who is just logging in.
        let place = refusal.is_none().then(|| self.handshakes.enter());
        let shared = Arc::clone(&self.shared);
        self.shards.spawn(async move {
            let Some(stream) = stream() else { return };
            match (refusal, place) {
                (Some(error), _) => {
                    turn_away(&shared, stream, &error).await;
                    drop(counted);
                }
                (None, Some(place)) => session::serve(shared, stream, peer, place, Box::new(counted)).await,
                (None, None) => {}
            }
        });
    }

    /// Why a connection may not even begin.
    fn refusal(&self, clients_before: usize, peer: SocketAddr) -> Option<ClientError> {
        // Pooled clients are counted once more by their pools; the setting can only make more room here.
        let limit = self.max_clients.load(Ordering::Relaxed).max(self.shared.pools.max_client_conn());
        // In PgBouncer's place operators are not counted, and who is too much is told so after its login: before it,
        // libpq does not show what it is told.
        let beyond = if self.shared.upstream.is_some() { ROOM_TO_REFUSE } else { 0 };
        if clients_before >= limit + beyond {
            return Some(
                ClientError::too_many_connections()
                    .with_detail(format!("The limit of {limit} clients is reached (max_client_conn)."))
                    .with_hint(help("too-many-connections")),
            );
        }
        self.arrivals.enter(peer.ip(), Mono::now()).err().map(|_wait| {
            let text = "too many new connections from this address in a short time";
            ClientError::fatal(SqlState::TOO_MANY_CONNECTIONS, text)
                .with_hint(format!("Keep connections open, or use a pool. {}", help("connecting-too-fast")))
        })
    }
}

fn prepare(stream: &std::net::TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (idle, interval, retries) = KEEPALIVE;
    let keepalive = TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(retries);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Tells a client why it may not come in. Nothing of what it sends is understood, so the error comes in the
/// clear even to a client that would like TLS: a handshake is what a server without room cannot afford.
async fn turn_away(shared: &Shared, mut stream: ClientStream, error: &ClientError) {
    shared.metrics.ended(error.code.as_str());
    let say = async {
        // Bytes that nobody read would turn the goodbye into a reset, and the error would be lost.
        let mut first = [0; 1024];
        let _said = stream.read(&mut first).await?;
        stream.write_all(&error.encode()).await?;
        stream.shutdown().await
    };
    let _unheard = tokio::time::timeout(TURNED_AWAY_WITHIN, say).await;
}
