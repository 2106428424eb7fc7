//! Accepting connections, within limits.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_pgwire::ClientError;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pooler::config::Settings;
use dormouse_runtime::shard::Shards;
use dormouse_runtime::task::Scope;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::arrivals::Arrivals;
use crate::console::Pooler;
use crate::handshakes::Handshakes;
use crate::metrics::Metrics;
use crate::pooled::{Listeners, Pools};
use crate::session::{self, Shared, help};
use crate::throttle::Throttle;
use crate::tls::Tls;
use crate::wake::Wake;

/// Connections that may wait in the kernel to be accepted.
const BACKLOG: i32 = 4096;

/// Half-open connections at the same time; see [`crate::handshakes`].
pub const MAX_HANDSHAKES: usize = 2_000;

/// After `accept` failed (no descriptors left, for example).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A client that is turned away at the door gets this long to say something first.
const TURNED_AWAY_WITHIN: Duration = Duration::from_secs(1);

/// A serverless client that froze leaves a dead connection; the system finds it within 60 + 5 × 10 s.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(10), 5);

/// How the proxy listens.
#[derive(Debug)]
pub struct ProxyConfig {
    /// Where to listen.
    pub listen: Bound,
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
}

/// An address that is taken but does not answer yet. Its port is needed before the proxy can start:
/// connection strings contain it.
#[derive(Debug)]
pub struct Bound {
    socket: Socket,
    address: SocketAddr,
}

impl Bound {
    /// Takes an address; port 0 takes any free one.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn to(address: SocketAddr) -> io::Result<Self> {
        let socket =
            Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        let address = socket.local_addr()?.as_socket().unwrap_or(address);
        Ok(Self { socket, address })
    }

    /// The address, with the real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn listen(self) -> io::Result<TcpListener> {
        self.socket.listen(BACKLOG)?;
        TcpListener::from_std(self.socket.into())
    }
}

/// The running proxy.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    pooler: Pooler,
    // Sessions live on the shards, and end with them.
    _shards: Arc<Shards>,
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
        let address = config.listen.address();
        let listener = config.listen.listen()?;
        let shards = Arc::new(Shards::start(config.shards)?);
        // Whoever gets a compute gets it after those who listen on it.
        let listeners = Arc::new(Listeners::new(wake));
        let wake: Arc<dyn Wake> = Arc::clone(&listeners) as Arc<dyn Wake>;
        let pools = Arc::new(Pools::new(shards.all(), listeners, config.pool));
        metrics.pools.watch(&pools);
        let shared = Arc::new(Shared {
            wake,
            tls: config.tls,
            throttle: Throttle::default(),
            cancels: crate::cancel::Registry::default(),
            metrics,
            doom_secret: config.secret,
            pools,
            address,
            next_client: AtomicU32::new(1),
        });
        let pooler = Pooler::new(&shared);
        keep_averages(&shared, scope);
        let door = Door {
            shared,
            shards: Arc::clone(&shards),
            handshakes: Handshakes::new(MAX_HANDSHAKES.min(config.max_client_conn)),
            arrivals: Arrivals::new(config.max_conn_rate),
            clients: Arc::default(),
            max_clients: config.max_client_conn,
        };
        let token = scope.token();
        if let Some(tls) = door.shared.tls.clone() {
            let token = token.clone();
            scope.spawn("TLS files", async move {
                tokio::select! {
                    () = tls.follow_files() => {}
                    () = token.cancelled() => {}
                }
            });
        }
        scope.spawn("accept", async move {
            tokio::select! {
                () = door.accept(listener) => {}
                () = token.cancelled() => {}
            }
        });
        Ok(Self { address, pooler, _shards: shards })
    }

    /// The pooler, to look at it and to order it about.
    #[must_use]
    pub fn pooler(&self) -> Pooler {
        self.pooler.clone()
    }

    /// The address that is listened on (with the real port when 0 was asked for).
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Has the pools' averages end their periods.
fn keep_averages(shared: &Arc<Shared>, scope: &Scope) {
    let (pools, token) = (Arc::clone(&shared.pools), scope.token());
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
    max_clients: usize,
}

/// One client's place; given back when dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Door {
    async fn accept(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        if let Err(error) = prepare(&stream) {
            tracing::debug!(%error, "cannot set socket options");
        }
        let counted = Counted(Arc::clone(&self.clients));
        let before = self.clients.fetch_add(1, Ordering::AcqRel);
        let refusal = self.refusal(before, peer);
        // Whoever is turned away must not push somebody out who is just logging in.
        let place = refusal.is_none().then(|| self.handshakes.enter());
        let shared = Arc::clone(&self.shared);
        // The socket moves from the accepting executor to the shard that will serve it.
        let Ok(stream) = stream.into_std() else { return };
        self.shards.spawn(async move {
            let Ok(stream) = TcpStream::from_std(stream) else { return };
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
        let limit = self.max_clients.max(self.shared.pools.max_client_conn());
        if clients_before >= limit {
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

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (idle, interval, retries) = KEEPALIVE;
    let keepalive = TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(retries);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Tells a client why it may not come in. Nothing of what it sends is understood, so the error comes in the
/// clear even to a client that would like TLS: a handshake is what a server without room cannot afford.
async fn turn_away(shared: &Shared, mut stream: TcpStream, error: &ClientError) {
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
