//! The HTTP port: the API below `/api/v2`, the database over HTTP and WebSocket, and what needs no key: health,
//! metrics, the console's files. In the clear and encrypted: the first byte of a connection tells.
//!
//! ```text
//!  accept ─► 0x16? ── yes ─► TLS ─┬─► one request after the other ─┬─► routes
//!    │       no ──────────────────┘          │                     └─► POST /sql: the gateway, at once
//!    └ at most MAX_CONNECTIONS               └─ upgrade: the WebSocket goes its own way
//!                                               and is counted with the proxy's clients
//! ```

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use dormouse_control::{OverTls, Peer};
use dormouse_proxy::gateway::{Gateway, Visitor};
use dormouse_proxy::tls::Tls;
use dormouse_runtime::task::Scope;
use dormouse_runtime::telemetry::Metrics;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::console;
use crate::limited::{Limited, Place, Watched};

/// What `/metrics` is served as.
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// What people see who open the port in a browser, when this program was built without a console.
const START_PAGE: &str = include_str!("start.html");

/// A connection that says nothing, or does not end the headers of its request, is closed after this long.
const HEADERS_WITHIN: Duration = Duration::from_secs(75);

/// The same while places for connections are few, so that nobody takes all of them by saying nothing.
const HEADERS_SOON: Duration = Duration::from_secs(5);

/// A TLS handshake is over after this long.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(15);

/// Bytes of the headers of a request, and how many lines there may be.
const MAX_HEADERS: (usize, usize) = (64 << 10, 100);

/// The first byte of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

/// All routes of the HTTP port.
pub fn routes(api: Router, gateway: Router, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(render))
        .with_state(metrics)
        .merge(console::routes(start_page))
        .merge(api)
        .merge(gateway)
}

async fn start_page() -> impl IntoResponse {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"),
    );
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    (headers, Html(START_PAGE))
}

async fn render(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    (StatusCode::OK, [(header::CONTENT_TYPE, OPEN_METRICS)], metrics.render())
}

/// All that there is on the port.
#[derive(Debug)]
pub struct Site {
    /// What [`routes`] made.
    pub routes: Router,
    /// `POST /sql` goes here without looking for its route.
    pub gateway: Gateway,
}

impl Site {
    async fn answer(self: Arc<Self>, request: Request<Incoming>, visitor: Visitor) -> Response<Body> {
        let mut request = request.map(Body::new);
        if Gateway::is_sql(&request) {
            return self.gateway.sql(request, &visitor).await;
        }
        // The API records where requests come from.
        request.extensions_mut().insert(Peer(visitor.peer));
        if visitor.tls {
            request.extensions_mut().insert(OverTls);
        }
        request.extensions_mut().insert(visitor);
        match self.routes.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// Serves until `scope` is closed.
pub fn serve(listener: TcpListener, site: Site, tls: Option<Tls>, scope: &Scope) {
    let token = scope.token();
    let inner = scope.clone();
    let site = Arc::new(site);
    scope.spawn("http", async move {
        let listener = Limited::new(listener);
        let server = Server { site, tls, token: token.clone(), within: HEADERS_WITHIN };
        loop {
            let (stream, peer, place) = tokio::select! {
                accepted = listener.accept() => accepted,
                () = token.cancelled() => return,
            };
            let within = if listener.is_scarce() { HEADERS_SOON } else { HEADERS_WITHIN };
            let server = Server { within, ..server.clone() };
            inner.spawn("http connection", async move { server.connection(stream, peer, place).await });
        }
    });
}

/// What all connections share.
#[derive(Clone)]
struct Server {
    site: Arc<Site>,
    tls: Option<Tls>,
    token: CancellationToken,
    /// How long this connection may say nothing.
    within: Duration,
}

impl Server {
    /// Holds its place until it ends or becomes a WebSocket.
    async fn connection(self, stream: TcpStream, peer: SocketAddr, _place: Place) {
        let mut first = [0];
        let peeked = tokio::select! {
            peeked = tokio::time::timeout(self.within, stream.peek(&mut first)) => peeked,
            () = self.token.cancelled() => return,
        };
        if !matches!(peeked, Ok(Ok(1))) {
            return;
        }
        let Some(tls) = self.tls.as_ref().filter(|_| first[0] == TLS_HANDSHAKE) else {
            return self.requests(stream, peer, false).await;
        };
        let acceptor = tls.current().http.clone();
        match tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.requests(stream, peer, true).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake of an HTTP client failed"),
            Err(_) => tracing::debug!("TLS handshake of an HTTP client took too long"),
        }
    }

    async fn requests<S>(&self, stream: S, peer: SocketAddr, tls: bool)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let visitor = Visitor::new(peer, tls);
        let stream = Watched::new(stream, Arc::clone(&visitor.patient));
        let site = Arc::clone(&self.site);
        let service = service_fn(move |request| {
            let answer = Arc::clone(&site).answer(request, visitor.clone());
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(self.within);
        builder.max_buf_size(MAX_HEADERS.0).max_headers(MAX_HEADERS.1);
        let serving = builder.serve_connection(TokioIo::new(stream), service);
        let serving = serving.with_upgrades();
        tokio::pin!(serving);
        let served = tokio::select! {
            served = serving.as_mut() => served,
            () = self.token.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = served {
            tracing::debug!(%error, "an HTTP connection ended early");
        }
    }
}
