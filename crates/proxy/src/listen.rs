//! The running proxy: what it is made of, where it listens, and how it is ordered about. Who may come in is the
//! [`door`]'s decision.

mod door;
mod watch;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use dormouse_base::EndpointId;
use dormouse_pgwire::ClientError;
use dormouse_pooler::config::Settings;
use dormouse_runtime::shard::{Shard, Shards};
use dormouse_runtime::task::Scope;
use parking_lot::Mutex;
use socket2::SockRef;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use crate::bound::Bound;
use crate::bound::Listening;
use crate::census::Census;
use crate::console::{Operators, Pooler};
use crate::gateway::Gateway;
use crate::handover::parcel::{Parcel, Unfit};
use crate::metrics::Metrics;
use crate::pooled::{Listeners, Pools};
use crate::session::Shared;
use crate::throttle::Throttle;
use crate::tls::Tls;
use crate::traffic::Traffic;
use crate::upstream::Upstream;
use crate::wake::{Backend, Wake};
pub(crate) use door::Door;
pub use door::MAX_HANDSHAKES;

/// What the console shows as the proxy's address when it listens on Unix sockets only, whose names have its port.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// After a listening socket could not be watched.
const WATCH_PAUSE: Duration = Duration::from_secs(1);

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
        let port = config.upstream.as_ref().and_then(|it| it.settings().get("listen_port")?.parse().ok());
        let nowhere = SocketAddr::new(NOWHERE, port.unwrap_or_default());
        let address = config.listen.iter().find_map(Bound::address).unwrap_or(nowhere);
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
            census: Census::default(),
            doom_secret: config.secret,
            pools,
            address,
            departure,
            operators: Operators::default(),
            listening: Mutex::default(),
        });
        if let Some(upstream) = &shared.upstream {
            upstream.serves(&shared.pools);
        }
        let pooler = Pooler::new(&shared);
        let door = Arc::new(Door::new(shared, shards, config.max_client_conn, config.max_conn_rate));
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
        self.tune();
        keep_averages(shared, scope);
        let token = scope.token();
        let (watched, ended) = (Arc::clone(shared), token.clone());
        scope.spawn("TLS files", async move {
            tokio::select! {
                () = follow_tls_files(&watched) => {}
                () = ended.cancelled() => {}
            }
        });
        for (listening, shard) in listening.into_iter().zip(shared.pools.shards().iter().cycle()) {
            let left = if listening.is_tcp() { self.tcp.clone() } else { self.unix.clone() };
            let ends = [token.clone(), left];
            scope.spawn("accept", keep_accepting(Arc::clone(&self.door), listening, shard.clone(), ends));
        }
        self.keep_up();
        Ok(())
    }

    /// Sends clients away through `parcels`, to go on in another process: each as soon as it can. Call
    /// [`Proxy::rouse`] until [`Proxy::clients`] is zero, or it has been long enough. Backends that nobody uses are closed:
    /// the other process opens as many, and servers have room for so many only.
    pub fn depart(&self, parcels: mpsc::Sender<Parcel>) {
        self.door.shared.departure.begin(parcels);
        self.rouse();
        self.door.shared.pools.list().iter().for_each(|pool| pool.shed());
    }

    /// Has all sessions look whether they can go now.
    pub fn rouse(&self) {
        self.door.shared.departure.rouse();
        for client in self.door.shared.pools.list().iter().flat_map(|pool| pool.clients()) {
            client.wake();
        }
    }

    /// Nobody is sent away any more. Whose parcel came out and could not be carried can be taken in here again
    /// ([`Proxy::receive`]).
    pub fn call_off(&self) {
        self.door.shared.departure.call_off();
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
        self.door.clients()
    }

    /// What clients did since this was last asked, by endpoint.
    #[must_use]
    pub fn take_traffic(&self) -> Vec<(EndpointId, Traffic)> {
        self.door.shared.pools.take_traffic()
    }

    /// What clients of another process did counts as if it had been done here.
    pub fn add_traffic(&self, endpoint: &EndpointId, traffic: Traffic) {
        self.door.shared.pools.traffic().add(endpoint, traffic);
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

    /// What its sessions share.
    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.door.shared
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
        self.door.limit(clients(settings));
        self.door.shared.pools.change(settings);
        self.tune();
        self.keep_up();
    }

    /// In PgBouncer's place its file has a say in the options of clients' sockets.
    fn tune(&self) {
        let shared = &self.door.shared;
        let Some(upstream) = &shared.upstream else { return };
        let listening: Vec<_> = shared.listening.lock().iter().filter_map(Weak::upgrade).collect();
        for socket in listening.iter().filter(|socket| socket.is_tcp()) {
            if let Err(error) = upstream.tune_clients(&SockRef::from(&**socket)) {
                tracing::warn!(%error, "cannot set socket options");
            }
        }
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

    /// Lets no work begin. Who waits for a server already goes on waiting, for nothing, until [`Proxy::turn_away`].
    pub fn drain(&self) {
        self.door.shared.pools.drain();
    }

    /// Refuses the work of those who wait.
    pub fn turn_away(&self) {
        self.door.shared.pools.list().iter().for_each(|pool| pool.turn_away());
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
            client.dismiss();
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

/// Takes clients of a socket in until one of these is cancelled, on one shard after the other.
async fn keep_accepting(
    door: Arc<Door>,
    listening: Arc<Listening>,
    first: Shard,
    ends: [CancellationToken; 2],
) {
    let mut shard = first.clone();
    loop {
        let accept = Arc::clone(&door).accept(Arc::clone(&listening), first.clone());
        let [one, other] = ends.clone();
        let accepted = shard.run(async move {
            tokio::select! {
                biased;
                () = one.cancelled() => None,
                () = other.cancelled() => None,
                accepted = accept => Some(accepted),
            }
        });
        match accepted.await.flatten() {
            Some(Ok(next)) => shard = next,
            Some(Err(failed)) => {
                tracing::error!(%failed, "a listening socket cannot be watched");
                tokio::time::sleep(WATCH_PAUSE).await;
                shard = first.clone();
            }
            None => return,
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
