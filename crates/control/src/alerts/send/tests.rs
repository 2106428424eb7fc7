//! Real receivers on loopback: good, refusing, slow, redirecting, endless, absent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{any, post};
use dormouse_base::clock::Mono;
use dormouse_runtime::task::Scope;
use futures_util::stream;

use super::*;

/// Paths that a receiver has; `/never` counts.
async fn receiver(scope: &Scope, never: Arc<AtomicUsize>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let slow = any(|| async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        StatusCode::OK
    });
    let endless = any(|| async {
        Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 64 * 1024])))
    });
    let counted = move || async move {
        never.fetch_add(1, Ordering::Relaxed);
        StatusCode::OK
    };
    let routes = Router::new()
        .route("/good", post(|headers: HeaderMap, body: String| async move { verify(&headers, &body) }))
        .route("/busy", any(|| async { StatusCode::SERVICE_UNAVAILABLE }))
        .route("/moved", any(|| async { (StatusCode::FOUND, [(header::LOCATION, "/never")]) }))
        .route("/never", any(counted))
        .route("/slow", slow)
        .route("/endless", endless);
    scope.spawn("receiver", async move {
        axum::serve(listener, routes).await.unwrap();
    });
    format!("http://{address}")
}

/// 204 when everything about the request is as documented.
fn verify(headers: &HeaderMap, body: &str) -> StatusCode {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (time, _) = text("dormouse-signature").strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let at: i64 = time.parse().unwrap();
    let signature = webhook::sign(&secret(), at, body.as_bytes());
    let fresh = (clock::now().as_second() - at).abs() < 60;
    let all = text("dormouse-signature") == signature
        && fresh
        && text("dormouse-delivery") == "dlv_1"
        && text("content-type") == "application/json"
        && body == r#"{"a":1}"#;
    if all { StatusCode::NO_CONTENT } else { StatusCode::BAD_REQUEST }
}

fn secret() -> Secret<String> {
    Secret::new("whsec_test".to_owned())
}

#[tokio::test]
async fn every_kind_of_receiver_comes_to_an_end_that_says_why() {
    let (scope, never) = (Scope::new(), Arc::default());
    let base = receiver(&scope, Arc::clone(&never)).await;
    let sender = Sender::within(Duration::from_millis(700)).unwrap();
    let send = async |url: String| sender.send(&url, &secret(), "dlv_1", r#"{"a":1}"#).await;
    let to = async |path: &str| send(format!("{base}{path}")).await;

    assert_eq!(to("/good").await, Outcome::Delivered(204));
    assert_eq!(to("/busy").await, Outcome::Refused(503));
    let moved = to("/moved").await;
    assert_eq!(moved, Outcome::Refused(302));
    assert!(moved.error().unwrap().contains("not followed"));
    assert_eq!(never.load(Ordering::Relaxed), 0, "nobody went where a receiver sent us");
    assert_eq!(to("/never").await, Outcome::Delivered(200), "though one could");
    assert_eq!(to("/endless").await, Outcome::Delivered(200), "of an answer only the status is read");

    let start = Mono::now();
    let slow = to("/slow").await;
    assert!(slow.error().unwrap().contains("in time"), "{slow:?}");
    assert!(start.elapsed() < Duration::from_secs(10));

    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let absent = send(format!("http://{free}/")).await;
    assert!(absent.error().unwrap().to_lowercase().contains("refused"), "{absent:?}");
    let inside = send("http://169.254.169.254/latest/meta-data".to_owned()).await;
    assert!(inside.error().unwrap().contains("link-local"), "{inside:?}");
    scope.close(Duration::from_millis(10)).await;
}

#[tokio::test]
async fn names_are_looked_up_and_what_they_mean_is_looked_at() {
    let found = Lookup.resolve("localhost".parse().unwrap()).await.unwrap().collect::<Vec<_>>();
    assert!(found.iter().any(|address| address.ip().is_loopback()), "{found:?}");
    // The system takes an address for a name, too: the check is of what comes out.
    let inside = Lookup.resolve("169.254.169.254".parse().unwrap()).await;
    let Err(refused) = inside else { panic!("it was let through") };
    assert!(refused.downcast_ref::<BadUrl>().is_some(), "{refused}");
}
