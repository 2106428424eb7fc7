//! Browsers that sign in, and what their cookie is worth.

#![allow(missing_docs, clippy::unwrap_used)]

mod scene;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use scene::Scene;
use serde_json::{Value, json as j};
use tower::ServiceExt;

struct Browser<'a> {
    scene: &'a Scene,
    cookie: Option<String>,
}

impl<'a> Browser<'a> {
    fn new(scene: &'a Scene) -> Self {
        Self { scene, cookie: None }
    }

    /// As another page could ask: with the cookie, but these headers only.
    async fn raw(
        &self,
        method: &str,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> (u16, HeaderMap, Value) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let response = self.scene.control.router().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), parts.headers, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// As the console asks, keeping the cookie.
    async fn ask(&mut self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let (status, headers, value) = self.raw(method, path, &body, &[("x-dormouse-console", "1")]).await;
        if let Some(set) = headers.get("set-cookie") {
            let pair = set.to_str().unwrap().split(';').next().unwrap().to_owned();
            self.cookie = (!pair.ends_with('=')).then_some(pair);
        }
        (status, value)
    }

    async fn sees(&mut self, path: &str) -> u16 {
        self.ask("GET", &format!("/api/v2{path}"), Value::Null).await.0
    }
}

const SESSION: &str = "/console/session";

#[tokio::test]
async fn a_browser_signs_in_and_out() {
    let scene = Scene::new();
    let mut browser = Browser::new(&scene);
    assert_eq!(browser.ask("GET", SESSION, Value::Null).await, (200, j!({"session": null})));
    let (status, refused) = browser.ask("POST", SESSION, j!({"key": "dm_wrong"})).await;
    assert_eq!((status, &refused["code"]), (401, &j!("bad-api-key")));
    for wrong in [j!({}), j!({"key": "a", "code": "b"}), j!({"password": "x"})] {
        assert_eq!(browser.ask("POST", SESSION, wrong).await.0, 400);
    }

    let (status, opened) = browser.ask("POST", SESSION, j!({"key": scene.key()})).await;
    assert_eq!((status, &opened["session"]["name"]), (200, &j!("local command line")), "{opened}");
    assert_eq!(opened["version"], "0.0.0-test");
    let cookie = browser.cookie.clone().unwrap();
    assert!(cookie.starts_with("dormouse_session_") && !cookie.contains(scene.key()), "{cookie}");
    assert_eq!(browser.sees("/projects").await, 200);
    // The file has only a hash of it.
    let file = std::fs::read(scene.data().join("metadata.sqlite")).unwrap();
    let wal = std::fs::read(scene.data().join("metadata.sqlite-wal")).unwrap_or_default();
    let token = cookie.split_once('=').unwrap().1.as_bytes();
    assert!([file, wal].iter().all(|bytes| !bytes.windows(token.len()).any(|w| w == token)));

    // What a page of somebody else can send is worth nothing.
    let api = "/api/v2/projects";
    for headers in [&[][..], &[("x-dormouse-console", "1"), ("sec-fetch-site", "same-site")]] {
        let (status, _, _) = browser.raw("GET", api, &Value::Null, headers).await;
        assert_eq!(status, 401, "{headers:?}");
    }
    let (status, _, _) = browser.raw("DELETE", SESSION, &Value::Null, &[]).await;
    assert_eq!(status, 403, "nor can it sign anybody out");
    let (status, _, _) = browser.raw("POST", SESSION, &j!({"key": scene.key()}), &[]).await;
    assert_eq!(status, 403, "nor in");

    assert_eq!(browser.ask("DELETE", SESSION, Value::Null).await.0, 204);
    assert_eq!(browser.cookie, None);
    browser.cookie = Some(cookie);
    let (status, ended) = browser.ask("GET", "/api/v2/projects", Value::Null).await;
    assert_eq!((status, &ended["code"]), (401, &j!("session-ended")), "the old cookie is over");

    let (_, audit) = scene.get("/audit").await;
    let actions: Vec<&str> =
        audit["entries"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["signOut", "signIn"], "{audit}");
}

#[tokio::test]
async fn a_session_may_do_what_its_key_may_and_ends_with_it() {
    let scene = Scene::new();
    let made = scene.project("own").await;
    scene.project("other").await;
    let project = made["project"]["id"].as_str().unwrap().to_owned();
    let (_, key) = scene.post("/api_keys", j!({"key_name": "ci", "project_id": project})).await;
    let mut browser = Browser::new(&scene);
    let (_, opened) = browser.ask("POST", SESSION, j!({"key": key["key"]})).await;
    assert_eq!(opened["session"]["project_id"], j!(project));
    assert_eq!(browser.sees(&format!("/projects/{project}")).await, 200);
    assert_eq!((browser.sees("/projects/other").await, browser.sees("/api_keys").await), (403, 403));
    // Over SQL as well.
    let token = browser.cookie.clone().unwrap().split_once('=').unwrap().1.to_owned();
    let endpoint = made["endpoints"][0]["id"].as_str().unwrap().parse().unwrap();
    assert!(scene.control.key_opens(&token, Some(&endpoint)).unwrap());
    assert!(!scene.control.knows_key(&token).unwrap(), "but it is no key");

    // A link for another browser, good once, from the key itself and from a session.
    let (status, link) = scene.ask("POST", "/console_link", None, key["key"].as_str()).await;
    assert_eq!(status, StatusCode::CREATED);
    let mut other = Browser::new(&scene);
    assert_eq!(other.ask("POST", SESSION, j!({"code": link["code"]})).await.0, 200);
    assert_eq!(other.sees("/api_keys").await, 403);
    let (status, again) = Browser::new(&scene).ask("POST", SESSION, j!({"code": link["code"]})).await;
    assert_eq!((status, &again["code"]), (401, &j!("bad-console-code")));

    // The key is revoked: so are both browsers.
    scene.delete(&format!("/api_keys/{}", key["id"].as_str().unwrap())).await;
    assert_eq!((browser.sees("/projects").await, other.sees("/projects").await), (401, 401));
    assert!(!scene.control.key_opens(&token, None).unwrap());
}

#[tokio::test]
async fn browsers_are_listed_and_ended_one_by_one() {
    let scene = Scene::new();
    let made = scene.project("own").await;
    let project = made["project"]["id"].as_str().unwrap().to_owned();
    let (_, key) = scene.post("/api_keys", j!({"key_name": "ci", "project_id": project})).await;
    let (mut one, mut two, mut bound) = (Browser::new(&scene), Browser::new(&scene), Browser::new(&scene));
    for (browser, key) in
        [(&mut one, scene.key()), (&mut two, scene.key()), (&mut bound, key["key"].as_str().unwrap())]
    {
        assert_eq!(browser.ask("POST", SESSION, j!({"key": key})).await.0, 200);
    }
    let (_, listed) = one.ask("GET", "/api/v2/console_sessions", Value::Null).await;
    let all = listed["sessions"].as_array().unwrap();
    assert_eq!(all.len(), 3, "{listed}");
    let current: Vec<_> = all.iter().filter(|it| it["current"] == true).collect();
    assert_eq!(current.len(), 1, "{listed}");
    // Neither its cookie nor the hash of it.
    let token = two.cookie.clone().unwrap().split_once('=').unwrap().1.to_owned();
    assert!(!listed.to_string().contains(&token));
    assert!(all.iter().all(|it| it["id"].as_str().unwrap().len() == 19), "{listed}");

    // Who is bound to a project sees those of the same, and can end no other.
    let (_, own) = bound.ask("GET", "/api/v2/console_sessions", Value::Null).await;
    assert_eq!((own["sessions"].as_array().unwrap().len(), &own["sessions"][0]["name"]), (1, &j!("ci")));
    let of = |current: bool, name: &str| {
        let found = all.iter().find(|it| it["current"] == current && it["name"] == name);
        format!("/api/v2/console_sessions/{}", found.unwrap()["id"].as_str().unwrap())
    };
    let other = of(false, "local command line");
    let (status, refused) = bound.ask("DELETE", &other, Value::Null).await;
    assert_eq!((status, &refused["code"]), (404, &j!("session-not-found")));

    let (status, ended) = one.ask("DELETE", &other, Value::Null).await;
    assert_eq!((status, &ended["session"]["name"]), (200, &j!("local command line")), "{ended}");
    assert_eq!((one.sees("/projects").await, two.sees("/projects").await), (200, 401));
    assert_eq!(one.ask("DELETE", &other, Value::Null).await.0, 404, "once");
    // A program can do it as well.
    let (_, left) = scene.get("/console_sessions").await;
    assert_eq!(left["sessions"].as_array().unwrap().len(), 2);
    assert!(left["sessions"].as_array().unwrap().iter().all(|it| it["current"] == false));
    assert_eq!(scene.delete(of(false, "ci").strip_prefix("/api/v2").unwrap()).await.0, StatusCode::OK);
    assert_eq!(bound.sees("/projects").await, 401);
    let (_, audit) = scene.get("/audit").await;
    assert!(audit.to_string().contains("endConsoleSession"), "{audit}");
}

#[tokio::test]
async fn guessing_is_slowed_down() {
    let scene = Scene::new();
    let mut browser = Browser::new(&scene);
    for _ in 0..10 {
        assert_eq!(browser.ask("POST", SESSION, j!({"key": "dm_wrong"})).await.0, 401);
    }
    let (status, refused) = browser.ask("POST", SESSION, j!({"key": scene.key()})).await;
    assert_eq!((status, &refused["code"]), (429, &j!("too-many-sign-ins")));
    // Programs go on.
    assert_eq!(scene.get("/projects").await.0, StatusCode::OK);
}
