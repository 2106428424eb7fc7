//! The database over HTTP and WebSocket, for clients that have no TCP.
//!
//! ```text
//!  POST /sql          request ─► shown::enter ─► lease ─► run ─────────► answer
//!  POST /v1/queries   request ─► key ──────────► lease ─► run or stream ► answer, events
//!                                                 │
//!                                        client ══ pipes ══► pooled session of this process
//!  GET /v2, /v1       upgrade ─► websocket::Stream ────────► session, as if it came by TCP
//! ```
//!
//! Nothing here knows a pool, a login or an endpoint better than the rest of the proxy: a request becomes a client of
//! a pool, and a WebSocket becomes a transport. In reading order: [`request`] and [`answer`] are pure; [`client`],
//! [`lease`] and [`idle`] are the clients in this process, [`run`] is one request; [`sql`] and [`queries`] are the
//! two doors; [`budget`], [`upload`], [`body`] and [`pieces`] hold everything to its
//! limits; [`websocket`] stands apart.

pub(crate) mod request;
pub(crate) mod answer;
mod budget;
mod client;
mod idle;
mod lease;
mod body;
mod pieces;
mod upload;
mod cors;
mod run;
mod sql;
mod queries;
mod websocket;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request, Response};
use axum::routing::{get, post};
use dormouse_base::clock::Mono;
use dormouse_base::rand;
use dormouse_runtime::task::Scope;
use parking_lot::Mutex;

use crate::listen::Door;
use crate::session::Shared;
use budget::Budget;
use idle::Idle;
use lease::Clients;

/// How often resting clients are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Characters of a request's ID that all of a process share.
const PROCESS_LEN: usize = 10;

/// What the HTTP server knows of a connection; it puts this into each request's extensions.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Whether it is encrypted.
    pub tls: bool,
    /// Set to true when the client may take its time to read.
    pub patient: Arc<AtomicBool>,
    /// The connection string of its last request, read.
    last: Arc<Mutex<Option<Arc<sql::Asker>>>>,
}

impl Visitor {
    /// One that has just come.
    #[must_use]
    pub fn new(peer: SocketAddr, tls: bool) -> Self {
        Self { peer, tls, patient: Arc::default(), last: Arc::default() }
    }

    /// Whose request it is.
    fn of<B>(request: &Request<B>) -> Self {
        let nobody = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        request.extensions().get().cloned().unwrap_or_else(|| Self::new(nobody, false))
    }
}

/// The database over HTTP. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    clients: Clients,
    door: Weak<Door>,
    budget: Budget,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").finish_non_exhaustive()
    }
}

impl Gateway {
    /// For a running proxy.
    pub(crate) fn new(shared: &Arc<Shared>, door: Weak<Door>, scope: &Scope) -> Self {
        let idle = Arc::new(Idle::default());
        let cleaner = shared.pools.shards().first().expect("there is at least one shard").clone();
        let (resting, token) = (Arc::clone(&idle), scope.token());
        scope.spawn("resting clients", async move {
            let sweep = async {
                loop {
                    tokio::time::sleep(SWEEP_EVERY).await;
                    resting.sweep();
                }
            };
            tokio::select! {
                () = sweep => {}
                () = token.cancelled() => {}
            }
        });
        let clients = Clients { shared: Arc::clone(shared), idle, cleaner };
        Self { clients, door, budget: Budget::default() }
    }

    /// All routes but [`Gateway::queries`].
    pub fn router(&self) -> Router {
        let sql = |State(gateway): State<Self>, request: Request<Body>| async move {
            let visitor = Visitor::of(&request);
            gateway.sql(request, &visitor).await
        };
        let websocket = |State(gateway): State<Self>, request: Request<Body>| async move {
            gateway.counted("websocket", websocket::serve(&gateway, request)).await
        };
        Router::new()
            .route("/sql", post(sql).options(|| async { cors::preflight() }))
            .route("/v2", get(websocket))
            .route("/v1", get(websocket))
            .with_state(self.clone())
    }

    /// `/v1/queries`.
    pub fn queries(&self) -> Router {
        let queries = |State(gateway): State<Self>, request: Request<Body>| async move {
            gateway.counted("queries", queries::serve(&gateway, request)).await
        };
        Router::new()
            .route("/v1/queries", post(queries).options(|| async { cors::preflight() }))
            .with_state(self.clone())
    }

    /// Whether a request is one for [`Gateway::sql`]. Thousands come in a second, and routes cost as much as the rest
    /// of such an answer.
    pub fn is_sql<B>(request: &Request<B>) -> bool {
        request.uri().path() == "/sql" && request.method() == Method::POST
    }

    /// Answers `POST /sql`.
    pub async fn sql(&self, request: Request<Body>, visitor: &Visitor) -> Response<Body> {
        self.counted("sql", sql::serve(self, request, visitor)).await
    }

    /// Counts a request and how it was answered.
    async fn counted(
        &self,
        door: &'static str,
        answer: impl Future<Output = Response<Body>>,
    ) -> Response<Body> {
        let start = Mono::now();
        let response = answer.await;
        self.clients.shared.metrics.answered(door, response.status().as_u16(), start.elapsed());
        response
    }
}

/// Names a request, for the log and for the client: after the process, and counted. It is no secret.
fn request_id() -> String {
    static PROCESS: LazyLock<String> = LazyLock::new(|| rand::token(PROCESS_LEN));
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{}{:010x}", &*PROCESS, COUNT.fetch_add(1, Ordering::Relaxed))
}
