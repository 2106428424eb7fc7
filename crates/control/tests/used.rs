//! What projects and branches say that they used, in Neon's words and in ours, also when they are gone.

#![allow(missing_docs, clippy::unwrap_used)]

mod scene;

use std::time::Duration;

use axum::http::StatusCode;
use dormouse_base::clock;
use dormouse_control::cost::Month;
use scene::{Scene, WRITTEN, branch, endpoint, paths};
use serde_json::{Value, json as j};

/// By hand: 10 seconds of a quarter of a CU are 2.5 CU seconds.
fn is_as_used(told: &Value) {
    assert_eq!(told["active_time_seconds"], 10, "{told}");
    assert_eq!((&told["compute_time_seconds"], &told["cpu_used_sec"]), (&j!(2), &j!(2)));
    assert_eq!((&told["written_data_bytes"], &told["data_transfer_bytes"]), (&j!(WRITTEN), &j!(1_000_000)));
}

#[tokio::test]
async fn projects_and_branches_say_what_they_used_this_month() {
    let scene = Scene::new();
    let made = scene.project("shop").await;
    let fresh = &made["project"];
    assert_eq!((&fresh["active_time_seconds"], &made["branch"]["cpu_used_sec"]), (&j!(0), &j!(0)));
    assert_eq!(fresh["synthetic_storage_size"], Value::Null, "nothing was measured yet: {fresh}");
    let other = scene.project("other").await;
    scene.worked(&endpoint(&made), &branch(&made), 10).await;

    let (project, main) = paths(&made);
    let month = Month::of(clock::now());
    let (_, one) = scene.get(&project).await;
    let (_, all) = scene.get("/projects").await;
    let listed = all["projects"].as_array().unwrap();
    let find = |id: &Value| listed.iter().find(|project| project["id"] == *id).unwrap();
    for told in [&one["project"], find(&made["project"]["id"])] {
        is_as_used(told);
        // 2 GB for 10 of 3,600 seconds; 2 GB of data and 1 GB of history.
        assert_eq!(told["data_storage_bytes_hour"], 5_555_555_u64);
        assert_eq!(told["synthetic_storage_size"], 3_000_000_000_u64);
        assert_eq!(told["consumption_period_start"], month.from.to_string());
        assert_eq!(told["consumption_period_end"], month.to.to_string());
        assert_eq!(told["quota_reset_at"], month.to.to_string());
    }
    assert_eq!(find(&other["project"]["id"])["active_time_seconds"], 0, "each has its own");
    let (_, told) = scene.get(&main).await;
    is_as_used(&told["branch"]);
    let (_, told) = scene.get(&format!("{project}/branches")).await;
    is_as_used(&told["branches"][0]);
    assert_eq!(told["branches"][0]["logical_size"], Value::Null, "{told}");

    // Sizes are known in lists when they were measured: see the recorder of the store.
    scene.control.start_reconcilers();
    let measured = async {
        loop {
            let (_, told) = scene.get(&format!("{project}/branches")).await;
            if told["branches"][0]["logical_size"] == 7000 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), measured).await.expect("it is measured");
}

#[tokio::test]
async fn a_deleted_branch_is_found_by_its_last_name() {
    let scene = Scene::new();
    let made = scene.project("shop").await;
    let (project, _) = paths(&made);
    let wish = j!({"branch": {"name": "preview"}, "endpoints": [{"type": "read_write"}]});
    let (status, preview) = scene.post(&format!("{project}/branches"), wish).await;
    assert_eq!(status, StatusCode::CREATED, "{preview}");
    scene.worked(&endpoint(&preview), &branch(&preview), 10).await;
    let (status, told) = scene.delete(&format!("{project}/branches/preview")).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    let (status, told) = scene.get("/usage?project_id=shop&branch_id=preview").await;
    assert_eq!(status, StatusCode::OK, "{told}");
    let [gone] = told["branches"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_eq!((&gone["deleted"], &gone["name"]), (&j!(true), &j!("preview")));
    assert_eq!(
        (&gone["totals"]["active_seconds"], &told["totals"]["active_seconds"]),
        (&j!(10.0), &j!(10.0))
    );
    assert_eq!(scene.get("/usage?project_id=shop&branch_id=review").await.0, StatusCode::NOT_FOUND);
    // It is still in the project's month.
    let (_, told) = scene.get(&project).await;
    is_as_used(&told["project"]);
}
