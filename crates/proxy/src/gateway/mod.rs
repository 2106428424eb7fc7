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
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request, Response};
use axum::middleware::{self, Next};
use axum::routing::{MethodFilter, get, on};
use dormouse_base::clock::Mono;
use dormouse_base::rand;
use dormouse_runtime::task::Scope;

use crate::listen::Door;
use crate::session::Shared;
use budget::Budget;
use idle::Idle;
use lease::Clients;

/// How often resting clients are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Characters of a request's ID.
const REQUEST_ID_LEN: usize = 20;

/// What the HTTP server knows of a connection; it puts this into each request's extensions.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Whether it is encrypted.
    pub tls: bool,
    /// Set to true when the client may take its time to read.
    pub patient: Arc<AtomicBool>,
}

impl Visitor {
    /// Whose request it is.
    fn of<B>(request: &Request<B>) -> Self {
        let nobody = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let unknown = || Self { peer: nobody, tls: false, patient: Arc::default() };
        request.extensions().get().cloned().unwrap_or_else(unknown)
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

    /// All routes.
    pub fn router(&self) -> Router {
        let options = || async { cors::preflight() };
        Router::new()
            .route("/sql", on(MethodFilter::POST, sql::serve).on(MethodFilter::OPTIONS, options))
            .route("/v1/queries", on(MethodFilter::POST, queries::serve).on(MethodFilter::OPTIONS, options))
            .route("/v2", get(websocket::serve))
            .route("/v1", get(websocket::serve))
            .route_layer(middleware::from_fn_with_state(self.clone(), counted))
            .with_state(self.clone())
    }
}

/// Counts a request and how it was answered. A preflight asks nothing of the database.
async fn counted(State(gateway): State<Gateway>, request: Request<Body>, next: Next) -> Response<Body> {
    let door = match request.uri().path() {
        _ if request.method() == Method::OPTIONS => return next.run(request).await,
        "/sql" => "sql",
        "/v1/queries" => "queries",
        _ => "websocket",
    };
    let start = Mono::now();
    let response = next.run(request).await;
    gateway.clients.shared.metrics.answered(door, response.status().as_u16(), start.elapsed());
    response
}

/// Names a request, for the log and for the client.
fn request_id() -> String {
    rand::token(REQUEST_ID_LEN)
}
