//! Accepting connections, within limits.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_pgwire::ClientError;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pooler::config::Settings;
use dormouse_runtime::shard::Shards;
use dormouse_runtime::task::Scope;
use parking_lot::Mutex;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::arrivals::Arrivals;
pub use crate::bound::Bound;
use crate::bound::{Incoming, Listening};
use crate::console::{Operators, Pooler};
use crate::handshakes::Handshakes;
use crate::metrics::Metrics;
use crate::pooled::{Listeners, Pools};
use crate::session::{self, Shared, help};
use crate::stream::ClientStream;
use crate::throttle::Throttle;
use crate::tls::Tls;
use crate::upstream::Upstream;
use crate::wake::Wake;

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
    shared: Arc<Shared>,
    max_clients: Arc<AtomicUsize>,
    clients: Arc<AtomicUsize>,
    /// Ends what listens on TCP.
    tcp: CancellationToken,
    /// And on Unix sockets.
    unix: CancellationToken,
    // Sessions live on the shards, and end with them.
    _shards: Arc<Shards>,
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
        let address = config.listen.iter().find_map(Bound::address).unwrap_or(NOWHERE);
        let listening = config.listen.into_iter().map(|bound| bound.listen().map(Arc::new));
        let listening = listening.collect::<io::Result<Vec<_>>>()?;
        let shards = Arc::new(Shards::start(config.shards)?);
        // Whoever gets a compute gets it after those who listen on it.
        let listeners = Arc::new(Listeners::new(wake));
        let wake: Arc<dyn Wake> = Arc::clone(&listeners) as Arc<dyn Wake>;
        let pools = Arc::new(Pools::new(shards.all(), listeners, config.pool));
        metrics.pools.watch(&pools);
        let shared = Arc::new(Shared {
            wake,
            upstream: config.upstream,
            tls: config.tls,
            throttle: Throttle::default(),
            cancels: crate::cancel::Registry::default(),
            metrics,
            doom_secret: config.secret,
            pools,
            address,
            operators: Operators::default(),
            listening: Mutex::new(listening.iter().map(Arc::downgrade).collect()),
        });
        let pooler = Pooler::new(&shared);
        keep_averages(&shared, scope);
        let max_clients = Arc::new(AtomicUsize::new(config.max_client_conn));
        let clients = Arc::<AtomicUsize>::default();
        let beyond = if shared.upstream.is_some() { ROOM_TO_REFUSE } else { 0 };
        let door = Arc::new(Door {
            shared: Arc::clone(&shared),
            shards: Arc::clone(&shards),
            handshakes: Handshakes::new(MAX_HANDSHAKES.min(config.max_client_conn.saturating_add(beyond))),
            arrivals: Arrivals::new(config.max_conn_rate),
            clients: Arc::clone(&clients),
            max_clients: Arc::clone(&max_clients),
        });
        let token = scope.token();
        let (watched, ended) = (Arc::clone(&shared), token.clone());
        scope.spawn("TLS files", async move {
            tokio::select! {
                () = follow_tls_files(&watched) => {}
                () = ended.cancelled() => {}
            }
        });
        let (tcp, unix) = (token.child_token(), token.child_token());
        for listening in listening {
            let token = if listening.is_tcp() { tcp.clone() } else { unix.clone() };
            let door = Arc::clone(&door);
            scope.spawn("accept", async move {
                tokio::select! {
                    () = door.accept(listening) => {}
                    () = token.cancelled() => {}
                }
            });
        }
        let proxy = Self { pooler, shared, max_clients, clients, tcp, unix, _shards: shards };
        proxy.keep_up();
        Ok(proxy)
    }

    /// The first address that is listened on (with the real port when 0 was asked for).
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The pooler, to look at it and to order it about.
    #[must_use]
    pub fn pooler(&self) -> Pooler {
        self.pooler.clone()
    }

    /// New limits of clients and pools, from now on. Clients that are there stay.
    pub fn reconfigure(&self, settings: &Settings) {
        self.max_clients.store(clients(settings), Ordering::Relaxed);
        self.shared.pools.change(settings);
        self.keep_up();
    }

    /// Makes the pools that are kept up without clients.
    fn keep_up(&self) {
        for key in self.shared.upstream.iter().flat_map(Upstream::kept_up) {
            let _made = self.shared.pools.get(key);
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

    /// How many are connected, in whatever state.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.clients.load(Ordering::Acquire)
    }

    /// Refuses all work that has not begun.
    pub fn drain(&self) {
        self.shared.pools.drain();
    }

    /// How many connections to servers are in use or being opened.
    #[must_use]
    pub fn busy_servers(&self) -> usize {
        let pools = self.shared.pools.list();
        pools.iter().map(|pool| pool.counts()).map(|counts| counts.sv_active + counts.sv_login).sum()
    }

    /// Ends every pooled client, telling it why.
    pub fn end_clients(&self) {
        for client in self.shared.pools.list().iter().flat_map(|pool| pool.clients()) {
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
struct Door {
    shared: Arc<Shared>,
    shards: Arc<Shards>,
    handshakes: Handshakes,
    arrivals: Arrivals,
    clients: Arc<AtomicUsize>,
    max_clients: Arc<AtomicUsize>,
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

    fn admit(&self, incoming: Incoming, peer: SocketAddr) {
        if let Incoming::Tcp(stream) = &incoming
            && let Err(error) = prepare(stream)
        {
            tracing::debug!(%error, "cannot set socket options");
        }
        let counted = Counted(Arc::clone(&self.clients));
        let before = self.clients.fetch_add(1, Ordering::AcqRel);
        let refusal = self.refusal(before, peer);
        // Whoever is turned away must not push somebody out who is just logging in.
        let place = refusal.is_none().then(|| self.handshakes.enter());
        let shared = Arc::clone(&self.shared);
        // The socket has left the accepting executor, for the shard that will serve it.
        self.shards.spawn(async move {
            let Ok(stream) = incoming.into_stream() else { return };
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
