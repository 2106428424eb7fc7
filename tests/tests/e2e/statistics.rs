//! Statistics, alerts and metrics of a server that runs: what was measured of a real compute, a webhook that is told by a
//! real alert, and pages and dashboards that say what is really exported.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_runtime::task;
use dormouse_tests::{Server, checkout};
use serde_json::{Value, json};

/// Periods of ten seconds end, and somebody looks at them every ten seconds; and the machine is busy.
const LONG: Duration = Duration::from_secs(90);

/// Metrics that appear only when something happened that this test does not do, with what that is.
const RARE: &[&str] = &[
    // Labels of these have values only then.
    "dormouse_alert_changes_total",
    "dormouse_resizes_total",
    "dormouse_pool_pinned",
];

/// Metrics as `docs/reference/metrics.md` has them: type and labels by name.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let page = std::fs::read_to_string(checkout().join("docs/reference/metrics.md")).unwrap();
    let mut found = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `dormouse_")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let labels = cells[2].split(',').map(|label| label.trim().trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        let name = cells[0].trim_matches('`').to_owned();
        assert!(cells[3].len() > 5, "`{name}` is not explained");
        assert!(
            found.insert(name.clone(), (cells[1].to_owned(), labels)).is_none(),
            "`{name}` is there twice"
        );
    }
    found
}

/// The same of a server. Names are those that queries use.
fn exported(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut found: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    let mut family = (String::new(), String::new());
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
            found.insert(name.clone(), (kind.to_owned(), BTreeSet::new()));
            family = (name, kind.to_owned());
        } else if !line.starts_with('#') {
            let (name, rest) = line.split_once(['{', ' ']).unwrap();
            let ends: &[&str] = if family.1 == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            let known = ends.iter().any(|end| format!("{}{end}", family.0) == name);
            assert!(known, "{line} is no sample of {family:?}");
            let Some((labels, _)) = rest.split_once('}').filter(|_| line.contains('{')) else { continue };
            let names = labels.split("\",").filter_map(|label| label.split_once('=')).map(|(name, _)| name);
            let labels = &mut found.get_mut(&family.0).unwrap().1;
            labels.extend(names.filter(|name| *name != "le").map(str::to_owned));
        }
    }
    found
}

async fn use_everything(server: &Server) {
    let direct = server.connect().await;
    direct.batch_execute("create table if not exists t (x int)").await.unwrap();
    let pooled = server.ready()["pooled_connection_string"].as_str().unwrap();
    let client = server.try_connect(pooled).await.unwrap();
    client.query("select 1", &[]).await.unwrap();
    let base = server.ready()["console"].as_str().unwrap().trim_end_matches('/').to_owned();
    let sql = ureq::post(format!("{base}/sql"))
        .header("Neon-Connection-String", pooled)
        .send_json(json!({"query": "select 1"}));
    assert_eq!(sql.unwrap().status(), 200);
    assert_eq!(server.api("GET", "/status", &Value::Null).0, 200);
    assert!(server.try_connect(&pooled.replace("://app_owner:", "://nobody:")).await.is_err());
    // Its snapshot counts, too.
    drop((direct, client));
    server.cli_json(&["endpoint", "suspend"]);
    let deadline = Mono::now().plus(LONG);
    // Who wakes it again ends a snapshot that is under way.
    while !exported(&server.metrics()).contains_key("dormouse_snapshots_total") {
        assert!(Mono::now() < deadline, "no snapshot of what was suspended");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_metrics_says_what_is_exported() {
    let server = Server::start(&["--pause-timeout", "0"]);
    use_everything(&server).await;
    let (_, hook) = server.api("POST", "/alerts/webhooks", &json!({"url": "http://127.0.0.1:9/"}));
    let hook = hook["webhook"]["id"].as_str().unwrap();
    server.api("POST", &format!("/alerts/webhooks/{hook}/test"), &json!({}));
    let told = documented();
    // What is sampled once a second, and a snapshot that takes its time.
    let deadline = Mono::now().plus(LONG);
    loop {
        // It was suspended, perhaps before anybody looked at it.
        drop(server.connect().await);
        let found = exported(&server.metrics());
        let missing: Vec<&String> = found.keys().filter(|name| !told.contains_key(*name)).collect();
        assert!(missing.is_empty(), "exported, and not in docs/reference/metrics.md: {missing:?}");
        let absent: Vec<&String> = told
            .iter()
            .filter(|(name, (kind, labels))| match found.get(*name) {
                None => !RARE.contains(&name.as_str()),
                Some((exported, with)) => {
                    assert_eq!(exported, kind, "the type of {name}");
                    assert!(with.is_subset(labels), "{name} has {with:?}, the page says {labels:?}");
                    // A family with labels shows them only when it has a member.
                    with != labels && !RARE.contains(&name.as_str())
                }
            })
            .map(|(name, _)| name)
            .collect();
        if absent.is_empty() {
            return;
        }
        assert!(Mono::now() < deadline, "in docs/reference/metrics.md, and not exported so: {absent:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// The names of metrics in an expression.
fn names(expression: &str) -> BTreeSet<String> {
    let parts = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    parts.filter(|part| part.starts_with("dormouse_")).map(str::to_owned).collect()
}

/// Every name that a query may use.
fn queryable() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (name, (kind, _)) in documented() {
        if kind == "histogram" {
            all.extend(["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}")));
        } else {
            all.insert(name);
        }
    }
    all
}

#[test]
fn dashboard_and_rules_ask_for_metrics_that_there_are() {
    let known = queryable();
    let text = std::fs::read_to_string(checkout().join("deploy/grafana/dormouse.json")).unwrap();
    let board: Value = serde_json::from_str(&text).unwrap();
    assert!(
        board["schemaVersion"].as_u64() >= Some(36) && board["uid"] == "dormouse",
        "Grafana 10 and newer"
    );
    let variables = board["templating"]["list"].as_array().unwrap();
    assert_eq!((&variables[0]["name"], &variables[0]["type"]), (&json!("datasource"), &json!("datasource")));
    let defined: BTreeSet<&str> = variables.iter().map(|it| it["name"].as_str().unwrap()).collect();
    let (mut ids, mut rows, mut queries, mut taken) = (BTreeSet::new(), Vec::new(), 0, BTreeSet::new());
    for panel in board["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title} has the ID of another panel");
        let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        for place in
            (at("y")..at("y") + at("h")).flat_map(|y| (at("x")..at("x") + at("w")).map(move |x| (x, y)))
        {
            assert!(
                place.0 < 24 && taken.insert(place),
                "{title} lies over another panel or the edge at {place:?}"
            );
        }
        if panel["type"] == "row" {
            rows.push(title.to_owned());
            continue;
        }
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let names = names(expression);
            assert!(!names.is_empty(), "{title} asks for nothing: {expression}");
            let unknown: Vec<_> = names.difference(&known).collect();
            assert!(unknown.is_empty(), "{title} asks for {unknown:?}");
            let used = expression.match_indices('$').map(|(at, _)| {
                let rest = &expression[at + 1..];
                &rest[..rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len())]
            });
            for variable in used {
                assert!(variable.starts_with("__") || defined.contains(variable), "{title}: ${variable}");
            }
            let pairs = [('(', ')'), ('{', '}'), ('[', ']')];
            for (open, close) in pairs {
                assert_eq!(
                    expression.matches(open).count(),
                    expression.matches(close).count(),
                    "{expression}"
                );
            }
            queries += 1;
        }
    }
    for row in ["Fleet", "Wakes", "Pooler", "Storage", "Gateway", "API and upkeep"] {
        assert!(rows.iter().any(|title| title == row), "no row {row}: {rows:?}");
    }
    assert!(queries > 40, "{queries}");
    let rules = std::fs::read_to_string(checkout().join("deploy/prometheus/alerts.yml")).unwrap();
    let expressions: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    assert_eq!(expressions.len(), rules.matches("- alert: ").count());
    for expression in expressions {
        let unknown: Vec<_> = names(expression).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "{expression} asks for {unknown:?}");
    }
}

/// Takes one request after the other, answers 200, and passes the bodies on.
fn receiver() -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, bodies) = sync_channel(100);
    task::thread("receiver", move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut length, mut line) = (0, String::new());
            while stream.read_line(&mut line).unwrap_or(0) > 2 {
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.get_mut().write_all(answer).unwrap();
            if sender.send(serde_json::from_slice(&body).unwrap()).is_err() {
                return;
            }
        }
    });
    (url, bodies)
}

async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Mono::now().plus(LONG);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Mono::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// What is told next about `rule`: on a busy machine a rule that every server has, such as the one
/// of slow cold starts, may have something to tell as well.
fn told_of(rule: &str, bodies: &Receiver<Value>) -> Value {
    loop {
        let told = bodies.recv_timeout(LONG).unwrap();
        if told["rule_id"] == rule {
            return told;
        }
        assert_eq!(told["type"], "alert", "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_alert_tells_a_webhook_and_outlives_a_kill() {
    let mut server = Server::start(&[]);
    let endpoint = server.endpoint()["id"].as_str().unwrap().to_owned();
    let (url, bodies) = receiver();
    let secret = server.cli(&["alert", "webhook", "create", &url, "--name", "pager"]);
    assert!(String::from_utf8_lossy(&secret.stdout).starts_with("whsec_"), "{secret:?}");
    let tested = server.cli_json(&["alert", "webhook", "test", "pager"]);
    assert_eq!(tested["delivery"]["state"], "delivered", "{tested}");
    assert_eq!(bodies.recv_timeout(LONG).unwrap()["type"], "test");
    let rule = ["alert", "rule", "create", "somebody is here", "--metric", "database_connections"];
    let rule: Vec<&str> =
        rule.into_iter().chain(["--statistic", "maximum", "--period", "10", "--warning", "1.5"]).collect();
    let rule = server.cli_json(&rule)["rule"]["id"].as_str().unwrap().to_owned();

    let (one, two) = (server.connect().await, server.connect().await);
    let told = told_of(&rule, &bodies);
    assert_eq!(
        (&told["rule_id"], &told["to"], &told["value"]),
        (&json!(rule), &json!("warning"), &json!(2.0))
    );
    assert_eq!((&told["scope"]["endpoint_id"], &told["branch_name"]), (&json!(endpoint), &json!("main")));
    let listed = server.cli_json(&["alert", "list"]);
    let fires = listed["alerts"].as_array().unwrap().iter().find(|it| it["rule_id"] == rule);
    assert_eq!(fires.map(|it| &it["state"]), Some(&json!("warning")), "{listed}");

    let ask = |server: &Server, metric: &str| {
        let all = server.cli_json(&[
            "statistics",
            metric,
            "--endpoint",
            &endpoint,
            "--period",
            "60",
            "--from",
            "10m",
        ]);
        all["series"][0]["datapoints"].as_array().unwrap().clone()
    };
    for metric in [
        "database_connections",
        "cold_start_time",
        "connection_time",
        "serverless_database_capacity",
        "freeable_memory",
        "cost_per_hour",
    ] {
        let points = ask(&server, metric);
        assert!(!points.is_empty() && points[0]["maximum"].as_f64() >= Some(0.0), "{metric}: {points:?}");
    }
    let wake = ask(&server, "cold_start_time")[0]["maximum"].as_f64().unwrap();
    assert!(wake > 1.0 && wake < 60_000.0, "{wake} ms");
    let before: u64 =
        ask(&server, "database_connections").iter().map(|it| it["sample_count"].as_u64().unwrap()).sum();

    drop((one, two));
    server.kill_9();
    server.start_again();
    let points = ask(&server, "database_connections");
    let after: u64 = points.iter().map(|it| it["sample_count"].as_u64().unwrap()).sum();
    assert!(after + 12 >= before, "more than the last period was lost: {after} of {before}");
    let listed = until("it still fires", || {
        let listed = server.cli_json(&["alert", "list", "--all"]);
        listed["alerts"].as_array().unwrap().iter().find(|it| it["rule_id"] == rule).cloned()
    });
    let listed = listed.await;
    assert_eq!(listed["since"], told["at"], "since the same moment");
    // Nobody is connected any more: it ends, and only that is told.
    let ended = told_of(&rule, &bodies);
    assert_eq!(ended["from"], "warning", "{ended}");
}
