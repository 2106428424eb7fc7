//! `Idempotency-Key`: whatever happens to a client or to the server, a request with a key is carried out at most once,
//! and the key answers for that request only.

#![allow(missing_docs, clippy::unwrap_used)]

mod scene;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use scene::{Asleep, Scene};
use serde_json::{Value, json as j};
use tower::ServiceExt;

fn request(method: &str, path: &str, key: &str, idempotency: &[u8], body: &Value) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(format!("/api/v2{path}"))
        .header("authorization", format!("Bearer {key}"))
        .header("idempotency-key", idempotency)
        .body(Body::from(body.to_string()))
        .unwrap()
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Reply {
    fn is_replayed(&self) -> bool {
        self.headers.get("idempotency-replayed").is_some_and(|value| value == "true")
    }
}

async fn send(scene: &Scene, request: Request<Body>) -> Reply {
    let response = scene.control.router().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Reply { status: parts.status, headers: parts.headers, body: serde_json::from_slice(&bytes).unwrap() }
}

async fn make(scene: &Scene, key: &[u8], name: &str) -> Reply {
    send(scene, request("POST", "/projects", scene.key(), key, &j!({"project": {"name": name}}))).await
}

async fn projects(scene: &Scene) -> usize {
    scene.get("/projects").await.1["projects"].as_array().unwrap().len()
}

#[tokio::test]
async fn the_same_again_is_the_first_reply() {
    let scene = Scene::new();
    let first = make(&scene, b"key-1", "shop").await;
    assert_eq!((first.status, first.is_replayed()), (StatusCode::CREATED, false), "{}", first.body);
    let again = make(&scene, b"key-1", "shop").await;
    assert_eq!((again.status, again.is_replayed()), (StatusCode::CREATED, true));
    assert_eq!(again.body, first.body, "with the password");
    assert_eq!(projects(&scene).await, 1);
    let other = make(&scene, b"key-2", "shop").await;
    assert_ne!(other.body["project"]["id"], first.body["project"]["id"]);
    let stored = std::fs::read(scene.data().join("metadata.db")).unwrap_or_default();
    let wal = std::fs::read(scene.data().join("metadata.db-wal")).unwrap_or_default();
    let password = first.body["roles"][0]["password"].as_str().unwrap();
    for file in [stored, wal] {
        assert!(!file.windows(password.len()).any(|bytes| bytes == password.as_bytes()), "in the clear");
    }
    let (_, audit) = scene.get("/audit").await;
    let told: Vec<_> = audit["entries"].as_array().unwrap().iter().map(|entry| &entry["error"]).collect();
    assert_eq!(told, [&Value::Null, &j!("replayed"), &Value::Null], "{audit}");
}

#[tokio::test]
async fn another_request_does_not_get_it() {
    let scene = Scene::new();
    let made = make(&scene, b"key", "shop").await;
    let id = made.body["project"]["id"].as_str().unwrap().to_owned();
    let other = make(&scene, b"key", "shop2").await;
    assert_eq!(
        (other.status, &other.body["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &j!("idempotency-key-reused"))
    );
    let path = format!("/projects/{id}");
    let other = send(&scene, request("DELETE", &path, scene.key(), b"key", &j!({}))).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(projects(&scene).await, 1);
    // Another caller's key is another key.
    let (_, second) = scene.post("/api_keys", j!({"key_name": "second"})).await;
    let second = second["key"].as_str().unwrap();
    let body = j!({"project": {"name": "shop"}});
    let theirs = send(&scene, request("POST", "/projects", second, b"key", &body)).await;
    assert_eq!((theirs.status, theirs.is_replayed()), (StatusCode::CREATED, false));
    assert_ne!(theirs.body["project"]["id"], made.body["project"]["id"]);
    // Who may not, may not with a key either.
    let nobody = send(&scene, request("POST", "/projects", "dm_wrong", b"key", &body)).await;
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
    // What only reads is not held back.
    for _ in 0..2 {
        let read = send(&scene, request("GET", &path, scene.key(), b"key", &j!({}))).await;
        assert_eq!((read.status, read.is_replayed()), (StatusCode::OK, false));
    }
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let scene = Scene::new();
    for key in [&b""[..], b"two words", b"a\tb", &[0xc3, 0xa4], &[b'x'; 256]] {
        let reply = make(&scene, key, "shop").await;
        let wanted = (StatusCode::BAD_REQUEST, &j!("bad-idempotency-key"));
        assert_eq!((reply.status, &reply.body["code"]), wanted, "{key:?}");
    }
    assert_eq!(make(&scene, &[b'x'; 255], "shop").await.status, StatusCode::CREATED);
    let large = Body::from(vec![b' '; (1 << 20) + 1]);
    let (parts, _) = request("POST", "/projects", scene.key(), b"large", &j!({})).into_parts();
    let reply = send(&scene, Request::from_parts(parts, large)).await;
    assert_eq!((reply.status, &reply.body["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &j!("body-too-large")));
}

#[tokio::test]
async fn what_failed_is_tried_again() {
    let scene = Scene::new();
    let path = "/projects/shop/branches/main/roles";
    let ask = || request("POST", path, scene.key(), b"role", &j!({"role": {"name": "reader"}}));
    let refused = send(&scene, ask()).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "{}", refused.body);
    scene.project("shop").await;
    let tried = send(&scene, ask()).await;
    assert_eq!((tried.status, tried.is_replayed()), (StatusCode::CREATED, false), "{}", tried.body);
    assert!(send(&scene, ask()).await.is_replayed());
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_same_time_it_is_still_once() {
    let scene = Arc::new(Scene::new());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let scene = Arc::clone(&scene);
        tasks.spawn(async move { make(&scene, b"key", "shop").await });
    }
    let replies = tasks.join_all().await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::CREATED && reply.body == replies[0].body));
    assert_eq!(replies.iter().filter(|reply| !reply.is_replayed()).count(), 1);
    assert_eq!(projects(&scene).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_gets_it_later() {
    let scene = Scene::new();
    // Dropped at whatever point it has reached by then; the reply must be there for the next one.
    for n in 0..30 {
        let key = format!("key-{n}");
        let asked = make(&scene, key.as_bytes(), &key);
        let patience = std::time::Duration::from_micros(n * 200);
        let gone = tokio::time::timeout(patience, asked).await;
        let again = make(&scene, key.as_bytes(), &key).await;
        assert_eq!(again.status, StatusCode::CREATED, "{n}: {}", again.body);
        if let Ok(first) = gone {
            assert_eq!((first.body, true), (again.body.clone(), again.is_replayed()));
        }
    }
    let (_, listed) = scene.get("/projects?limit=100").await;
    assert_eq!(listed["projects"].as_array().unwrap().len(), 30);
}

#[tokio::test]
async fn replies_outlive_the_server_and_what_was_cut_off_is_not_done_twice() {
    let scene = Scene::new();
    let first = make(&scene, b"key", "shop").await;
    let dir = scene.crash().await;
    // What a server leaves that died in the middle of another request.
    let db = rusqlite::Connection::open(dir.path().join(dormouse_control::db::FILE)).unwrap();
    db.execute("INSERT INTO replies SELECT zeroblob(32), request, run, at, NULL, NULL FROM replies", [])
        .unwrap();
    drop(db);
    let scene = Scene::open(dir, &[], |_, _, _| Arc::new(Asleep));
    let again = make(&scene, b"key", "shop").await;
    assert_eq!((again.is_replayed(), &again.body), (true, &first.body));
    let db = rusqlite::Connection::open(scene.data().join(dormouse_control::db::FILE)).unwrap();
    db.execute("UPDATE replies SET status = NULL, body = NULL", []).unwrap();
    let cut = make(&scene, b"key", "shop").await;
    assert_eq!((cut.status, &cut.body["code"]), (StatusCode::CONFLICT, &j!("idempotency-key-cut-off")));
    db.execute("UPDATE replies SET status = 201", []).unwrap();
    let kept = make(&scene, b"key", "shop").await;
    assert_eq!((kept.status, &kept.body["code"]), (StatusCode::CONFLICT, &j!("reply-not-kept")));
    // A day later the key is as new.
    db.execute("UPDATE replies SET at = at - 86400000001", []).unwrap();
    let later = make(&scene, b"key", "shop2").await;
    assert_eq!((later.status, later.is_replayed()), (StatusCode::CREATED, false));
    let left: i64 = db.query_row("SELECT count(*) FROM replies", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 1, "what is too old goes");
}

#[test]
fn the_store_has_an_end() {
    use dormouse_control::db::replies::{self, Row};
    let dir = scene::directory();
    let db = dormouse_control::db::Db::open(dir.path()).unwrap();
    let now = dormouse_base::clock::now();
    let id = |n: u16| {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&n.to_be_bytes());
        id
    };
    db.write_now("fill", |db| {
        for n in 0..5_000 {
            let row = Row { id: id(n), request: [0; 32], run: String::new(), status: Some(200), body: None };
            replies::begin(db, &row, now + jiff::SignedDuration::from_micros(n.into()))?;
        }
        Ok(())
    })
    .unwrap();
    let there = |n| db.read("look", |db| replies::get(db, &id(n), now)).unwrap().is_some();
    assert_eq!((there(903), there(904), there(4_999)), (false, true, true));
}
