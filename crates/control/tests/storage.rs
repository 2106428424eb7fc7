//! The routes below `/storage` with storage that writes down what is asked of it.

#![allow(missing_docs, clippy::unwrap_used)]

mod scene;

use axum::http::StatusCode;
use dormouse_base::{BranchId, EndpointId, Epoch, Lsn, ProjectId};
use dormouse_control::vault::upkeep::{Captured, HeldBranch, Holding};
use dormouse_control::vault::{Checked, Finding, Overview};
use scene::Scene;
use serde_json::json as j;

#[tokio::test]
async fn a_check_is_of_what_was_named_and_its_findings_name_branches() {
    let scene = Scene::new();
    let made = scene.project("shop").await;
    let project: ProjectId = made["project"]["id"].as_str().unwrap().parse().unwrap();
    let branch: BranchId = made["branch"]["id"].as_str().unwrap().parse().unwrap();
    let finding = |branch: &BranchId, object: &str| Finding {
        project: Some(project.clone()),
        branch: Some(branch.clone()),
        object: object.to_owned(),
        problem: "it is missing".to_owned(),
    };
    let old: BranchId = "br-old-line".parse().unwrap();
    *scene.vault.checked.lock() = Checked {
        branches: 2,
        objects: 9,
        findings: vec![finding(&branch, "a"), finding(&old, "b")],
        ..Checked::default()
    };
    let (status, reply) = scene.post("/storage/check", j!({})).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    assert_eq!((reply["branches"].as_u64(), reply["objects"].as_u64()), (Some(2), Some(9)));
    assert_eq!(reply["findings"][0]["branch"], "main");
    assert_eq!(reply["findings"][0]["branch_id"], j!(branch));
    assert_eq!(reply["findings"][1]["branch_id"], "br-old-line");
    assert!(reply["findings"][1].get("branch").is_none(), "{reply}");
    assert!(reply.get("restored").is_none());

    let (status, _) =
        scene.post("/storage/check", j!({"project": "shop", "branch": "main", "quick": true})).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        scene.vault.calls_of("check"),
        ["everything quick=false".to_owned(), format!("{branch} quick=true")]
    );
    let (status, reply) = scene.post("/storage/check", j!({"branch": "main"})).await;
    assert_eq!((status, &reply["code"]), (StatusCode::BAD_REQUEST, &j!("bad-body")));
    let (status, reply) = scene.post("/storage/check", j!({"project": "nothing"})).await;
    assert_eq!((status, &reply["code"]), (StatusCode::NOT_FOUND, &j!("project-not-found")));
}

#[tokio::test]
async fn a_branch_that_does_not_start_is_a_finding_and_leaves_nothing() {
    let scene = Scene::new();
    let made = scene.project("shop").await;
    let (project, _) = scene::paths(&made);
    let (status, reply) = scene.post("/storage/check", j!({"restore": true})).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    assert_eq!(reply["findings"][0]["branch"], "main", "{reply}");
    assert!(reply["findings"][0]["problem"].as_str().unwrap().contains("nothing starts here"), "{reply}");
    let (_, listed) = scene.get(&format!("{project}/branches")).await;
    assert_eq!(listed["branches"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(scene.vault.branches.lock().len(), 1);
}

#[tokio::test]
async fn a_collection_says_what_it_did_and_is_never_in_a_hurry() {
    let scene = Scene::new();
    let (status, reply) = scene.post("/storage/collect", j!({"dry_run": true, "grace_seconds": 0})).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    assert_eq!((&reply["dry_run"], &reply["deleted"], &reply["waiting"]), (&j!(true), &j!(3), &j!(1)));
    let (status, reply) = scene.post("/storage/collect", j!({"grace_seconds": 59})).await;
    assert_eq!((status, &reply["code"]), (StatusCode::BAD_REQUEST, &j!("bad-grace")));
    let (status, _) = scene.post("/storage/collect", j!({"grace_seconds": 60})).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        scene.vault.calls_of("collect"),
        ["dry_run=true grace=Some(0ns)", "dry_run=false grace=Some(60s)"]
    );
    *scene.vault.fails.lock() = Some("collect");
    let (status, reply) = scene.post("/storage/collect", j!({})).await;
    assert_eq!((status, &reply["code"]), (StatusCode::CONFLICT, &j!("store-refuses")));
}

#[tokio::test]
async fn the_status_names_branches_and_shows_what_is_not_stored() {
    let scene = Scene::new();
    let made = scene.project("shop").await;
    let endpoint = scene::endpoint(&made);
    let gone: EndpointId = "ep-gone".parse().unwrap();
    let resident = HeldBranch {
        project: made["project"]["id"].as_str().unwrap().parse().unwrap(),
        branch: made["branch"]["id"].as_str().unwrap().parse().unwrap(),
        read_only: false,
        epoch: Some(Epoch(2)),
        snapshot: Some(Lsn(0x100)),
    };
    let capture = Captured {
        filed: Lsn(0x200),
        lag_bytes: 7,
        lag_seconds: 1.5,
        alarm: Some("filing WAL lags behind"),
        problem: Some("the store is full".to_owned()),
    };
    let busy = |endpoint| Holding { endpoint, resident: None, capture: None, hydration: None };
    let seen = Holding {
        endpoint: endpoint.clone(),
        resident: Some(resident),
        capture: Some(capture),
        hydration: Some((100, 40)),
    };
    *scene.vault.overview.lock() = Overview {
        url: "file:///store".to_owned(),
        format: 1,
        arbitrates: true,
        templates: vec!["18-1".to_owned()],
        endpoints: vec![seen, busy(gone), busy(endpoint.clone())],
    };
    let (status, reply) = scene.get("/storage").await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    assert_eq!((&reply["url"], &reply["templates"]), (&j!("file:///store"), &j!(["18-1"])));
    let shown = reply["endpoints"].as_array().unwrap();
    assert_eq!(shown.len(), 2, "nobody knows a deleted endpoint: {reply}");
    assert_eq!(
        shown[0],
        j!({
            "id": endpoint, "project_id": made["project"]["id"], "branch_id": made["branch"]["id"], "branch": "main",
            "read_only": false, "epoch": 2, "filed": "0/200", "lag_bytes": 7, "lag_seconds": 1.5,
            "alarm": "filing WAL lags behind", "problem": "the store is full", "snapshot_lsn": "0/100",
            "hydration": {"chunks": 100, "absent": 40},
        })
    );
    assert_eq!((&shown[1]["busy"], &shown[1]["branch"]), (&j!(true), &j!("main")));
}
