//! `/cost` over real metadata: whose costs are told, and what is refused. What sheets make of usage is tested in
//! `dormouse_pricing`; what the ledger's words become, in `control::cost`.

#![allow(missing_docs, clippy::unwrap_used)]

mod scene;

use axum::http::StatusCode;
use scene::Scene;
use serde_json::{Value, json as j};

fn sheet<'a>(told: &'a Value, id: &str) -> &'a Value {
    told["sheets"].as_array().unwrap().iter().find(|sheet| sheet["id"] == id).unwrap()
}

#[tokio::test]
async fn an_estimate_needs_no_usage_and_is_not_recorded() {
    let scene = Scene::new();
    let month = j!({"hours_active": 73, "average_cu": 0.5, "peak_cu": 1, "storage_gb": 10, "history_gb": 2,
        "io_million": 3, "egress_gb": 20});
    let (status, told) = scene.post("/cost/estimate", month.clone()).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    // The same month as in `pricing::bill::tests::by_hand`.
    assert_eq!(sheet(&told, "neon-launch")["total"], j!(7.769));
    assert_eq!(sheet(&told, "neon-launch")["always_on_total"], j!(42.59));
    assert_eq!(sheet(&told, "aurora-v2")["total"], j!(10.330_439));
    assert_eq!(sheet(&told, "supabase-pro")["lines"][2]["amount"], j!(-10.0));
    assert_eq!(told["default_sheet"], "neon-launch");
    let one = j!({"hours_active": 73, "average_cu": 0.5, "sheet": "alloydb"});
    let (_, told) = scene.post("/cost/estimate", one).await;
    assert_eq!(told["sheets"].as_array().unwrap().len(), 1);
    let (_, audit) = scene.get("/audit").await;
    assert_eq!(audit["entries"], j!([]), "nothing was changed");

    for (field, value, code, word) in [
        ("hours_active", j!(800), "bad-estimate", "`hours_active`"),
        ("hours_active", j!(731), "bad-estimate", "more than `hours_in_month`"),
        ("storage_gb", j!(-1), "bad-estimate", "`storage_gb`"),
        ("peak_cu", j!(0.1), "bad-estimate", "`peak_cu`"),
        ("average_cu", j!("much"), "bad-body", "average_cu"),
        ("storage", j!(5), "unknown-field", "storage"),
        ("sheet", j!("neon"), "price-sheet-not-found", "`neon`"),
    ] {
        let mut wrong = month.clone();
        wrong[field] = value;
        let (status, told) = scene.post("/cost/estimate", wrong).await;
        assert!(status.is_client_error(), "{field}: {told}");
        assert_eq!(told["code"], code, "{told}");
        assert!(told["message"].as_str().unwrap().contains(word), "{told}");
    }
}

#[tokio::test]
async fn a_key_for_a_project_sees_what_that_project_costs() {
    let scene = Scene::new();
    let own = scene.project("own").await;
    let other = scene.project("other").await;
    let (_, made) = scene.post("/api_keys", j!({"key_name": "ci", "project_id": "own"})).await;
    let key = made["key"].as_str().unwrap();
    let (status, told) = scene.ask("GET", "/cost", None, Some(key)).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    assert!(!told.to_string().contains(other["project"]["id"].as_str().unwrap()), "{told}");
    let foreign = format!("/cost?project_id={}", other["project"]["id"].as_str().unwrap());
    let (status, told) = scene.ask("GET", &foreign, None, Some(key)).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{told}");
    let mine = format!("/cost?project_id={}", own["project"]["id"].as_str().unwrap());
    assert_eq!(scene.ask("GET", &mine, None, Some(key)).await.0, StatusCode::OK);
    assert_eq!(scene.ask("GET", "/cost/sheets", None, Some(key)).await.0, StatusCode::OK);
}

#[tokio::test]
async fn what_is_asked_is_a_month_and_a_sheet_that_exist() {
    let scene = Scene::new();
    for (query, status, word) in [
        ("month=2026", StatusCode::BAD_REQUEST, "`month`"),
        ("month=2026-13", StatusCode::BAD_REQUEST, "`month`"),
        ("month=2999-01", StatusCode::BAD_REQUEST, "has not begun"),
        ("sheet=neon", StatusCode::NOT_FOUND, "`neon`"),
        ("project_id=nobody", StatusCode::NOT_FOUND, "`nobody`"),
        ("sheets=alloydb", StatusCode::BAD_REQUEST, "sheets"),
    ] {
        let (answer, told) = scene.get(&format!("/cost?{query}")).await;
        assert_eq!(answer, status, "{query}: {told}");
        assert!(told["message"].as_str().unwrap().contains(word), "{query}: {told}");
    }
    let (status, told) = scene.get("/cost?month=2026-01&sheet=supabase-pro").await;
    assert_eq!(status, StatusCode::OK, "{told}");
    assert_eq!(told["month"], "2026-01");
    let (_, all) = scene.get("/cost/sheets").await;
    let free = sheet(&all, "neon-free");
    assert_eq!((free["scales_to_zero"].as_bool(), free["dated"].as_str()), (Some(true), Some("2026-11-12")));
    let egress: Vec<&Value> = sheet(&all, "neon-launch")["prices"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|price| price["item"] == "egress")
        .collect();
    assert_eq!(
        egress,
        [
            &j!({"item": "egress", "unit": "GB", "price": 0.0}),
            &j!({"item": "egress", "unit": "GB", "price": 0.1, "beyond": 500.0})
        ]
    );
}
