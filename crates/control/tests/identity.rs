//! Who may do what, who did what, and tokens of an identity provider.

#![allow(missing_docs, clippy::unwrap_used)]

mod scene;
#[path = "identity/provider.rs"]
mod provider;

use std::collections::BTreeSet;

use axum::http::StatusCode;
use dormouse_api::routes::{self, Method};
use dormouse_control::OidcSettings;
use provider::{Provider, in_an_hour};
use scene::Scene;
use serde_json::{Value, json as j};

/// Who may use a route, as this test wants it; the product's own table is in `dormouse_api::routes`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Who {
    /// Without a key.
    Everybody,
    /// With any key; one for a project sees what belongs to it.
    Known,
    /// With a key for everything, or for the project in the path.
    OwnProject,
    /// With a key for everything.
    Whole,
}

use Who::{Everybody, Known, OwnProject, Whole};

#[rustfmt::skip]
const TABLE: &[(&str, Who)] = &[
    ("listProjects", Known),
    ("createProject", Whole),
    ("listSharedProjects", Known),
    ("importDirectory", Whole),
    ("getProject", OwnProject),
    ("updateProject", OwnProject),
    ("deleteProject", Whole),
    ("recoverProject", Whole),
    ("wakeProject", OwnProject),
    ("listProjectAudit", OwnProject),
    ("getProjectQuotas", OwnProject),
    ("setProjectQuotas", Whole),
    ("getConnectionUri", OwnProject),
    ("createLoginToken", OwnProject),
    ("rotateLoginKey", Whole),
    ("listProjectBranches", OwnProject),
    ("createProjectBranch", OwnProject),
    ("countProjectBranches", OwnProject),
    ("getProjectBranch", OwnProject),
    ("updateProjectBranch", OwnProject),
    ("deleteProjectBranch", OwnProject),
    ("setDefaultProjectBranch", OwnProject),
    ("restoreProjectBranch", OwnProject),
    ("finalizeRestoreBranch", OwnProject),
    ("getProjectBranchSchema", OwnProject),
    ("getProjectBranchSchemaComparison", OwnProject),
    ("getSnapshotSchedule", OwnProject),
    ("setSnapshotSchedule", OwnProject),
    ("createSnapshot", OwnProject),
    ("storeProjectBranch", OwnProject),
    ("listSnapshots", OwnProject),
    ("updateSnapshot", OwnProject),
    ("deleteSnapshot", OwnProject),
    ("restoreSnapshot", OwnProject),
    ("listProjectBranchEndpoints", OwnProject),
    ("listProjectBranchRoles", OwnProject),
    ("createProjectBranchRole", OwnProject),
    ("getProjectBranchRole", OwnProject),
    ("deleteProjectBranchRole", OwnProject),
    ("getProjectBranchRolePassword", OwnProject),
    ("resetProjectBranchRolePassword", OwnProject),
    ("listProjectBranchDatabases", OwnProject),
    ("createProjectBranchDatabase", OwnProject),
    ("getProjectBranchDatabase", OwnProject),
    ("updateProjectBranchDatabase", OwnProject),
    ("deleteProjectBranchDatabase", OwnProject),
    ("listProjectEndpoints", OwnProject),
    ("createProjectEndpoint", OwnProject),
    ("getProjectEndpoint", OwnProject),
    ("updateProjectEndpoint", OwnProject),
    ("deleteProjectEndpoint", OwnProject),
    ("startProjectEndpoint", OwnProject),
    ("suspendProjectEndpoint", OwnProject),
    ("pauseProjectEndpoint", OwnProject),
    ("restartProjectEndpoint", OwnProject),
    ("evictProjectEndpoint", OwnProject),
    ("setAsideProjectEndpoint", OwnProject),
    ("listProjectEndpointEvents", OwnProject),
    ("listProjectOperations", OwnProject),
    ("getProjectOperation", OwnProject),
    ("listApiKeys", Whole),
    ("createApiKey", Whole),
    ("revokeApiKey", Whole),
    ("listAudit", Whole),
    ("getAuthDetails", Known),
    ("createConsoleLink", Known),
    ("listConsoleSessions", Known),
    ("endConsoleSession", Known),
    ("getActiveRegions", Known),
    ("getConsumptionHistoryPerAccount", Whole),
    ("getConsumptionHistoryPerProject", Known),
    ("getUsage", Known),
    ("getCost", Known),
    ("estimateCost", Known),
    ("listPriceSheets", Known),
    ("getOpenApi", Everybody),
    ("getCurrentUserInfo", Known),
    ("getCurrentUserOrganizations", Known),
    ("getStatus", Known),
    ("getStorage", Whole),
    ("checkStorage", Whole),
    ("collectStorage", Whole),
    ("getStatistics", Known),
    ("listStatisticsMetrics", Known),
    ("listAlerts", Known),
    ("listAlertRules", Whole),
    ("createAlertRule", Whole),
    ("getAlertRule", Whole),
    ("updateAlertRule", Whole),
    ("deleteAlertRule", Whole),
    ("testAlertRule", Whole),
    ("listAlertWebhooks", Whole),
    ("createAlertWebhook", Whole),
    ("deleteAlertWebhook", Whole),
    ("testAlertWebhook", Whole),
    ("getPooler", Whole),
    ("updatePooler", Whole),
    ("runPoolerCommand", Whole),
];

async fn key_for(scene: &Scene, project: Option<&str>) -> String {
    let (status, made) = scene.post("/api_keys", j!({"key_name": "test", "project_id": project})).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    made["key"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_route_lets_in_whom_the_table_says() {
    let rows: BTreeSet<&str> = TABLE.iter().map(|(id, _)| *id).collect();
    let ids: BTreeSet<&str> = routes::ALL.iter().map(|route| route.id).collect();
    assert_eq!(rows, ids, "every route has a row in the table of this test, and every row a route");

    let scene = Scene::new();
    let own = scene.project("own").await;
    let other = scene.project("other").await;
    let id = |made: &Value| made["project"]["id"].as_str().unwrap().to_owned();
    let (own_key, gone_key) = (key_for(&scene, Some(&id(&own))).await, key_for(&scene, None).await);
    let (_, keys) = scene.get("/api_keys").await;
    let last = keys.as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    scene.delete(&format!("/api_keys/{last}")).await;

    for route in routes::ALL {
        let (_, who) = TABLE.iter().find(|(id, _)| *id == route.id).unwrap();
        let at = |project: &str| route.pattern.replace("{project_id}", project).replace(['{', '}'], "");
        let ask = async |project: &str, key: Option<&str>| {
            let body = (route.method != Method::Get).then(|| j!({}));
            scene.ask(route.method.as_str(), &at(project), body, key).await
        };
        let name = route.id;
        for key in [None, Some("dm_wrong"), Some(gone_key.as_str()), Some("")] {
            let (status, _) = ask(&id(&own), key).await;
            let wanted = *who == Everybody;
            assert_eq!(status != StatusCode::UNAUTHORIZED, wanted, "{name} with {key:?}: {status}");
        }
        let in_a_project = route.pattern.contains("{project_id}");
        // With the name of the project as well as with its ID.
        for project in [id(&other).as_str(), "other", "no-such-project"].iter().filter(|_| in_a_project) {
            let (status, body) = ask(project, Some(&own_key)).await;
            assert_eq!(
                (status, &body["code"]),
                (StatusCode::FORBIDDEN, &j!("not-allowed")),
                "{name} of {project}"
            );
        }
        let (status, body) = ask(&id(&own), Some(&own_key)).await;
        assert_eq!(
            status == StatusCode::FORBIDDEN,
            *who == Whole,
            "{name} with the project's own key: {body}"
        );
        // A key for everything, at a project that does not exist, so that nothing is deleted.
        let (status, body) = ask("no-such-project", Some(scene.key())).await;
        assert!(status != StatusCode::FORBIDDEN && status != StatusCode::UNAUTHORIZED, "{name}: {body}");
    }
}

#[tokio::test]
async fn a_key_for_a_project_sees_nothing_else() {
    let scene = Scene::new();
    let own = scene.project("own").await;
    let other = scene.project("other").await;
    let key = key_for(&scene, Some("own")).await;
    let get = async |path: &str| scene.ask("GET", path, None, Some(&key)).await.1;
    let listed = get("/projects?limit=2").await;
    assert_eq!(listed["projects"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["projects"][0]["id"], own["project"]["id"]);
    let all = [get("/projects?cursor=x&search=other").await, get("/status").await];
    let used =
        "/consumption_history/projects?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z&granularity=daily";
    let used = get(&format!("{used}&project_ids={}", other["project"]["id"].as_str().unwrap())).await;
    for told in all.iter().chain([&used]) {
        assert!(!told.to_string().contains(other["project"]["id"].as_str().unwrap()), "{told}");
    }
    assert!(!scene.control.knows_key(&key).unwrap(), "nor the pooler's console");
    assert!(scene.control.knows_key(scene.key()).unwrap());
    // What a body or a path names of another project is not found in this one.
    let project = format!("/projects/{}", own["project"]["id"].as_str().unwrap());
    let (foreign, _) = (other["endpoints"][0]["id"].as_str().unwrap(), ());
    let (status, _) = scene.ask("GET", &format!("{project}/endpoints/{foreign}"), None, Some(&key)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let wish = j!({"branch": {"parent_id": other["branch"]["id"]}});
    let (status, _) = scene.ask("POST", &format!("{project}/branches"), Some(wish), Some(&key)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    // The key goes with its project.
    assert_eq!(scene.delete(&project).await.0, StatusCode::OK);
    assert_eq!(scene.ask("GET", "/auth", None, Some(&key)).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn every_change_is_recorded_with_who_did_it() {
    let scene = Scene::new();
    let made = scene.project("shop").await;
    let (project, branch) = scene::paths(&made);
    let key = key_for(&scene, Some("shop")).await;
    scene.ask("POST", &format!("{branch}/roles"), Some(j!({"role": {"name": "reader"}})), Some(&key)).await;
    scene.ask("GET", &format!("{branch}/roles/reader/reveal_password"), None, Some(&key)).await;
    scene.ask("GET", &format!("{branch}/roles"), None, Some(&key)).await;
    scene.ask("DELETE", &project, None, Some(&key)).await;
    scene.ask("POST", "/projects", Some(j!({})), Some("dm_wrong")).await;

    let (_, audit) = scene.get("/audit").await;
    let lines: Vec<(String, u64)> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["action"].as_str().unwrap().to_owned(), e["status"].as_u64().unwrap()))
        .collect();
    let line = |action: &str, status| (action.to_owned(), status);
    let wanted = [
        line("deleteProject", 403),
        line("getProjectBranchRolePassword", 200),
        line("createProjectBranchRole", 201),
        line("createApiKey", 201),
        line("createProject", 201),
    ];
    assert_eq!(lines, wanted, "newest first; what only reads, and strangers, are not recorded");
    let first = &audit["entries"][4];
    assert_eq!(first["project_id"], made["project"]["id"]);
    assert!(first["path"].as_str().unwrap().ends_with(made["project"]["id"].as_str().unwrap()), "{first}");
    let refused = &audit["entries"][0];
    assert_eq!(
        (refused["actor"]["name"].as_str(), refused["error"].as_str()),
        (Some("test"), Some("not-allowed"))
    );
    assert!(refused["request_id"].as_str().unwrap().len() >= 16);
    assert!(!audit.to_string().contains("password\":"), "no secrets: {audit}");

    let (status, own) = scene.ask("GET", &format!("{project}/audit?limit=2"), None, Some(&key)).await;
    assert_eq!(status, StatusCode::OK);
    let cursor = own["pagination"]["cursor"].as_str().unwrap();
    let (_, rest) = scene.ask("GET", &format!("{project}/audit?cursor={cursor}"), None, Some(&key)).await;
    assert_eq!(rest["entries"].as_array().unwrap().len(), 3, "{rest}");
    assert_eq!(scene.get("/audit?cursor=x").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn tokens_of_the_provider_are_good_and_others_are_not() {
    let provider = Provider::start().await;
    let trusted = OidcSettings {
        issuer: provider.issuer(),
        audience: "dormouse".to_owned(),
        subjects: vec!["repo:shop/*".to_owned(), "alice".to_owned()],
    };
    let scene = Scene::trusting(trusted);
    let made = scene.project("shop").await;
    let ask = async |token: &str| scene.ask("GET", "/auth", None, Some(token)).await;
    let claims = || provider.claims("alice", "dormouse");
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let (status, who) = ask(&provider.sign(algorithm, &claims())).await;
        assert_eq!(status, StatusCode::OK, "{algorithm}: {who}");
        assert_eq!(
            (&who["auth_method"], &who["auth_data"]),
            (&j!("oauth"), &j!(format!("{}#alice", provider.issuer())))
        );
    }
    assert_eq!(provider.asked(), 2, "its keys are kept: one question for where they are, one for them");

    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        provider.sign("EdDSA", &claims)
    };
    let without = |name: &str| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        provider.sign("EdDSA", &claims)
    };
    let good = provider.sign("EdDSA", &claims());
    let (head, tail) = good.rsplit_once('.').unwrap();
    let bad: Vec<(&str, String)> = vec![
        ("another audience", with("aud", j!("other"))),
        ("another issuer", with("iss", j!("https://id.example"))),
        ("it ended", with("exp", j!(in_an_hour() - 2 * 3600))),
        ("not yet", with("nbf", j!(in_an_hour()))),
        ("a wrong kind of time", with("exp", j!("tomorrow"))),
        ("no end", without("exp")),
        ("no audience", without("aud")),
        ("nobody", without("sub")),
        ("a stranger", with("sub", j!("mallory"))),
        ("a project that is none", with("dormouse_project", j!(7))),
        ("a signature of nothing", format!("{head}.")),
        ("another signature", format!("{head}.{}", tail.chars().rev().collect::<String>())),
        ("an unsigned one", provider.unsigned(&claims())),
        ("a shared secret", provider.with_public_key_as_secret(&claims())),
        ("a key that nobody has", provider.sign_as("EdDSA", "unknown", &claims())),
        ("another's key", provider.sign_as("EdDSA", "es", &claims())),
        ("no token", "a.b.c".to_owned()),
        ("nothing", String::new()),
        ("far too long", "x".repeat(20_000)),
    ];
    for (why, token) in &bad {
        let (status, body) = ask(token).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{why}: {body}");
    }
    assert_eq!(provider.asked(), 2, "an invented key does not make the server ask again and again");

    let (status, _) = ask(&with("sub", j!("repo:shop/web"))).await;
    assert_eq!(status, StatusCode::OK, "subjects can be a beginning");
    let bound = with("dormouse_project", made["project"]["id"].clone());
    assert_eq!(scene.ask("GET", "/api_keys", None, Some(&bound)).await.0, StatusCode::FORBIDDEN);
    assert_eq!(scene.ask("GET", "/projects", None, Some(&bound)).await.0, StatusCode::OK);
    scene.ask("POST", "/projects", Some(j!({})), Some(&good)).await;
    let (_, audit) = scene.get("/audit?limit=1").await;
    assert_eq!(audit["entries"][0]["actor"]["kind"], "oidc");
    assert_eq!(audit["entries"][0]["actor"]["name"], "alice");
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_no_fault_of_the_callers() {
    let provider = Provider::start().await;
    let settings =
        |issuer: String| OidcSettings { issuer, audience: "dormouse".to_owned(), subjects: Vec::new() };
    // Nobody listens there.
    let scene = Scene::trusting(settings("http://127.0.0.1:9".to_owned()));
    let token = provider.sign("EdDSA", &provider.claims("alice", "dormouse"));
    let (status, body) = scene.ask("GET", "/auth", None, Some(&token)).await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &j!("identity-provider-unavailable"))
    );
    assert_eq!(scene.get("/auth").await.0, StatusCode::OK, "keys work all the same");
    for bad in ["http://id.example", "ftp://127.0.0.1", ""] {
        assert!(settings(bad.to_owned()).check().is_err(), "{bad}");
    }
    assert!(settings("https://id.example".to_owned()).check().is_ok());
}
