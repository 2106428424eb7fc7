//! Accepting connections, within limits.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use dormouse_pgwire::ClientError;
use dormouse_pooler::config::Settings;
use dormouse_runtime::shard::Shards;
use dormouse_runtime::task::Scope;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::handshakes::Handshakes;
use crate::metrics::Metrics;
use crate::pooled::Pools;
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
        let pools = Pools::new(shards.all(), Arc::clone(&wake), config.pool);
        let shared = Arc::new(Shared {
            wake,
            tls: config.tls,
            throttle: Throttle::default(),
            cancels: crate::cancel::Registry::default(),
            metrics,
            doom_secret: config.secret,
            pools,
            next_client: AtomicU32::new(1),
        });
        let door = Door {
            shared,
            shards: Arc::clone(&shards),
            handshakes: Handshakes::new(MAX_HANDSHAKES.min(config.max_client_conn)),
            clients: Arc::default(),
            max_clients: config.max_client_conn,
        };
        let token = scope.token();
        scope.spawn("accept", async move {
            tokio::select! {
                () = door.accept(listener) => {}
                () = token.cancelled() => {}
            }
        });
        Ok(Self { address, _shards: shards })
    }

    /// The address that is listened on (with the real port when 0 was asked for).
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Who may come in.
struct Door {
    shared: Arc<Shared>,
    shards: Arc<Shards>,
    handshakes: Handshakes,
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
        let (shared, place) = (Arc::clone(&self.shared), self.handshakes.enter());
        let full = before >= self.max_clients;
        let limit = self.max_clients;
        // The socket moves from the accepting executor to the shard that will serve it.
        let Ok(stream) = stream.into_std() else { return };
        self.shards.spawn(async move {
            let Ok(stream) = TcpStream::from_std(stream) else { return };
            if full {
                refuse(&shared, stream, limit).await;
                drop(counted);
            } else {
                session::serve(shared, stream, peer, place, Box::new(counted)).await;
            }
        });
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (idle, interval, retries) = KEEPALIVE;
    let keepalive = TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(retries);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

async fn refuse(shared: &Shared, mut stream: TcpStream, limit: usize) {
    let error = ClientError::too_many_connections()
        .with_detail(format!("The limit of {limit} clients is reached (max_client_conn)."))
        .with_hint(help("too-many-connections"));
    shared.metrics.ended(error.code.as_str());
    // Without reading the startup message first the error may be lost in a reset; that is all a
    // server without room can do.
    let _lost = stream.write_all(&error.encode()).await;
}
