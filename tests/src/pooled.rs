//! A pool of connections without the rest of the product: the real proxy in this process, in front of an
//! ordinary PostgreSQL, with settings that a test chooses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dormouse_base::EndpointId;
use dormouse_pgwire::ClientError;
use dormouse_pgwire::auth::scram::Verifier;
use dormouse_proxy::metrics::Metrics;
use dormouse_proxy::{
    Backend, BackendStream, Bound, Claim, Compute, PoolSettings, Proxy, ProxyConfig, Route, StoredRole,
    TokenRefusal, Wake,
};
use dormouse_runtime::gate::{Closing, Gate, Pass};
use dormouse_runtime::task::Scope;
use tokio::net::UnixStream;
use tokio::sync::watch;

use crate::foreign::Foreign;
use crate::raw::{PROTOCOL_3_0, Raw, Welcome, startup};

/// The password of every role.
pub const PASSWORD: &str = "pooled";

/// Clients that it takes.
const CLIENTS: usize = 1000;

/// PostgreSQL and a pool in front of it.
#[derive(Debug)]
pub struct Pooler {
    /// PostgreSQL.
    pub foreign: Foreign,
    proxy: Proxy,
    _scope: Scope,
}

/// The only endpoint, which is always awake.
struct Awake {
    endpoint: EndpointId,
    verifier: String,
    compute: Arc<Always>,
}

struct Always {
    socket: PathBuf,
    gate: Arc<Gate>,
    closing: watch::Sender<Option<Closing>>,
}

impl Pooler {
    /// Starts both; `settings` are names and values as in `pgbouncer.ini`.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let foreign = [17, 16, 15, 18].into_iter().find_map(Foreign::start).expect("PostgreSQL is installed");
        let socket = foreign.socket();
        Self::start_in_front_of(foreign, &socket, settings)
    }

    /// The same in front of this server, which is reached by another socket than its own.
    pub fn start_in_front_of(foreign: Foreign, socket: &Path, settings: &[(&str, &str)]) -> Self {
        foreign.trust_local();
        let mut pool = PoolSettings::default();
        for (name, value) in settings {
            pool.set(name, value).unwrap();
        }
        let gate = Gate::default();
        gate.open();
        let wake = Awake {
            endpoint: EndpointId::generate(),
            verifier: Verifier::generate(PASSWORD).to_string(),
            compute: Arc::new(Always {
                socket: socket.to_owned(),
                gate: Arc::new(gate),
                closing: watch::Sender::new(None),
            }),
        };
        let scope = Scope::new();
        let config = ProxyConfig {
            listen: vec![Bound::to(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap()],
            upstream: None,
            tls: None,
            max_client_conn: CLIENTS,
            max_conn_rate: 0,
            shards: 1,
            secret: vec![1; 32],
            pool,
        };
        let proxy = Proxy::start(config, Arc::new(wake), Metrics::default(), &scope).unwrap();
        Self { foreign, proxy, _scope: scope }
    }

    /// The port of the pool.
    pub fn port(&self) -> u16 {
        self.proxy.address().port()
    }

    /// A client in this pool mode.
    pub async fn client(&self, mode: &str) -> Raw {
        self.welcomed(mode).await.0
    }

    /// The same, with what it was told.
    pub async fn welcomed(&self, mode: &str) -> (Raw, Welcome) {
        let mut raw = Raw::open(self.proxy.address().port()).await;
        let params = [("user", "postgres"), ("database", "postgres"), ("pool_mode", mode)];
        let welcome = raw.login(&startup(PROTOCOL_3_0, &params), PASSWORD).await.unwrap();
        (raw, welcome)
    }
}

/// The role that `initdb` makes has this number in every cluster.
const SUPERUSER: u32 = 10;

#[async_trait::async_trait]
impl Wake for Awake {
    fn locate(&self, _route: &Route) -> Result<EndpointId, ClientError> {
        Ok(self.endpoint.clone())
    }

    fn admit(&self, _endpoint: &EndpointId, _from: IpAddr) -> Result<(), ClientError> {
        Ok(())
    }

    fn expects_token(&self, _endpoint: &EndpointId) -> bool {
        false
    }

    fn check_token(&self, _token: &[u8], _claim: Claim<'_>) -> Result<(), TokenRefusal> {
        Err(TokenRefusal::NotOne)
    }

    async fn stored_password(&self, _: &EndpointId, _role: &str) -> Result<Option<StoredRole>, ClientError> {
        let password = Some(self.verifier.clone());
        Ok(Some(StoredRole { password, can_login: true, valid_until: None, oid: Some(SUPERUSER) }))
    }

    fn knows_key(&self, _key: &str) -> bool {
        false
    }

    async fn keep_pool_settings(
        &self,
        _changes: &[(&'static str, Option<String>)],
    ) -> Result<(), ClientError> {
        Ok(())
    }

    async fn acquire(&self, _endpoint: &EndpointId) -> Result<Backend, ClientError> {
        let compute = Arc::clone(&self.compute);
        Ok(Backend { pass: compute.gate.pass().expect("it is open"), compute, ticket: None })
    }
}

#[async_trait::async_trait]
impl Compute for Always {
    async fn connect(&self) -> io::Result<BackendStream> {
        UnixStream::connect(&self.socket).await.and_then(BackendStream::unix)
    }

    fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate)
    }

    fn closing(&self) -> watch::Receiver<Option<Closing>> {
        self.closing.subscribe()
    }

    async fn reenter(self: Arc<Self>) -> Result<Pass, ClientError> {
        Ok(self.gate.pass().expect("it is open"))
    }
}
