//! The HTTP port: the API below `/api/v2`, and what needs no key: health, metrics, the start page.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::serve::IncomingStream;
use dormouse_control::Peer;
use dormouse_runtime::task::Scope;
use dormouse_runtime::telemetry::Metrics;
use tokio::net::TcpListener;

use crate::limited::Limited;

/// What `/metrics` is served as.
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// The page for people who open the port in a browser.
const START_PAGE: &str = include_str!("start.html");

/// All routes of the HTTP port.
pub fn routes(api: Router, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/", get(start_page))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(render))
        .with_state(metrics)
        .merge(api)
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

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
struct From(SocketAddr);

impl Connected<IncomingStream<'_, Limited>> for From {
    fn connect_info(stream: IncomingStream<'_, Limited>) -> Self {
        Self(*stream.remote_addr())
    }
}

async fn note_peer(ConnectInfo(peer): ConnectInfo<From>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Peer(peer.0));
    next.run(request).await
}

/// Serves until `scope` is closed.
pub fn serve(listener: TcpListener, routes: Router, scope: &Scope) {
    let token = scope.token();
    scope.spawn("http", async move {
        // The API records where requests come from.
        let routes =
            routes.layer(middleware::from_fn(note_peer)).into_make_service_with_connect_info::<From>();
        let served =
            axum::serve(Limited::new(listener), routes).with_graceful_shutdown(token.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!(%error, "the HTTP server ended");
        }
    });
}
