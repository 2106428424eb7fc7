//! Statistics and alerts through the API, with reconcilers that run and receivers that listen.

#![allow(missing_docs, clippy::unwrap_used)]

mod scene;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use dormouse_api::statistics::Metric;
use dormouse_base::clock;
use dormouse_runtime::task::Scope;
use dormouse_statistics::{Key, Subject};
use parking_lot::Mutex;
use scene::Scene;
use serde_json::{Value, json as j};

/// Waiting for what a reconciler does at its own pace on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// What a receiver got: its ID, the signature, the body.
type Got = Arc<Mutex<Vec<(String, String, String)>>>;

/// Answers the first requests with these statuses, and all others with 200.
async fn receiver(scope: &Scope, first: Vec<u16>) -> (String, Got) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let got = Got::default();
    let take = async |State((got, first)): State<(Got, Vec<u16>)>, headers: HeaderMap, body: String| {
        let text = |name: &str| headers[name].to_str().unwrap().to_owned();
        let mut got = got.lock();
        got.push((text("dormouse-delivery"), text("dormouse-signature"), body));
        StatusCode::from_u16(first.get(got.len() - 1).copied().unwrap_or(200)).unwrap()
    };
    let routes = Router::new().route("/hook", post(take)).with_state((Arc::clone(&got), first));
    scope.spawn("receiver", async move { axum::serve(listener, routes).await.unwrap() });
    (url, got)
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

/// Verifies a signature with Python's `hmac`, which knows nothing of ours.
fn python_says(secret: &str, signature: &str, body: &str) -> bool {
    let program = "
import hmac, hashlib, sys
secret, signature, body = sys.argv[1:]
parts = dict(part.split('=', 1) for part in signature.split(','))
mac = hmac.new(secret.encode(), (parts['t'] + '.' + body).encode(), hashlib.sha256).hexdigest()
sys.exit(0 if hmac.compare_digest(mac, parts['v1']) else 1)";
    Command::new("python3").args(["-c", program, secret, signature, body]).status().unwrap().success()
}

fn endpoint_of(made: &Value) -> String {
    made["endpoints"][0]["id"].as_str().unwrap().to_owned()
}

fn record(scene: &Scene, endpoint: &str, at: i64, milliseconds: f64) {
    let subject = Subject::Endpoint(endpoint.parse().unwrap());
    scene
        .control
        .recorder()
        .record(at, [(Key { subject, metric: Metric::PoolerWaitTime }, milliseconds, 10)]);
}

fn now() -> i64 {
    clock::now().as_second()
}

/// In the last period of ten seconds that counts as complete.
fn last_period() -> i64 {
    (now() - 3) / 10 * 10 - 5
}

#[tokio::test]
async fn an_alert_fires_tells_and_ends() {
    let scene = Scene::new();
    let made = scene.project("shop").await;
    let endpoint = endpoint_of(&made);
    let receivers = Scope::new();
    let (url, got) = receiver(&receivers, vec![500]).await;
    let (status, hook) = scene.post("/alerts/webhooks", j!({"url": url, "name": "pager"})).await;
    assert_eq!(status, StatusCode::CREATED, "{hook}");
    let secret = hook["secret"].as_str().unwrap().to_owned();
    let id = hook["webhook"]["id"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_") && secret.len() > 40);
    assert!(!scene.get("/alerts/webhooks").await.1.to_string().contains(&secret), "shown once");

    let wish = j!({"name": "waits", "metric": "pooler_wait_time", "statistic": "p95", "period_seconds": 10,
        "warning": 100, "critical": 200, "scope": {"endpoint_id": endpoint}});
    let (status, rule) = scene.post("/alerts/rules", wish).await;
    assert_eq!(status, StatusCode::CREATED, "{rule}");
    let rule = rule["rule"]["id"].as_str().unwrap().to_owned();
    record(&scene, &endpoint, last_period(), 150.0);
    scene.control.start_reconcilers();

    // 500 first: it is tried again, under the same ID.
    until("a second try", async || (got.lock().len() == 2).then_some(())).await;
    let told = got.lock().clone();
    assert_eq!((&told[0].0, &told[0].2), (&told[1].0, &told[1].2));
    for (_, signature, body) in &told {
        assert!(python_says(&secret, signature, body), "{signature} {body}");
        assert!(!python_says("whsec_other", signature, body) && !python_says(&secret, signature, "{}"));
    }
    let notice: Value = serde_json::from_str(&told[1].2).unwrap();
    assert_eq!(
        (&notice["from"], &notice["to"], &notice["type"]),
        (&j!("no_data"), &j!("warning"), &j!("alert"))
    );
    assert_eq!((&notice["id"], &notice["scope"]["endpoint_id"]), (&j!(told[1].0), &j!(endpoint)));
    assert_eq!(notice["project_name"], "shop");
    until("it counts as delivered", async || {
        let (_, all) = scene.get("/alerts/webhooks").await;
        let last = &all["webhooks"][0]["last_delivery"];
        (last["state"] == "delivered" && last["attempts"] == 2 && all["webhooks"][0]["pending"] == 0)
            .then_some(())
    })
    .await;
    let (_, all) = scene.get("/alerts?state=warning").await;
    let [alert] = all["alerts"].as_array().unwrap().as_slice() else { panic!("{all}") };
    assert_eq!((&alert["rule_id"], &alert["threshold"]), (&j!(rule), &j!(100.0)));
    assert!((alert["value"].as_f64().unwrap() - 150.0).abs() < 2.0);
    assert_eq!(alert["scope"]["project_id"], made["project"]["id"]);

    // The next periods are fine.
    let done = until("it ends", async || {
        record(&scene, &endpoint, now(), 1.0);
        let (_, all) = scene.get("/alerts").await;
        let history = all["history"].as_array().unwrap().clone();
        (history.len() == 2).then_some(history)
    })
    .await;
    assert_eq!(
        (&done[0]["from"], &done[0]["to"], &done[1]["to"]),
        (&j!("warning"), &j!("ok"), &j!("warning"))
    );

    // Removing it ends it, too.
    assert_eq!(scene.delete(&format!("/alerts/rules/{rule}")).await.0, StatusCode::OK);
    assert_eq!(scene.delete(&format!("/alerts/webhooks/{id}")).await.0, StatusCode::OK);
    assert_eq!(scene.delete(&format!("/alerts/webhooks/{id}")).await.0, StatusCode::NOT_FOUND);
    receivers.close(Duration::from_millis(10)).await;
}

#[tokio::test]
async fn a_soft_limit_that_is_reached_is_an_alert() {
    let scene = Scene::new();
    let made = scene.project("shop").await;
    let receivers = Scope::new();
    let (url, got) = receiver(&receivers, Vec::new()).await;
    assert_eq!(scene.post("/alerts/webhooks", j!({"url": url})).await.0, StatusCode::CREATED);
    scene.worked(&scene::endpoint(&made), &scene::branch(&made), 10).await;
    // Exactly half of it, of which the project wants to be told.
    let limits = j!({"quotas": [
        {"measure": "active_seconds", "limit": 20, "soft_percent": 50},
        {"measure": "cu_seconds", "limit": 1000},
    ]});
    let path = format!("/projects/{}/quotas", made["project"]["id"].as_str().unwrap());
    let (status, told) = scene.ask("PUT", &path, Some(limits), Some(scene.key())).await;
    assert_eq!((status, &told["quotas"][0]["state"]), (StatusCode::OK, &j!("soft")), "{told}");
    scene.control.start_reconcilers();
    let alert = until("it fires", async || {
        let (_, all) = scene.get("/alerts?state=warning").await;
        all["alerts"].as_array().unwrap().iter().find(|alert| alert["rule_id"] == "rule-quota").cloned()
    })
    .await;
    assert_eq!((&alert["threshold"], &alert["metric"]), (&j!(50.0), &j!("quota_utilization")), "{alert}");
    assert!((alert["value"].as_f64().unwrap() - 50.0).abs() < 1e-6, "{alert}");
    assert_eq!(alert["scope"], j!({"project_id": made["project"]["id"]}));
    until("the webhook is told", async || (!got.lock().is_empty()).then_some(())).await;
    let notice: Value = serde_json::from_str(&got.lock()[0].2).unwrap();
    assert_eq!(notice["text"], "Quota of project shop is at warning: 50.0 % (threshold 50.0 %)");
    let (_, tried) = scene.post("/alerts/rules/rule-quota/test", Value::Null).await;
    assert_eq!(tried["subjects"][0]["state"], "warning", "{tried}");
}

#[tokio::test]
async fn tests_are_sent_once_and_change_nothing() {
    let scene = Scene::new();
    let receivers = Scope::new();
    let (url, got) = receiver(&receivers, vec![200, 500]).await;
    let (_, hook) = scene.post("/alerts/webhooks", j!({"url": url})).await;
    assert_eq!(hook["webhook"]["name"], "127.0.0.1");
    let id = hook["webhook"]["id"].as_str().unwrap();
    let (status, told) = scene.post(&format!("/alerts/webhooks/{id}/test"), j!({})).await;
    assert_eq!((status, &told["delivery"]["state"]), (StatusCode::OK, &j!("delivered")), "{told}");
    let (status, told) = scene.post("/alerts/rules/rule-cpu/test", j!({})).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    let delivery = &told["deliveries"][0];
    assert_eq!((&delivery["state"], &delivery["status"]), (&j!("failed"), &j!(500)), "{told}");
    let bodies: Vec<Value> =
        got.lock().iter().map(|(.., body)| serde_json::from_str(body).unwrap()).collect();
    assert_eq!(bodies.iter().map(|body| body["type"].clone()).collect::<Vec<_>>(), ["test", "test"]);
    assert_eq!(bodies[1]["rule_id"], "rule-cpu");
    scene.control.start_reconcilers();
    let (_, all) = scene.get("/alerts").await;
    assert_eq!(all["history"], j!([]));
    assert_eq!(got.lock().len(), 2, "and not tried again");
    receivers.close(Duration::from_millis(10)).await;
}

#[tokio::test]
async fn rules_are_checked_changed_and_brought_back() {
    let scene = Scene::new();
    let (_, all) = scene.get("/alerts/rules").await;
    let names: Vec<&str> =
        all["rules"].as_array().unwrap().iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 8, "{names:?}");
    let change = j!({"warning": null, "critical": 99, "enabled": false});
    let (status, rule) = scene.ask("PATCH", "/alerts/rules/rule-cpu", Some(change), Some(scene.key())).await;
    assert_eq!(status, StatusCode::OK, "{rule}");
    assert_eq!((&rule["rule"]["critical"], &rule["rule"]["enabled"]), (&j!(99.0), &j!(false)));
    assert!(rule["rule"]["warning"].is_null());
    let (_, rule) = scene.delete("/alerts/rules/rule-cpu").await;
    assert_eq!(rule["rule"]["warning"], 70.0, "as at the start");
    assert_eq!(scene.get("/alerts/rules/rule-cpu").await.1["rule"], rule["rule"]);

    for (wish, word) in [
        (j!({"name": "x", "metric": "cpu_utilization"}), "needs"),
        (j!({"name": "x", "metric": "cpu_utilization", "warning": 9, "critical": 8}), "warning"),
        (j!({"name": "x", "metric": "cpu_utilization", "warning": 9, "period_seconds": 7}), "period_seconds"),
        (j!({"name": "x", "metric": "nonsense", "warning": 9}), "metric"),
        (j!({"name": "x", "metric": "cpu_utilization", "warning": 9, "colour": 1}), "colour"),
        (j!({"name": "x", "metric": "cpu_utilization", "warning": 9, "comparison": "="}), "comparison"),
    ] {
        let (status, told) = scene.post("/alerts/rules", wish).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{told}");
        assert!(told.to_string().contains(word), "{word}: {told}");
    }
    let scope =
        j!({"name": "x", "metric": "cpu_utilization", "warning": 9, "scope": {"project_id": "no-such"}});
    assert_eq!(scene.post("/alerts/rules", scope).await.0, StatusCode::NOT_FOUND);
    assert_eq!(scene.get("/alerts/rules/rule-none").await.0, StatusCode::NOT_FOUND);
    for url in ["nonsense", "ftp://x/", "http://me:pw@x/", "http://169.254.169.254/"] {
        let (status, told) = scene.post("/alerts/webhooks", j!({"url": url})).await;
        assert_eq!((status, &told["code"]), (StatusCode::BAD_REQUEST, &j!("bad-webhook-url")), "{told}");
    }
}

#[tokio::test]
async fn statistics_say_what_was_measured_to_whom_may_know() {
    let scene = Scene::new();
    let (own, other) = (scene.project("own").await, scene.project("other").await);
    let (endpoint, foreign) = (endpoint_of(&own), endpoint_of(&other));
    let at = now() - 30;
    for (wait, count) in [(0.0, 90_u64), (500.0, 10)] {
        let project = own["project"]["id"].as_str().unwrap().parse().unwrap();
        let subjects =
            [Subject::Server, Subject::Project(project), Subject::Endpoint(endpoint.parse().unwrap())];
        let samples = subjects.map(|subject| (Key { subject, metric: Metric::PoolerWaitTime }, wait, count));
        scene.control.recorder().record(at, samples);
    }
    let (status, all) =
        scene.get("/statistics?metrics=pooler_wait_time&statistics=average,p95&period=10").await;
    assert_eq!(status, StatusCode::OK, "{all}");
    let point = &all["series"][0]["datapoints"][0];
    assert_eq!((&point["sample_count"], &point["average"]), (&j!(100), &j!(50.0)), "{all}");
    assert!((point["p95"].as_f64().unwrap() - 500.0).abs() <= 5.0 && point["maximum"].is_null(), "{point}");
    assert_eq!((&all["period"], &all["series"][0]["unit"]), (&j!(10), &j!("milliseconds")));
    let (_, each) = scene.get("/statistics?metrics=pooler_wait_time&by=endpoint&project_id=own").await;
    assert_eq!(each["series"][0]["endpoint_id"], j!(endpoint));
    let (_, list) = scene.get("/statistics/metrics").await;
    assert_eq!(list["metrics"].as_array().unwrap().len(), Metric::ALL.len());

    for (query, word) in [
        ("metrics=nonsense", "cpu_utilization"),
        ("statistics=mean", "average"),
        ("period=7", "multiple of 60"),
        ("period=x", "period"),
        ("from=2020-01-01T00:00:00Z", "15 days"),
        ("from=2999-01-01T00:00:00Z", "before"),
        ("from=yesterday", "from"),
        ("colour=red", "colour"),
        ("by=branch", "by"),
        (&format!("endpoint_id={endpoint}&by=endpoint"), "by"),
    ] {
        let (status, told) = scene.get(&format!("/statistics?{query}")).await;
        assert_eq!((status, &told["code"]), (StatusCode::BAD_REQUEST, &j!("bad-query")), "{query}: {told}");
        assert!(told.to_string().contains(word), "{query}: {told}");
    }
    assert_eq!(scene.get("/statistics?endpoint_id=ep-no-such-one").await.0, StatusCode::NOT_FOUND);

    let (_, key) = scene.post("/api_keys", j!({"key_name": "k", "project_id": "own"})).await;
    let key = key["key"].as_str().unwrap();
    let ask = async |path: String| scene.ask("GET", &path, None, Some(key)).await;
    let (_, seen) = ask("/statistics?metrics=pooler_wait_time".to_owned()).await;
    assert_eq!(seen["series"][0]["project_id"], own["project"]["id"], "not the server's");
    for path in [format!("/statistics?endpoint_id={foreign}"), "/statistics?project_id=other".to_owned()] {
        let (status, told) = ask(path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{told}");
        assert!(told["hint"].is_null(), "what there is, is not told: {told}");
    }
    assert_eq!(ask("/alerts?project_id=other".to_owned()).await.0, StatusCode::NOT_FOUND);
    assert_eq!(ask("/alerts".to_owned()).await.0, StatusCode::OK);
}
