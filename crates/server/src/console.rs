//! The console's files, which are part of this program: no Node, no directory, nothing to install.
//!
//! ```text
//!  /                      ─► /console/
//!  /console/assets/…      a name with a hash: kept by browsers for ever
//!  /console/errors/…      the pages of docs/errors
//!  /console/…             everything else is the page itself, which reads the address
//! ```
//!
//! Files come compressed by the build (`console/vite.config.js`); for a client that takes neither way, gzip is undone.
//! The policy allows scripts and styles of this server only, and nothing inline.

use std::collections::HashMap;
use std::io::Read;
use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use flate2::read::GzDecoder;

#[cfg(test)]
mod tests;

/// One file of the console.
struct Embedded {
    /// Below `/console/`.
    name: &'static str,
    gz: &'static [u8],
    br: &'static [u8],
}

/// What `build.rs` found.
mod embedded {
    use super::Embedded;
    include!(concat!(env!("OUT_DIR"), "/console.rs"));
}

/// The page that reads the address.
const INDEX: &str = "index.html";

/// What a page of the console may load and do.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// Headers of everything below `/console`.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// The file of this name never changes.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Asked for each time; the answer is short when nothing changed.
const LOOK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// A file, and what tells one version of it from another.
struct File {
    embedded: &'static Embedded,
    etag: HeaderValue,
}

static FILES: LazyLock<HashMap<&'static str, File>> = LazyLock::new(|| {
    let file = |embedded: &'static Embedded| (embedded.name, File { embedded, etag: etag(embedded.gz) });
    embedded::FILES.iter().map(file).collect()
});

/// The checksum and length at the end of a gzip file are as good as a version.
fn etag(gz: &[u8]) -> HeaderValue {
    let tail = gz.last_chunk::<8>().copied().unwrap_or_default();
    HeaderValue::from_str(&format!("\"{:016x}\"", u64::from_be_bytes(tail)))
        .expect("hexadecimal digits can be a header")
}

/// Whether this program was built with a console.
#[must_use]
pub fn is_built() -> bool {
    FILES.contains_key(INDEX)
}

/// `/console` and everything below it, except the session, which is control's. `without`: what `/` is when there is no
/// console.
pub fn routes<S, H, T>(without: H) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    H: axum::handler::Handler<T, S>,
    T: 'static,
{
    let home = || async { Redirect::temporary("/console/") };
    let root = if is_built() { get(home) } else { get(without) };
    let console = Router::new()
        .route("/console", get(home))
        .route("/console/", get(|request: Request| async move { file(&request, "") }))
        .route("/console/{*name}", get(named))
        .route("/console/errors/{page}", get(error_page))
        .layer(middleware::from_fn(guarded));
    console.route("/", root)
}

async fn guarded(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().extend(HEADERS);
    response
}

async fn named(Path(name): Path<String>, request: Request) -> Response {
    file(&request, &name)
}

async fn error_page(Path(page): Path<String>) -> Response {
    let code = page.strip_suffix(".md");
    let found = embedded::ERROR_PAGES.iter().find(|(name, _)| Some(*name) == code);
    found.map_or_else(missing, |(_, text)| {
        ([(header::CONTENT_TYPE, "text/markdown; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")], *text)
            .into_response()
    })
}

fn missing() -> Response {
    (StatusCode::NOT_FOUND, "there is nothing at this address\n").into_response()
}

/// The file of this name; the page for every address that is none.
fn file(request: &Request, name: &str) -> Response {
    let is_asset = name.starts_with("assets/");
    let found = FILES.get(name).or_else(|| if is_asset { None } else { FILES.get(INDEX) });
    let Some(file) = found else { return missing() };
    let kind = kind(file.embedded.name);
    let cache = if is_asset { FOR_EVER } else { LOOK_AGAIN };
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, cache);
    headers.insert(header::ETAG, file.etag.clone());
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if request.headers().get(header::IF_NONE_MATCH).is_some_and(|known| known == file.etag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let encodings = request.headers().get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let (encoding, body) = body(file.embedded, encodings.unwrap_or_default());
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    (headers, body).into_response()
}

/// The smallest form that the client takes.
fn body(file: &'static Embedded, takes: &str) -> (Option<&'static str>, Body) {
    if accepts(takes, "br") {
        return (Some("br"), Body::from(file.br));
    }
    if accepts(takes, "gzip") {
        return (Some("gzip"), Body::from(file.gz));
    }
    let mut plain = Vec::new();
    // What the build compressed can be read.
    let _length = GzDecoder::new(file.gz).read_to_end(&mut plain);
    (None, Body::from(plain))
}

/// Whether `Accept-Encoding` names this one and does not rule it out.
fn accepts(takes: &str, encoding: &str) -> bool {
    takes.split(',').any(|one| {
        let mut parts = one.split(';').map(str::trim);
        parts.next() == Some(encoding)
            && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "woff2" => "font/woff2",
        "json" | "webmanifest" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
