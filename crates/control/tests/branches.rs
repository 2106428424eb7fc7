//! Branches and endpoints over HTTP, with storage that only remembers and computes that only sleep.

#![allow(missing_docs, clippy::unwrap_used)]

mod scene;

use axum::http::StatusCode;
use scene::Scene;
use scene::recorder::{HEAD, THEN};
use serde_json::{Value, json as j};

async fn patch(scene: &Scene, path: &str, body: Value) -> (StatusCode, Value) {
    scene.ask("PATCH", path, Some(body), Some(scene.key())).await
}

/// A project, and its `dev` branch with an endpoint.
async fn with_dev(scene: &Scene) -> (String, String, Value) {
    let made = scene.project("shop").await;
    let (project, _) = scene::paths(&made);
    let body = j!({"branch": {"name": "dev"}, "endpoints": [{"type": "read_write"}]});
    let (status, dev) = scene.post(&format!("{project}/branches"), body).await;
    assert_eq!(status, StatusCode::CREATED, "{dev}");
    let branch = format!("{project}/branches/{}", dev["branch"]["id"].as_str().unwrap());
    (project, branch, dev)
}

fn refused(reply: &(StatusCode, Value)) -> (u16, &str) {
    (reply.0.as_u16(), reply.1["code"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_branch_has_what_its_parent_has_and_its_own_connection_string() {
    let scene = Scene::new();
    let (project, branch, dev) = with_dev(&scene).await;
    let (_, main) = scene.get(&format!("{project}/branches/main")).await;
    assert_eq!(dev["branch"]["parent_id"], main["branch"]["id"]);
    assert_eq!(dev["branch"]["parent_lsn"], j!(HEAD));
    assert_eq!((&dev["branch"]["current_state"], &dev["branch"]["default"]), (&j!("ready"), &j!(false)));
    assert_eq!(dev["operations"][0]["action"], "create_branch");
    assert_eq!((&dev["roles"][0]["name"], &dev["databases"][0]["name"]), (&j!("app_owner"), &j!("app")));
    let uri = dev["connection_uris"][0]["connection_uri"].as_str().unwrap();
    let (_, old) = scene.get(&format!("{project}/branches/main/roles/app_owner/reveal_password")).await;
    assert!(uri.contains(old["password"].as_str().unwrap()), "the same password, another endpoint");
    assert!(uri.contains(dev["endpoints"][0]["id"].as_str().unwrap()));

    let (_, shown) = scene.get(&branch).await;
    assert_eq!(shown["branch"]["logical_size"], 7000);
    assert_eq!(shown["branch"]["history"]["start"], j!(scene::recorder::START));
    *scene.vault.fails.lock() = Some("sizes");
    let (status, shown) = scene.get(&branch).await;
    assert_eq!((status, shown["branch"].get("logical_size")), (StatusCode::OK, None));
    let (_, list) = scene.get(&format!("{project}/branches")).await;
    assert_eq!((list["branches"].as_array().unwrap().len(), &list["annotations"]), (2, &j!({})));
}

#[tokio::test]
async fn a_branch_of_the_past_has_its_passwords_written_again() {
    let scene = Scene::new();
    let made = scene.project("shop").await;
    let (project, _) = scene::paths(&made);
    for past in [j!({"parent_lsn": THEN}), j!({"parent_timestamp": "2026-01-02T03:04:05Z"})] {
        let (status, new) = scene.post(&format!("{project}/branches"), j!({"branch": past})).await;
        assert_eq!(status, StatusCode::CREATED, "{new}");
        assert_eq!(new["branch"]["parent_lsn"], j!(THEN));
        assert_eq!(new["endpoints"], j!([]));
        assert!(new["branch"]["name"].as_str().unwrap().contains('-'), "a name of its own: {new}");
    }
    let both = j!({"branch": {"parent_lsn": THEN, "parent_timestamp": "2026-01-02T03:04:05Z"}});
    assert_eq!(refused(&scene.post(&format!("{project}/branches"), both).await), (400, "bad-point"));
    let far = j!({"branch": {"parent_lsn": "FF/0"}});
    let reply = scene.post(&format!("{project}/branches"), far).await;
    assert_eq!(refused(&reply), (400, "history-window"));
    let (_, list) = scene.get(&format!("{project}/branches")).await;
    assert_eq!(list["branches"].as_array().unwrap().len(), 3, "a refusal leaves nothing behind");
}

#[tokio::test]
async fn what_cannot_be_made_says_why() {
    let scene = Scene::new();
    let (project, branch, _) = with_dev(&scene).await;
    let branches = format!("{project}/branches");
    for (body, expected) in [
        (j!({"branch": {"name": "dev"}}), (409, "branch-exists")),
        (j!({"branch": {"name": "br-x"}}), (400, "bad-name")),
        (j!({"branch": {"parent_id": "br-no-such-one"}}), (404, "branch-not-found")),
        (j!({"branch": {"init_source": "schema-only"}}), (501, "schema-only-not-supported")),
        (j!({"branch": {"init_source": "magic"}}), (400, "bad-body")),
        (j!({"branch": {"expires_at": "2020-01-01T00:00:00Z"}}), (400, "bad-expiry")),
        (j!({"branch": {"parent_lsn": 7}}), (400, "bad-body")),
        (j!({"endpoints": [{"type": "read_write"}, {"type": "read_write"}]}), (409, "branch-has-endpoint")),
        (j!({"endpoints": [{"type": "read_write", "suspend_timeout_seconds": -7}]}), (400, "bad-setting")),
    ] {
        let reply = scene.post(&branches, body.clone()).await;
        assert_eq!(refused(&reply), expected, "{body}: {}", reply.1);
    }
    *scene.vault.fails.lock() = Some("create_branch");
    let reply = scene.post(&branches, j!({"branch": {"name": "new"}})).await;
    assert_eq!(refused(&reply), (409, "store-refuses"));
    assert_eq!(scene.get(&format!("{branches}/new")).await.0, StatusCode::NOT_FOUND);
    *scene.vault.fails.lock() = None;
    assert_eq!(scene.post(&branches, j!({"branch": {"name": "new"}})).await.0, StatusCode::CREATED);
    let here = j!({"endpoint": {"branch_id": branch.rsplit('/').next(), "type": "read_write"}});
    let reply = scene.post(&format!("{project}/endpoints"), here).await;
    assert_eq!(refused(&reply), (409, "branch-has-endpoint"));
}

#[tokio::test]
async fn deletion_keeps_the_rules_of_the_tree() {
    let scene = Scene::new();
    let (project, branch, dev) = with_dev(&scene).await;
    let branches = format!("{project}/branches");
    let child = j!({"branch": {"name": "leaf", "parent_id": dev["branch"]["id"], "protected": true}});
    let (_, leaf) = scene.post(&branches, child).await;
    let leaf = format!("{branches}/{}", leaf["branch"]["id"].as_str().unwrap());
    let reply = scene.delete(&branch).await;
    assert_eq!(refused(&reply), (409, "branch-has-children"));
    assert!(reply.1["message"].as_str().unwrap().contains("`leaf`"), "{}", reply.1);
    let all = format!("{branch}?recursive=true");
    assert_eq!(refused(&scene.delete(&all).await), (409, "branch-protected"));
    assert_eq!(refused(&scene.delete(&format!("{branches}/main")).await), (409, "branch-is-default"));
    let open = j!({"branch": {"protected": false}});
    assert_eq!(patch(&scene, &leaf, open).await.1["branch"]["protected"], false);
    let files = scene.data().join("computes").join(dev["endpoints"][0]["id"].as_str().unwrap());
    std::fs::create_dir_all(files.join("data")).unwrap();
    let (status, gone) = scene.delete(&all).await;
    assert_eq!((status, &gone["operations"][0]["action"]), (StatusCode::OK, &j!("delete_branch")), "{gone}");
    assert!(!files.exists());
    assert_eq!(scene.vault.calls_of("delete_branch").len(), 2);
    assert!(leaf.ends_with(&scene.vault.calls_of("delete_branch")[0]), "children first");
    assert_eq!(refused(&scene.delete(&branch).await), (404, "branch-not-found"));
    assert_eq!(scene.vault.branches.lock().len(), 1);
}

#[tokio::test]
async fn a_change_of_the_default_branch_and_what_it_forbids() {
    let scene = Scene::new();
    let (project, branch, _) = with_dev(&scene).await;
    let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string();
    let expiring = j!({"branch": {"expires_at": soon}});
    let (status, set) = patch(&scene, &branch, expiring.clone()).await;
    assert_eq!(status, StatusCode::OK, "{set}");
    assert!(set["branch"]["ttl_interval_seconds"].as_i64().unwrap() > 3500);
    let default = format!("{branch}/set_as_default");
    assert_eq!(refused(&scene.post(&default, Value::Null).await), (409, "branch-expires"));
    let reply = patch(&scene, &branch, j!({"branch": {"protected": true}})).await;
    assert_eq!(refused(&reply), (409, "branch-expires"));
    let (_, never) = patch(&scene, &branch, j!({"branch": {"expires_at": null}})).await;
    assert_eq!(never["branch"].get("expires_at"), None);
    let (status, now) = scene.post(&default, Value::Null).await;
    assert_eq!((status, &now["branch"]["default"]), (StatusCode::OK, &j!(true)));
    let (_, shown) = scene.get(&project).await;
    assert_eq!(shown["project"]["default_branch_id"], now["branch"]["id"]);
    assert_eq!(refused(&patch(&scene, &branch, expiring.clone()).await), (409, "branch-is-default"));
    let main = format!("{project}/branches/main");
    assert_eq!(refused(&patch(&scene, &main, expiring).await), (409, "branch-has-children"));
    assert_eq!(refused(&patch(&scene, &main, j!({"branch": {"name": "dev"}})).await), (409, "branch-exists"));
    assert_eq!(patch(&scene, &main, j!({"branch": {"name": "trunk"}})).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_restore_keeps_the_connection_string_and_the_old_data() {
    let scene = Scene::new();
    let (project, branch, dev) = with_dev(&scene).await;
    let uri = format!("{project}/connection_uri?database_name=app&role_name=app_owner");
    let of_dev = format!("{uri}&branch_id={}", dev["branch"]["id"].as_str().unwrap());
    let (_, before) = scene.get(&of_dev).await;
    let restore = format!("{branch}/restore");
    let own = &dev["branch"]["id"];
    let now = j!({"source_branch_id": own});
    assert_eq!(refused(&scene.post(&restore, now).await), (400, "bad-point"), "it is what it is");
    let past = j!({"source_branch_id": own, "source_lsn": THEN, "preserve_under_name": "before"});
    let (status, restored) = scene.post(&restore, past).await;
    assert_eq!(status, StatusCode::OK, "{restored}");
    assert_eq!((&restored["branch"]["id"], &restored["branch"]["name"]), (own, &j!("dev")));
    assert_eq!(restored["branch"]["restored_from"], *own);
    let (_, old) = scene.get(&format!("{project}/branches/before")).await;
    assert_eq!(restored["branch"]["parent_id"], old["branch"]["id"], "it hangs on its old line");
    assert_eq!(scene.get(&of_dev).await.1, before, "the connection string is the same");
    let (_, none) = scene.get(&format!("{project}/branches/before/endpoints")).await;
    assert_eq!(none["endpoints"], j!([]));
    let reply = scene.get(&format!("{uri}&branch_id={}", old["branch"]["id"].as_str().unwrap())).await;
    assert_eq!(refused(&reply), (409, "branch-has-no-endpoint"));
    assert!(reply.1["hint"].as_str().unwrap().contains("endpoint create --branch before"), "{}", reply.1);
    let (_, roles) = scene.get(&format!("{project}/branches/before/roles/app_owner/reveal_password")).await;
    assert!(before["uri"].as_str().unwrap().contains(roles["password"].as_str().unwrap()));

    // A reset: the parent as it is now.
    let (_, main) = scene.get(&format!("{project}/branches/main")).await;
    let reset = j!({"source_branch_id": main["branch"]["id"]});
    let (status, back) = scene.post(&restore, reset.clone()).await;
    assert_eq!((status, &back["branch"]["parent_id"]), (StatusCode::OK, &main["branch"]["id"]), "{back}");
    let (_, list) = scene.get(&format!("{project}/branches?search=dev_old_")).await;
    assert_eq!(list["branches"].as_array().unwrap().len(), 1, "kept under a dated name");
    patch(&scene, &branch, j!({"branch": {"protected": true}})).await;
    assert_eq!(refused(&scene.post(&restore, reset).await), (409, "branch-protected"));
    let taken =
        j!({"source_branch_id": main["branch"]["id"], "source_lsn": THEN, "preserve_under_name": "dev"});
    let of_main = format!("{project}/branches/main/restore");
    assert_eq!(refused(&scene.post(&of_main, taken).await), (409, "branch-exists"));
    let yesterday = j!({"source_branch_id": main["branch"]["id"], "source_lsn": THEN});
    let (status, main) = scene.post(&of_main, yesterday).await;
    assert_eq!((status, &main["branch"]["default"]), (StatusCode::OK, &j!(true)), "{main}");
}

#[tokio::test]
async fn endpoints_come_and_go_and_readers_are_found_by_their_id() {
    use dormouse_control::{LocateError, Locator};
    let scene = Scene::new();
    let (project, branch, dev) = with_dev(&scene).await;
    let endpoints = format!("{project}/endpoints");
    let id = &dev["branch"]["id"];
    let reader =
        j!({"endpoint": {"branch_id": id, "type": "read_only", "pinned_timestamp": "2026-01-02T03:04:05Z"}});
    let (status, made) = scene.post(&endpoints, reader).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!((&made["endpoint"]["type"], &made["endpoint"]["pinned_lsn"]), (&j!("read_only"), &j!(THEN)));
    *scene.vault.moves_to.lock() = Some(HEAD);
    let late = j!({"endpoint": {"branch_id": id, "type": "read_only", "pinned_lsn": THEN}});
    assert_eq!(refused(&scene.post(&endpoints, late).await), (400, "history-window"));
    let (_, listed) = scene.get(&endpoints).await;
    let pinned = listed["endpoints"].as_array().unwrap().iter().filter(|e| e["pinned_lsn"] == j!(THEN));
    assert_eq!(pinned.count(), 1, "collected meanwhile: it leaves nothing");
    *scene.vault.moves_to.lock() = None;
    let reader = made["endpoint"]["id"].as_str().unwrap().to_owned();
    let pinned = j!({"endpoint": {"branch_id": id, "type": "read_write", "pinned_lsn": THEN}});
    assert_eq!(refused(&scene.post(&endpoints, pinned).await), (400, "bad-point"));

    let past = j!({"source_branch_id": id, "source_lsn": THEN});
    let reply = scene.post(&format!("{branch}/restore"), past).await;
    assert_eq!(refused(&reply), (409, "branch-has-pinned-endpoints"));

    let by_id = |id: &str| scene.control.locate(&Locator::ByEndpoint(id)).map(|found| found.endpoint);
    let by_name = || scene.control.locate(&Locator::ByBranch { project: None, branch: "dev" });
    assert_eq!(by_id(&reader).unwrap().as_str(), reader);
    let writer = by_name().unwrap().endpoint;
    let stored = |id: &dormouse_base::EndpointId| {
        let (id, control) = (id.clone(), scene.control.clone());
        async move { control.stored_password(&id, "app_owner").await.unwrap().unwrap().verifier }
    };
    assert_eq!(stored(&reader.parse().unwrap()).await, stored(&writer).await, "the branch's passwords");

    let (status, _) = scene.post(&format!("{endpoints}/{writer}/evict"), Value::Null).await;
    assert_eq!((status, scene.vault.calls_of("evict").last()), (StatusCode::OK, Some(&writer.to_string())));
    assert_eq!(scene.delete(&format!("{endpoints}/{writer}")).await.0, StatusCode::OK);
    assert!(matches!(by_name(), Err(LocateError::NoWriter(name)) if name == "dev"));
    assert_eq!(
        refused(&scene.post(&format!("{branch}/store"), Value::Null).await),
        (409, "branch-has-no-endpoint")
    );
    // Without an endpoint a change waits for the first start of the next one.
    let (status, role) = scene.post(&format!("{branch}/roles"), j!({"role": {"name": "late"}})).await;
    assert_eq!(status, StatusCode::CREATED, "{role}");
    let again = j!({"endpoint": {"branch_id": id, "type": "read_write", "suspend_timeout_seconds": 60}});
    let (status, made) = scene.post(&endpoints, again).await;
    assert_eq!((status, &made["endpoint"]["suspend_timeout_seconds"]), (StatusCode::CREATED, &j!(60)));
    let (_, snapshot) = scene.post(&format!("{branch}/store"), Value::Null).await;
    assert_eq!(snapshot["lsn"], j!(HEAD));
    assert_eq!(scene.delete(&format!("{endpoints}/{reader}")).await.0, StatusCode::OK);
    assert!(by_id(&reader).is_err());
    for _ in 0..15 {
        let reader = j!({"endpoint": {"branch_id": id, "type": "read_only"}});
        assert_eq!(scene.post(&endpoints, reader).await.0, StatusCode::CREATED);
    }
    let reply = scene.post(&endpoints, j!({"endpoint": {"branch_id": id, "type": "read_only"}})).await;
    assert_eq!(refused(&reply), (429, "too-many-endpoints"));
}

#[tokio::test]
async fn one_thing_at_a_time() {
    let scene = Scene::new();
    let (project, branch, dev) = with_dev(&scene).await;
    *scene.vault.hangs.lock() = Some("create_branch");
    let past = j!({"source_branch_id": dev["branch"]["id"], "source_lsn": THEN});
    let path = format!("{branch}/restore");
    let slow = scene.post(&path, past);
    let meanwhile = async {
        scene.vault.reached.notified().await;
        let busy = scene.post(&format!("{project}/branches"), j!({})).await;
        (refused(&busy).0, refused(&scene.delete(&branch).await).0, scene.get(&branch).await.0)
    };
    let busy = tokio::select! {
        _ = slow => panic!("it hangs"),
        busy = meanwhile => busy,
    };
    assert_eq!(busy, (423, 423, StatusCode::OK), "looking is always possible");
    let (_, list) = scene.get(&format!("{project}/branches")).await;
    assert_eq!(list["branches"].as_array().unwrap().len(), 2, "what was refused left nothing behind");
}

#[tokio::test]
async fn a_schema_needs_a_database_a_program_and_a_running_postgresql() {
    let scene = Scene::new();
    let (project, branch, _) = with_dev(&scene).await;
    let (_, shown) = scene.get(&project).await;
    let major = shown["project"]["pg_version"].as_u64().unwrap();
    let reply = scene.get(&format!("{branch}/schema?db_name=app")).await;
    // Which of the two is missing depends on the machine: 17 and 18 often come without client tools.
    let missing = refused(&reply);
    assert!([(503, "pg-dump-not-found"), (503, "compute-did-not-start")].contains(&missing), "{}", reply.1);
    if missing.1 == "pg-dump-not-found" {
        assert!(reply.1["message"].as_str().unwrap().contains(&format!("`pg_dump` {major}")), "{}", reply.1);
    }
    let old = j!({"project": {"name": "old", "pg_version": 15}});
    let (status, made) = scene.post("/projects", old).await;
    if status == StatusCode::CREATED {
        let (project, branch) = scene::paths(&made);
        let reply = scene.get(&format!("{branch}/schema?db_name=nope")).await;
        assert_eq!(refused(&reply), (404, "database-not-found"));
        let reply = scene.get(&format!("{branch}/schema?db_name=app")).await;
        assert_eq!(refused(&reply), (503, "compute-did-not-start"));
        let reply = scene.get(&format!("{branch}/schema?db_name=app&lsn={THEN}")).await;
        assert_eq!(refused(&reply), (503, "compute-did-not-start"));
        let (_, left) = scene.get(&format!("{project}/endpoints")).await;
        assert_eq!(left["endpoints"].as_array().unwrap().len(), 1, "the endpoint for the question is gone");
    }
    let reply = scene.get(&format!("{project}/branches/main/compare_schema?db_name=app")).await;
    assert_eq!(refused(&reply), (400, "bad-query"), "a root has no parent");
}

#[tokio::test]
async fn history_is_kept_as_long_as_the_project_says() {
    let scene = Scene::new();
    let wish = j!({"project": {"name": "shop", "history_retention_seconds": 3600}});
    let (_, made) = scene.post("/projects", wish).await;
    assert_eq!(made["project"]["history_retention_seconds"], 3600);
    let (project, _) = scene::paths(&made);
    let none = j!({"project": {"history_retention_seconds": 0}});
    assert_eq!(patch(&scene, &project, none).await.1["project"]["history_retention_seconds"], 0);
    let reply = patch(&scene, &project, j!({"project": {"history_retention_seconds": 2_592_001}})).await;
    assert_eq!(refused(&reply), (400, "bad-setting"));
    let other = j!({"project": {"name": "other"}});
    assert_eq!(patch(&scene, &project, other).await.1["project"]["history_retention_seconds"], 0, "it stays");
}

#[tokio::test]
async fn the_store_is_told_what_to_keep_and_expired_branches_go() {
    let scene = Scene::new();
    let (project, branch, dev) = with_dev(&scene).await;
    let id = dev["branch"]["id"].as_str().unwrap().to_owned();
    scene.control.start_reconcilers();
    let until = async |what: &str, happened: &dyn Fn() -> bool| {
        for _ in 0..200 {
            if happened() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("{what} did not happen");
    };
    let name = |key: &str| scene.vault.metas.lock().get(key).map(|meta| meta["name"].clone());
    let project_id = project.rsplit('/').next().unwrap();
    until("a mirror of the project", &|| name(project_id) == Some(j!("shop"))).await;
    patch(&scene, &branch, j!({"branch": {"name": "stage"}})).await;
    until("a mirror of the new name", &|| name(&id) == Some(j!("stage"))).await;
    assert!(!scene.vault.metas.lock()[&id].to_string().contains("sealed"));
    let calls = scene.vault.calls_of("set_meta").len();

    let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_millis(1300)).to_string();
    let (status, reply) = patch(&scene, &branch, j!({"branch": {"expires_at": soon}})).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    until("the end of the branch", &|| !scene.vault.branches.lock().contains_key(&id.parse().unwrap())).await;
    assert_eq!(scene.get(&branch).await.0, StatusCode::NOT_FOUND);
    assert!(scene.vault.calls_of("set_meta").len() <= calls + 2, "what did not change is not told again");
    scene.end().await;
}

#[tokio::test]
async fn a_project_comes_and_goes_with_its_root_in_the_store() {
    let scene = Scene::new();
    let made = scene.project("shop").await;
    let root = made["branch"]["id"].as_str().unwrap();
    assert_eq!(scene.vault.calls_of("create_root"), [root]);
    let id = made["project"]["id"].as_str().unwrap();
    assert_eq!(scene.vault.metas.lock()[id]["name"], "shop", "kept before anybody uses it");
    assert_eq!(scene.delete(&format!("/projects/{id}")).await.0, StatusCode::OK);
    assert_eq!(scene.vault.calls_of("delete_project"), [id]);
    *scene.vault.fails.lock() = Some("create_root");
    let reply = scene.post("/projects", j!({"project": {}})).await;
    assert_eq!(refused(&reply), (409, "store-refuses"));
    assert_eq!(scene.get("/projects").await.1["projects"], j!([]));
}

#[tokio::test]
async fn a_right_that_is_taken_away_is_gone_on_every_branch() {
    let scene = Scene::new();
    let (project, _, _) = with_dev(&scene).await;
    // As if both had started once.
    let rows = rusqlite::Connection::open(scene.data().join("metadata.sqlite")).unwrap();
    rows.execute("UPDATE roles SET pending = NULL", []).unwrap();
    let power = j!({"project": {"settings": {"owner_is_superuser": true}}});
    assert_eq!(patch(&scene, &project, power).await.0, StatusCode::OK);
    let count = "SELECT count(*) FROM roles WHERE protected = 1 AND pending = 'alter'";
    let written: i64 = rows.query_row(count, [], |row| row.get(0)).unwrap();
    assert_eq!(written, 2);
}
