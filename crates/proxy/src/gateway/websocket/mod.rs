//! `GET /v2`: the wire protocol inside of a WebSocket, for clients that have no TCP.
//!
//! After the upgrade it is a client like any other: the same login, pools, limits and goodbyes. The endpoint is named
//! by the host (of the request, or `?address=host:port`), by `options`, or in the database name; a name with `-pooler`
//! is pooled, another one has a backend of its own. There is no TLS inside: the outer one is enough.

mod frame;
mod stream;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dormouse_pgwire::sqlstate::SqlState;
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use stream::Stream;

use super::answer::problem::Problem;
use super::{Gateway, Visitor, body, cors};
use crate::stream::{Carried, ClientStream};

/// What RFC 6455 has behind the client's key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A key is 16 bytes in base64.
const KEY_LEN: usize = 24;

/// Answers an upgrade.
pub(super) async fn serve(gateway: &Gateway, mut request: Request<Body>) -> Response<Body> {
    let accept = match accept(request.headers()) {
        Ok(accept) => accept,
        Err(problem) => {
            let mut response = body::json(problem.status, problem.body());
            cors::allow(response.headers_mut());
            if problem.status == StatusCode::UPGRADE_REQUIRED {
                let headers = response.headers_mut();
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            return response;
        }
    };
    let visitor = Visitor::of(&request);
    let server_name = address(request.uri()).or_else(|| host(request.headers()));
    let upgraded = hyper::upgrade::on(&mut request);
    let (door, metrics) = (gateway.door.clone(), gateway.clients.shared.metrics.clone());
    gateway.clients.cleaner.spawn(async move {
        let io = match upgraded.await {
            Ok(upgraded) => TokioIo::new(upgraded),
            Err(error) => return tracing::debug!(%error, "a client left before it had its WebSocket"),
        };
        visitor.patient.store(true, std::sync::atomic::Ordering::Relaxed);
        let carried = Carried {
            stream: Box::new(Stream::new(io).counted(metrics.websocket())),
            tls: visitor.tls,
            server_name,
        };
        // The proxy may have ended meanwhile.
        if let Some(door) = door.upgrade() {
            door.enter(ClientStream::Carried(Box::new(carried)), visitor.peer);
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// What proves to the client that it was understood.
fn accept(headers: &HeaderMap) -> Result<HeaderValue, Problem> {
    let has = |name, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value: &HeaderValue| value.to_str().ok());
        values.flat_map(|list| list.split(',')).any(|entry| entry.trim().eq_ignore_ascii_case(word))
    };
    if !has(header::UPGRADE, "websocket") || !has(header::CONNECTION, "upgrade") {
        let text = "this is the address of a WebSocket; SQL over HTTP is at POST /sql";
        return Err(upgrade_required(text));
    }
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(upgrade_required("the version of the WebSocket protocol must be 13"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| key.len() == KEY_LEN);
    let key =
        key.ok_or_else(|| Problem::malformed("the header Sec-WebSocket-Key is missing or malformed"))?;
    let hash = Sha1::new().chain_update(key.as_bytes()).chain_update(GUID).finalize();
    Ok(HeaderValue::from_str(&STANDARD.encode(hash)).expect("base64 is ASCII"))
}

fn upgrade_required(text: &str) -> Problem {
    Problem::request(StatusCode::UPGRADE_REQUIRED, SqlState::PROTOCOL_VIOLATION, "http-request", text)
}

/// The host of `?address=host:port`, as proxies of the older kind (`/v1`) are asked.
fn address(uri: &Uri) -> Option<String> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, address) = { pairs }.find(|(name, _)| *name == "address")?;
    let address = address.replace("%3A", ":").replace("%3a", ":");
    Some(address.split(':').next()?.to_owned()).filter(|host| !host.is_empty())
}

/// The host that the request is for.
fn host(headers: &HeaderMap) -> Option<String> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    Some(host.split(':').next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        let pairs = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let headers = |skip: usize| -> HeaderMap {
            let some = pairs.iter().enumerate().filter(|(n, _)| *n != skip).map(|(_, pair)| pair);
            some.map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect()
        };
        assert_eq!(accept(&headers(9)).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for (skip, status) in [(0, 426), (1, 426), (2, 426), (3, 400)] {
            assert_eq!(accept(&headers(skip)).unwrap_err().status.as_u16(), status, "without {skip}");
        }
    }

    #[test]
    fn who_is_meant() {
        let uri = |text: &str| address(&text.parse().unwrap());
        assert_eq!(uri("/v1?address=ep-cool.db.example.com:5433").as_deref(), Some("ep-cool.db.example.com"));
        assert_eq!(uri("/v1?x=1&address=h%3A5432").as_deref(), Some("h"));
        assert_eq!(uri("/v2"), None);
        assert_eq!(uri("/v1?address="), None);
    }
}
