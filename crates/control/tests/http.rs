//! The HTTP API against real metadata, without any PostgreSQL running: every endpoint sleeps.

#![allow(missing_docs, clippy::unwrap_used)]

mod scene;

use axum::http::StatusCode;
use dormouse_api::routes;
use scene::Scene;
use serde_json::{Value, json as j};

#[tokio::test]
async fn nothing_is_told_without_a_key() {
    let scene = Scene::new();
    for (key, path) in [(None, "/status"), (Some("dm_wrong"), "/status"), (None, "/no/such/route")] {
        let (status, body) = scene.ask("GET", path, None, key).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(body["code"], "bad-api-key");
        assert!(body["request_id"].as_str().unwrap().len() >= 16);
    }
    let (status, body) = scene.get("/no/such/route").await;
    assert_eq!((status, &body["code"]), (StatusCode::NOT_FOUND, &j!("no-such-route")));
}

#[tokio::test]
async fn every_route_of_the_contract_is_mounted() {
    let scene = Scene::new();
    for route in routes::ALL {
        let (method, pattern) = (route.method, route.pattern);
        let path = pattern.replace("{project_id}", "x-y-z").replace(['{', '}'], "");
        let (status, body) = scene.ask(method.as_str(), &path, Some(j!({})), Some(scene.key())).await;
        assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {pattern}");
        assert_ne!(body["code"], "no-such-route", "{method} {pattern}");
        // The pooler belongs to the proxy, which is not part of this scene.
        let starts = body["code"] == "starting" && pattern.starts_with("/pooler");
        assert!(status.as_u16() < 500 || starts, "{method} {pattern}: {body}");
    }
}

#[tokio::test]
async fn bad_requests_name_the_field() {
    let scene = Scene::new();
    for (body, code, word) in [
        (j!({"project": {"name": 7}}), "bad-body", "project.name"),
        (j!({"project": {"name": ""}}), "bad-name", "project"),
        (j!({"project": {"pg_version": 9}}), "version-not-installed", "PostgreSQL 9"),
        (j!({"project": {"branch": {"database_name": "a@b"}}}), "bad-name", "@"),
        (j!({"project": {"branch": {"role_name": "pg_x"}}}), "bad-name", "pg_"),
        (
            j!({"project": {"default_endpoint_settings": {"suspend_timeout_seconds": -5}}}),
            "bad-setting",
            "suspend",
        ),
    ] {
        let (status, reply) = scene.post("/projects", body.clone()).await;
        assert_eq!((status, &reply["code"]), (StatusCode::BAD_REQUEST, &j!(code)), "{body} {reply}");
        assert!(reply["message"].as_str().unwrap().contains(word), "{reply}");
    }
    for query in ["limit=0", "limit=401", "limit=x"] {
        let (status, reply) = scene.get(&format!("/projects?{query}")).await;
        assert_eq!((status, &reply["code"]), (StatusCode::BAD_REQUEST, &j!("bad-query")), "{query}");
    }
    let (status, reply) = scene.ask("PUT", "/projects", None, Some(scene.key())).await;
    assert_eq!((status, &reply["code"]), (StatusCode::METHOD_NOT_ALLOWED, &j!("method-not-allowed")));
}

#[tokio::test]
async fn a_project_from_birth_to_death() {
    let scene = Scene::new();
    let (status, made) = scene.post("/projects", j!({"project": {"name": "shop"}})).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!(made["operations"][0]["status"], "finished");
    assert_eq!(made["branch"]["current_state"], "ready");
    assert_eq!(made["databases"][0]["name"], "app");
    assert_eq!(made["endpoints"][0]["state"], "stopped");
    let role = &made["roles"][0];
    assert_eq!((role["name"].as_str(), role["protected"].as_bool()), (Some("app_owner"), Some(true)));
    let password = role["password"].as_str().unwrap();
    let uri = made["connection_uris"][0]["connection_uri"].as_str().unwrap();
    assert!(uri.contains(password) && uri.starts_with("postgresql://app_owner:"), "{uri}");

    let id = made["project"]["id"].as_str().unwrap();
    let project = format!("/projects/{id}");
    let branch = format!("{project}/branches/main");
    let (_, revealed) = scene.get(&format!("{branch}/roles/app_owner/reveal_password")).await;
    assert_eq!(revealed["password"].as_str(), Some(password));
    let (_, one) = scene
        .get(&format!("{project}/connection_uri?database_name=app&role_name=app_owner&pooled=true"))
        .await;
    assert!(one["uri"].as_str().unwrap().contains("-pooler"), "{one}");
    let (status, _) =
        scene.ask("PATCH", &branch, Some(j!({"branch": {"name": "trunk"}})), Some(scene.key())).await;
    assert_eq!(status, StatusCode::OK);
    let (_, listed) = scene.get(&format!("{project}/branches?search=TRU")).await;
    assert_eq!((listed["branches"].as_array().unwrap().len(), &listed["annotations"]), (1, &j!({})));
    let (_, all) = scene.get("/status").await;
    assert_eq!(all["endpoints"][0]["branch"], "trunk");

    let files = scene.data().join("computes").join(made["endpoints"][0]["id"].as_str().unwrap());
    assert!(!files.exists(), "a project that nobody used has no cluster");
    std::fs::create_dir_all(files.join("data")).unwrap();
    let (status, reply) = scene.delete(&project).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    assert!(!files.exists());
    assert_eq!(scene.get(&project).await.0, StatusCode::NOT_FOUND);
    assert_eq!(scene.get("/projects").await.1["projects"], j!([]));
}

#[tokio::test]
async fn neonctl_is_told_a_host_that_it_can_make_a_url_of() {
    let scene = Scene::new();
    let made = scene.project("shop").await;
    let (project, branch) = scene::paths(&made);
    let endpoint = scene::endpoint(&made);
    let host = async |path: &str, agent: &str| {
        let request = axum::http::Request::get(format!("/api/v2{path}"))
            .header("authorization", format!("Bearer {}", scene.key()))
            .header("user-agent", agent)
            .body(axum::body::Body::empty())
            .unwrap();
        let (status, reply) = scene.raw(request).await;
        assert_eq!(status, StatusCode::OK, "{reply}");
        let one = if reply["endpoint"].is_object() { &reply["endpoint"] } else { &reply["endpoints"][0] };
        one["host"].as_str().unwrap().to_owned()
    };
    for path in [
        format!("{branch}/endpoints"),
        format!("{project}/endpoints"),
        format!("{project}/endpoints/{endpoint}"),
    ] {
        assert_eq!(host(&path, "curl/8").await, "127.0.0.1");
        let told = host(&path, "neonctl v5.0.1").await;
        assert_eq!(told, format!("127.0.0.1:5455?options=endpoint%3D{endpoint}"));
    }
}

#[tokio::test]
async fn role_and_database_changes_while_it_sleeps() {
    let scene = Scene::new();
    let made = scene.project("shop").await;
    let (project, branch) = scene::paths(&made);
    let endpoint = scene::endpoint(&made);

    let (status, role) = scene.post(&format!("{branch}/roles"), j!({"role": {"name": "reader"}})).await;
    assert_eq!(status, StatusCode::CREATED, "{role}");
    assert_eq!(role["operations"][0]["action"], "apply_config");
    let stored = scene.control.stored_password(&endpoint, "reader").await.unwrap().unwrap();
    let first = stored.verifier.clone().unwrap();
    assert!(first.starts_with("SCRAM-SHA-256$4096:") && stored.can_login);
    let (status, reply) = scene.post(&format!("{branch}/roles"), j!({"role": {"name": "reader"}})).await;
    assert_eq!((status, &reply["code"]), (StatusCode::CONFLICT, &j!("role-exists")));

    let (_, reset) = scene.post(&format!("{branch}/roles/reader/reset_password"), Value::Null).await;
    assert_ne!(reset["role"]["password"], role["role"]["password"]);
    let second = scene.control.stored_password(&endpoint, "reader").await.unwrap().unwrap().verifier.unwrap();
    assert_ne!(first, second, "the new password works at once, the old one does not");

    let new = j!({"database": {"name": "stock", "owner_name": "nobody"}});
    let (status, reply) = scene.post(&format!("{branch}/databases"), new).await;
    assert_eq!((status, &reply["code"]), (StatusCode::NOT_FOUND, &j!("role-not-found")));
    let new = j!({"database": {"name": "stock", "owner_name": "reader"}});
    assert_eq!(scene.post(&format!("{branch}/databases"), new).await.0, StatusCode::CREATED);
    let patch = j!({"database": {"name": "store"}});
    let (status, reply) =
        scene.ask("PATCH", &format!("{branch}/databases/stock"), Some(patch), Some(scene.key())).await;
    assert_eq!((status, &reply["database"]["name"]), (StatusCode::OK, &j!("store")));

    assert_eq!(scene.delete(&format!("{branch}/roles/reader")).await.0, StatusCode::OK);
    assert_eq!(scene.control.stored_password(&endpoint, "reader").await.unwrap(), None);
    assert_eq!(scene.get(&format!("{branch}/roles/reader")).await.0, StatusCode::NOT_FOUND);
    let (_, store) = scene.get(&format!("{branch}/databases/store")).await;
    assert_eq!(store["database"]["owner_name"], "app_owner", "what it owned goes to the owner");
    let (status, reply) = scene.delete(&format!("{branch}/roles/app_owner")).await;
    assert_eq!((status, &reply["code"]), (StatusCode::CONFLICT, &j!("role-protected")));
    assert_eq!(scene.delete(&format!("{branch}/databases/store")).await.0, StatusCode::OK);
    let (_, databases) = scene.get(&format!("{branch}/databases")).await;
    assert_eq!(databases["databases"].as_array().unwrap().len(), 1);

    let (_, page) = scene.get(&format!("{project}/operations?limit=2")).await;
    assert_eq!(page["operations"].as_array().unwrap().len(), 2);
    let cursor = page["pagination"]["cursor"].as_str().unwrap();
    let (_, next) = scene.get(&format!("{project}/operations?limit=400&cursor={cursor}")).await;
    assert!(next.get("pagination").is_none());
    assert_eq!(next["operations"].as_array().unwrap().last().unwrap()["action"], "create_project");
}

#[tokio::test]
async fn a_compute_that_does_not_start_says_so() {
    let scene = Scene::new();
    let made = scene.project("shop").await;
    let (project, _) = scene::paths(&made);
    let endpoint = format!("{project}/endpoints/{}", scene::endpoint(&made));
    let (status, reply) = scene.post(&format!("{endpoint}/start"), Value::Null).await;
    assert_eq!((status, &reply["code"]), (StatusCode::SERVICE_UNAVAILABLE, &j!("compute-did-not-start")));
    assert_eq!(scene.post(&format!("{endpoint}/suspend"), Value::Null).await.0, StatusCode::OK);
    let (_, page) = scene.get(&format!("{project}/operations?limit=1")).await;
    assert_eq!(page["operations"][0]["action"], "suspend_compute");

    let patch =
        j!({"endpoint": {"pause_timeout_seconds": 0, "settings": {"pg_settings": {"work_mem": "8MB"}}}});
    let (status, changed) = scene.ask("PATCH", &endpoint, Some(patch), Some(scene.key())).await;
    assert_eq!(status, StatusCode::OK, "{changed}");
    assert_eq!(changed["endpoint"]["pause_timeout_seconds"], 0);
    let patch = j!({"endpoint": {"settings": {"pg_settings": {"fsync": "off"}}}});
    let (status, reply) = scene.ask("PATCH", &endpoint, Some(patch), Some(scene.key())).await;
    assert_eq!((status, &reply["code"]), (StatusCode::BAD_REQUEST, &j!("bad-setting")));
}

#[tokio::test]
async fn api_keys_are_shown_once_and_can_be_revoked() {
    let scene = Scene::new();
    let (status, made) = scene.post("/api_keys", j!({"key_name": "ci"})).await;
    assert_eq!(status, StatusCode::CREATED);
    let key = made["key"].as_str().unwrap().to_owned();
    assert_eq!(scene.ask("GET", "/users/me", None, Some(&key)).await.0, StatusCode::OK);
    let (_, listed) = scene.get("/api_keys").await;
    assert!(!listed.to_string().contains(&key));
    assert!(listed.as_array().unwrap().iter().any(|k| k["name"] == "ci" && k.get("last_used_at").is_some()));
    let id = made["id"].as_str().unwrap();
    assert_eq!(scene.delete(&format!("/api_keys/{id}")).await.1["revoked"], true);
    assert_eq!(scene.ask("GET", "/users/me", None, Some(&key)).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(scene.delete(&format!("/api_keys/{id}")).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_local_key_is_the_same_until_it_is_revoked() {
    let scene = Scene::new();
    assert_eq!(scene.control.local_key().unwrap().expose(), scene.key());
    let (_, listed) = scene.get("/api_keys").await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let id = listed[0]["id"].as_str().unwrap();
    assert_eq!(scene.delete(&format!("/api_keys/{id}")).await.0, StatusCode::OK);
    let again = scene.control.local_key().unwrap();
    assert!(!scene.control.knows_key(again.expose()).unwrap(), "revoked stays revoked");
    // A lost file is a new key.
    std::fs::remove_file(scene.data().join("api.key")).unwrap();
    let fresh = scene.control.local_key().unwrap();
    assert!(scene.control.knows_key(fresh.expose()).unwrap() && fresh != again);
}

#[tokio::test]
async fn the_first_project_is_made_once_and_found_by_default() {
    use dormouse_control::{LocateError, Locator};
    let scene = Scene::new();
    assert!(matches!(scene.control.locate(&Locator::Default), Err(LocateError::NoDefault)));
    let first = scene.control.first_project().await.unwrap().unwrap();
    assert!(first.is_new && first.password.is_some());
    let again = scene.control.first_project().await.unwrap().unwrap();
    assert!(!again.is_new);
    assert_eq!((again.endpoint.clone(), again.uri.expose()), (first.endpoint.clone(), first.uri.expose()));
    assert_eq!(scene.control.locate(&Locator::Default).unwrap().endpoint, first.endpoint);

    let other = scene.project("shop").await;
    let by = |project, branch| scene.control.locate(&Locator::ByBranch { project, branch });
    assert_eq!(by(None, "main").unwrap().endpoint, first.endpoint);
    assert_eq!(by(Some("shop"), "main").unwrap().endpoint, scene::endpoint(&other));
    assert!(matches!(by(Some("shop"), "dev"), Err(LocateError::NoBranch { known, .. }) if known == ["main"]));
    scene.project("shop").await;
    assert!(matches!(by(Some("shop"), "main"), Err(LocateError::AmbiguousProject(_))));
    assert!(scene.control.locate(&Locator::ByEndpoint("ep-no-such-one")).is_err());
}

#[tokio::test]
async fn a_user_who_deleted_everything_gets_nothing_new() {
    let scene = Scene::new();
    let first = scene.control.first_project().await.unwrap().unwrap();
    scene.project("other").await;
    assert_eq!(scene.delete(&format!("/projects/{}", first.project)).await.0, StatusCode::OK);
    let other = scene.control.first_project().await.unwrap().unwrap();
    assert!(!other.is_new && other.project != first.project);
    scene.delete(&format!("/projects/{}", other.project)).await;
    assert!(scene.control.first_project().await.unwrap().is_none());
}

#[tokio::test]
async fn a_project_that_cannot_be_made_leaves_nothing_behind() {
    use std::os::unix::fs::PermissionsExt;
    // An installation whose `initdb` fails.
    let broken = scene::directory();
    for (name, text) in
        [("postgres", "#!/bin/sh\necho 'postgres (PostgreSQL) 16.1'"), ("initdb", "#!/bin/sh\nexit 1")]
    {
        let path = broken.path().join("bin").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    for file in ["share/postgres.bki", "lib/plpgsql.so"] {
        std::fs::create_dir_all(broken.path().join(file).parent().unwrap()).unwrap();
        std::fs::write(broken.path().join(file), "").unwrap();
    }
    let scene = Scene::on(&[broken.path().to_owned()]);
    let meanwhile = async {
        let projects = loop {
            let (_, list) = scene.get("/projects").await;
            if !list["projects"].as_array().unwrap().is_empty() {
                break list;
            }
            tokio::task::yield_now().await;
        };
        let project = format!("/projects/{}", projects["projects"][0]["id"].as_str().unwrap());
        let role = j!({"role": {"name": "reader"}});
        let busy = scene.post(&format!("{project}/branches/main/roles"), role).await;
        (busy, scene.get(&format!("{project}/branches/main/roles")).await)
    };
    let wish = j!({"project": {"pg_version": 16}});
    let ((status, reply), ((busy, why), (_, roles))) = tokio::join!(scene.post("/projects", wish), meanwhile);
    assert_eq!((busy, &why["code"]), (StatusCode::LOCKED, &j!("project-busy")));
    assert_eq!(roles["roles"].as_array().unwrap().len(), 1, "a refused change leaves no trace");
    assert_eq!(
        (status, &reply["code"]),
        (StatusCode::INTERNAL_SERVER_ERROR, &j!("cluster-failed")),
        "{reply}"
    );
    assert!(!reply["message"].as_str().unwrap().contains('/'), "no path of the server: {reply}");
    assert_eq!(scene.get("/projects").await.1["projects"], j!([]));
    assert_eq!(std::fs::read_dir(scene.data().join("computes")).unwrap().count(), 0);
}

#[tokio::test]
async fn requests_that_are_not_what_they_should_be() {
    use axum::body::Body;
    use axum::http::Request;
    let scene = Scene::new();
    let made = scene.project("shop").await;
    let (project, _) = scene::paths(&made);
    let request = |path: &str, kind: Option<&str>, body: Vec<u8>| {
        let request = Request::builder().method("POST").uri(format!("/api/v2{path}"));
        let request = request.header("authorization", format!("Bearer {}", scene.key()));
        let request = kind.into_iter().fold(request, |request, kind| request.header("content-type", kind));
        request.body(Body::from(body)).unwrap()
    };
    let json = Some("application/json; charset=utf-8");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes();
    let large =
        format!("{{\"key_name\": \"{}\"}}", "x".repeat(dormouse_api::body::MAX_REQUEST_BODY)).into_bytes();
    for (what, kind, body, status, code) in [
        (
            "a form",
            Some("application/x-www-form-urlencoded"),
            b"key_name=x".to_vec(),
            415,
            "wrong-content-type",
        ),
        ("XML", Some("text/xml"), b"<x/>".to_vec(), 415, "wrong-content-type"),
        ("not JSON", json, b"{key_name: x}".to_vec(), 400, "bad-body"),
        ("half of it", json, b"{\"key_name\": \"x\"".to_vec(), 400, "bad-body"),
        ("not UTF-8", json, b"{\"key_name\": \"\xff\xfe\"}".to_vec(), 400, "bad-body"),
        ("a list", json, b"[]".to_vec(), 400, "bad-body"),
        ("very deep", json, deep, 400, "bad-body"),
        ("very large", json, large, 413, "body-too-large"),
        ("an unknown field", json, b"{\"key_name\": \"x\", \"scope\": 1}".to_vec(), 400, "unknown-field"),
        ("a field twice", json, b"{\"key_name\": \"x\", \"key_name\": \"y\"}".to_vec(), 400, "bad-body"),
        ("nothing", json, Vec::new(), 400, "bad-body"),
    ] {
        let (found, reply) = scene.raw(request("/api_keys", kind, body)).await;
        assert_eq!((found.as_u16(), &reply["code"]), (status, &j!(code)), "{what}: {reply}");
        assert!(reply["message"].as_str().unwrap().len() > 10 && reply["request_id"].is_string(), "{reply}");
    }
    for path in ["/projects/%ff/branches", "/projects/%00/branches", "/projects/..%2f..%2fetc/branches"] {
        let (status, reply) = scene.raw(request(path, json, b"{}".to_vec())).await;
        assert!(status.is_client_error(), "{path}: {status} {reply}");
        let text = reply.to_string();
        assert!(!text.contains(scene.data().to_str().unwrap()) && !text.contains("sqlite"), "{reply}");
    }
    let (status, reply) = scene.post(&format!("{project}/branches"), j!({"branch": {"nmae": "dev"}})).await;
    assert_eq!((status, &reply["code"]), (StatusCode::BAD_REQUEST, &j!("unknown-field")));
    assert!(reply["hint"].as_str().unwrap().contains("parent_lsn"), "{reply}");
}

#[tokio::test]
async fn two_hundred_changes_at_once_lose_nothing() {
    let scene = std::sync::Arc::new(Scene::new());
    let made = scene.project("shop").await;
    let (project, _) = scene::paths(&made);
    let endpoint = format!("{project}/endpoints/{}", scene::endpoint(&made));
    let changes = (0..200).map(|n| {
        let (scene, project, endpoint) = (scene.clone(), project.clone(), endpoint.clone());
        async move {
            // One field each of the same row: reading and writing it must be one step.
            let (method, path, body) = match n % 5 {
                0 => ("PATCH", project, j!({"project": {"name": format!("shop-{n}")}})),
                1 => ("PATCH", project, j!({"project": {"history_retention_seconds": 1000 + n}})),
                2 => ("PATCH", endpoint, j!({"endpoint": {"suspend_timeout_seconds": 1000 + n}})),
                3 => ("PATCH", endpoint, j!({"endpoint": {"autoscaling_limit_max_cu": 1.0}})),
                _ => ("POST", format!("{project}/branches"), j!({"branch": {"name": format!("b-{n}")}})),
            };
            (n, path.ends_with("/branches"), scene.ask(method, &path, Some(body), Some(scene.key())).await)
        }
    });
    let (mut branches, mut locked) = (Vec::new(), 0);
    for (n, is_branch, (status, reply)) in futures_util::future::join_all(changes).await {
        match status {
            StatusCode::CREATED => branches.push(format!("b-{n}")),
            // Neon's clients wait and try again.
            StatusCode::LOCKED if is_branch => locked += 1,
            StatusCode::OK => {}
            _ => panic!("{n}: {status} {reply}"),
        }
    }
    assert_eq!(branches.len() + locked, 40);
    assert!(!branches.is_empty());
    let (_, listed) = scene.get(&format!("{project}/branches?limit=400")).await;
    let names: Vec<&str> =
        listed["branches"].as_array().unwrap().iter().filter_map(|b| b["name"].as_str()).collect();
    assert!(
        branches.iter().all(|name| names.contains(&name.as_str())),
        "made {branches:?}, there are {names:?}"
    );
    let (_, now) = scene.get(&project).await;
    assert!(now["project"]["name"].as_str().unwrap().starts_with("shop-"), "{now}");
    assert!(now["project"]["history_retention_seconds"].as_i64().unwrap() >= 1000, "{now}");
    let (_, now) = scene.get(&endpoint).await;
    assert!(now["endpoint"]["suspend_timeout_seconds"].as_i64().unwrap() >= 1000, "{now}");
    assert_eq!(now["endpoint"]["autoscaling_limit_max_cu"], 1.0);
}
