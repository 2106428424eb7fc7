//! SQL over HTTP, request by request: what browsers ask first, what is refused and how, limits, and that neither
//! pool nor backend is worse for it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use dormouse_base::clock::Mono;
use serde_json::{Value, json};
use ureq::http::{HeaderMap, Request};

use crate::pool_house::House;

/// An answer.
struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    /// Its SQLSTATE; the answer must be a complete error without anything of ours in it.
    #[track_caller]
    fn code(&self) -> String {
        let error = self.json();
        assert_eq!(error.as_object().unwrap().len(), 17, "{error}");
        for secret in ["/crates/", ".rs", "/var/lib", "/tmp/", "secret"] {
            assert!(!self.text.contains(secret), "{secret} in {}", self.text);
        }
        assert_eq!(self.headers["access-control-allow-origin"], "*");
        error["code"].as_str().unwrap().to_owned()
    }
}

fn base(house: &House) -> String {
    house.server.ready()["console"].as_str().unwrap().trim_end_matches('/').to_owned()
}

fn send(house: &House, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(60)))
        .allow_non_standard_methods(true)
        .build()
        .into();
    let mut request = Request::builder().method(method).uri(format!("{}{path}", base(house)));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut reply = agent.run(request.body(body).unwrap()).unwrap();
    let mut bytes = Vec::new();
    reply.body_mut().as_reader().read_to_end(&mut bytes).unwrap();
    Answer {
        status: reply.status().as_u16(),
        headers: reply.headers().clone(),
        text: String::from_utf8(bytes).unwrap(),
    }
}

/// `POST /sql` with the house's own connection string.
fn sql(house: &House, body: &Value) -> Answer {
    sql_with(house, &[], body.to_string().as_bytes())
}

fn sql_with(house: &House, more: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut headers = vec![("neon-connection-string", house.direct())];
    headers.extend(more);
    send(house, "POST", "/sql", &headers, body)
}

#[track_caller]
fn works(house: &House) {
    let answer = sql(house, &json!({ "query": "select 42 as n" }));
    assert_eq!((answer.status, &answer.json()["rows"]), (200, &json!([{ "n": 42 }])), "{}", answer.text);
}

/// Connections of PostgreSQL that work, apart from ours that asks.
fn busy(house: &House) -> i64 {
    let query = "select count(*)::int n from pg_stat_activity where usename = 'app_owner' \
        and pid <> pg_backend_pid() and state <> 'idle'";
    sql(house, &json!({ "query": query })).json()["rows"][0]["n"].as_i64().unwrap()
}

fn until_quiet(house: &House) {
    let start = Mono::now();
    while busy(house) > 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "a statement goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn browsers_may_ask_from_everywhere() {
    let house = House::new();
    let wanted = "content-type,neon-connection-string,neon-raw-text-output,neon-array-mode,authorization,\
        neon-batch-isolation-level,neon-batch-read-only,neon-batch-deferrable";
    for path in ["/sql", "/v1/queries"] {
        let asked = [
            ("origin", "https://app.example"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", wanted),
        ];
        let answer = send(&house, "OPTIONS", path, &asked, b"");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["access-control-allow-origin"], "*");
        assert_eq!(answer.headers["access-control-max-age"], "86400");
        assert!(answer.headers["access-control-allow-methods"].to_str().unwrap().contains("POST"));
        assert!(!answer.headers.contains_key("access-control-allow-credentials"));
        let allowed = answer.headers["access-control-allow-headers"].to_str().unwrap().to_ascii_lowercase();
        for name in wanted.split(',') {
            assert!(allowed.split(", ").any(|known| known == name), "{name}: {allowed}");
        }
    }
    let answer = sql_with(&house, &[("origin", "https://app.example")], br#"{"query":"select 1/0"}"#);
    assert_eq!((answer.status, answer.code().as_str()), (400, "22012"));
    assert_eq!(answer.headers["neon-request-id"].len(), 20);
}

#[test]
fn what_is_no_request_is_told_so() {
    let house = House::new();
    works(&house);
    let deep = format!("{}1{}", "[".repeat(300_000), "]".repeat(300_000));
    let deep_body = format!(r#"{{"query":{deep}}}"#);
    let deep_param = format!(r#"{{"query":"select $1::int[]","params":[{deep}]}}"#);
    for (body, status, code) in [
        (&b""[..], 400, "08P01"),
        (b"{", 400, "08P01"),
        (b"{}", 400, "08P01"),
        (b"\xff\xfe", 400, "08P01"),
        (br#"{"query":1}"#, 400, "08P01"),
        (br#"{"query":"select 1","params":{"a":1}}"#, 400, "08P01"),
        (br#"{"query":"select \u0000"}"#, 400, "08P01"),
        (br#"{"query":"select $1","params":["\u0000"]}"#, 400, "08P01"),
        (deep_body.as_bytes(), 400, "08P01"),
        (deep_param.as_bytes(), 400, "08P01"),
        (br#"{"query":"select $1::int","params":[]}"#, 400, "08P01"),
        (br#"{"query":"copy (select 1) to stdout"}"#, 400, "0A000"),
        (br#"{"query":"create table gw_copy (a int)"}"#, 200, ""),
        (br#"{"query":"copy gw_copy from stdin"}"#, 400, "0A000"),
        (
            br#"{"queries":[{"query":"create temp table c(a int)"},{"query":"copy c from stdin"}]}"#,
            400,
            "0A000",
        ),
    ] {
        let answer = sql_with(&house, &[], body);
        let text = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        assert_eq!(answer.status, status, "{text}: {}", answer.text);
        if status != 200 {
            assert_eq!(answer.code(), code, "{text}");
        }
    }
    for (kind, status) in [
        ("text/plain;charset=UTF-8", 200),
        ("application/sql", 200),
        ("application/json", 200),
        ("multipart/form-data; boundary=x", 415),
        ("application/octet-stream", 415),
        ("application/x-www-form-urlencoded", 200),
    ] {
        let answer = sql_with(&house, &[("content-type", kind)], br#"{"query":"select 1"}"#);
        assert_eq!(answer.status, status, "{kind}");
    }
    for value in ["serializable", "Serializable; drop table x"] {
        let answer = sql_with(&house, &[("neon-batch-isolation-level", value)], br#"{"queries":[]}"#);
        assert_eq!((answer.status, answer.code().as_str()), (400, "08P01"));
    }
    let answer = send(&house, "GET", "/sql", &[], b"");
    assert_eq!(answer.status, 405);
    let answer = send(&house, "GET", "/v2", &[], b"");
    assert_eq!((answer.status, answer.code().as_str()), (426, "08P01"));
    until_quiet(&house);
    works(&house);
    house.assert_clean_log();
}

#[test]
fn connection_strings_that_do_not_do() {
    let house = House::new();
    works(&house);
    let body = br#"{"query":"select 1"}"#;
    let with = |text: &str| send(&house, "POST", "/sql", &[("neon-connection-string", text)], body);
    let answer = send(&house, "POST", "/sql", &[], body);
    assert_eq!((answer.status, answer.code().as_str()), (400, "08001"));
    for text in ["", "mysql://a:b@h/db", "postgresql://a@127.0.0.1/app", "postgresql://a:b@127.0.0.1/", "x"] {
        let answer = with(text);
        assert_eq!((answer.status, answer.code().as_str()), (400, "08001"), "{text}");
    }
    let wrong = house.direct().replace(&house.password(), "secret");
    let answer = with(&wrong);
    assert_eq!((answer.status, answer.code().as_str()), (400, "28P01"));
    let answer = with(&house.direct().replace(&house.project.endpoint, "ep-no-such-endpoint"));
    assert_eq!((answer.status, answer.code().as_str()), (400, "3D000"));
    let answer = with(&house.direct().replacen("/app?", "/pgbouncer?", 1).replace("options=", "x="));
    assert_eq!((answer.status, answer.code().as_str()), (400, "0A000"), "no console over HTTP");
    let answer = with(&format!("{}&replication=database", house.direct()));
    assert_eq!((answer.status, answer.code().as_str()), (400, "0A000"));
    let answer = with(&format!("{}&statment_timeout=1", house.direct()));
    assert_eq!((answer.status, answer.code().as_str()), (400, "22023"));
    works(&house);
}

#[test]
fn a_changed_password_stops_at_once_and_guesses_are_slowed_down() {
    let house = House::new();
    works(&house);
    let make = |query: &str| {
        let answer = sql(&house, &json!({ "query": query }));
        assert_eq!(answer.status, 200, "{}", answer.text);
    };
    make("create role web login password 'first'");
    let of = |password: &str| {
        let own = format!("app_owner:{}", house.password());
        house.direct().replace(&own, &format!("web:{password}"))
    };
    let try_with = |password: &str| {
        let body = br#"{"query":"select current_user::text as u"}"#;
        let answer = send(&house, "POST", "/sql", &[("neon-connection-string", &of(password))], body);
        (answer.status, answer.json())
    };
    for _ in 0..3 {
        assert_eq!(try_with("first").1["rows"][0]["u"], "web");
    }
    make("alter role web password 'second'");
    assert_eq!(try_with("first").1["code"], "28P01", "at once");
    assert_eq!(try_with("second").0, 200);
    make("alter role web nologin");
    assert_eq!(try_with("second").1["code"], "28000");
    make("alter role web login valid until '2000-01-01'");
    assert_eq!(try_with("second").1["code"], "28P01");
    make("alter role web valid until 'infinity'");
    assert_eq!(try_with("second").0, 200);
    let mut told = Vec::new();
    for _ in 0..12 {
        told.push(try_with("guess").1["code"].as_str().unwrap().to_owned());
    }
    assert_eq!(told[0], "28P01");
    assert_eq!(told[11], "28000", "too many guesses");
    works(&house);
}

#[test]
fn login_tokens_take_the_place_of_passwords() {
    let house = House::new();
    let path = format!("/projects/{}/auth/token", house.project.id);
    let (status, made) = house.server.api("POST", &path, &json!({ "token": { "role_name": "app_owner" } }));
    let token = made["token"].as_str().map(str::to_owned);
    let Some(token) = token else { panic!("{status} {made}") };
    let bare = house.direct().replace(&format!(":{}@", house.password()), "@");
    let bearer = format!("Bearer {token}");
    let body = br#"{"query":"select current_user::text as u"}"#;
    let headers = [("neon-connection-string", bare.as_str()), ("authorization", bearer.as_str())];
    let answer = send(&house, "POST", "/sql", &headers, body);
    assert_eq!(answer.json()["rows"][0]["u"], "app_owner", "{}", answer.text);
    let inside = house.direct().replace(&house.password(), &token);
    let answer = send(&house, "POST", "/sql", &[("neon-connection-string", &inside)], body);
    assert_eq!(answer.json()["rows"][0]["u"], "app_owner", "{}", answer.text);
    let other = bare.replace("app_owner@", "postgres@");
    let headers = [("neon-connection-string", other.as_str()), ("authorization", bearer.as_str())];
    assert_eq!(send(&house, "POST", "/sql", &headers, body).status, 400);
}

#[test]
fn too_much_is_refused_and_nothing_is_worse_for_it() {
    let house = House::new();
    works(&house);
    // 100 MB, announced; the server does not wait for it.
    let head = format!(
        "POST /sql HTTP/1.1\r\nHost: x\r\nNeon-Connection-String: {}\r\nContent-Length: 100000000\r\n\r\n",
        house.direct()
    );
    let mut socket = TcpStream::connect(base(&house).trim_start_matches("http://")).unwrap();
    socket.write_all(head.as_bytes()).unwrap();
    let mut reply = [0; 64];
    let count = socket.read(&mut reply).unwrap();
    assert!(reply[..count].starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&reply[..count]));
    let query = "copy (select repeat('x', 1000000) from generate_series(1, 1000)) to stdout";
    let answer = sql(&house, &json!({ "query": query }));
    assert_eq!((answer.status, answer.code().as_str()), (400, "0A000"));
    until_quiet(&house);
    // One value that is too large, which PostgreSQL sends to its end.
    let answer = sql(&house, &json!({ "query": "select repeat('x', 70000000)" }));
    assert_eq!((answer.status, answer.code().as_str()), (400, "54000"));
    works(&house);
    house.assert_clean_log();
}

#[test]
fn who_leaves_takes_the_statement_along() {
    let house = House::new();
    works(&house);
    let body = br#"{"query":"select pg_sleep(60)"}"#;
    let head = format!(
        "POST /sql HTTP/1.1\r\nHost: x\r\nNeon-Connection-String: {}\r\nContent-Length: {}\r\n\r\n",
        house.direct(),
        body.len()
    );
    let mut sockets = Vec::new();
    for _ in 0..3 {
        let mut socket = TcpStream::connect(base(&house).trim_start_matches("http://")).unwrap();
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(body).unwrap();
        sockets.push(socket);
    }
    let start = Mono::now();
    while busy(&house) < 3 {
        assert!(start.elapsed() < Duration::from_secs(20), "they run");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(sockets);
    until_quiet(&house);
    assert!(start.elapsed() < Duration::from_secs(30), "cancelled, not waited for");
    works(&house);
    house.assert_clean_log();
}

#[test]
fn gzip_when_asked_and_worth_it() {
    let house = House::new();
    let raw = |query: &str, encoding: &str| {
        let body = json!({ "query": query }).to_string();
        let request = format!(
            "POST /sql HTTP/1.1\r\nHost: x\r\nConnection: close\r\nNeon-Connection-String: {}\r\n\
             Accept-Encoding: {encoding}\r\nContent-Length: {}\r\n\r\n{body}",
            house.direct(),
            body.len()
        );
        let mut socket = TcpStream::connect(base(&house).trim_start_matches("http://")).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut all = Vec::new();
        socket.read_to_end(&mut all).unwrap();
        (String::from_utf8_lossy(&all[..all.len().min(1000)]).to_ascii_lowercase(), all.len())
    };
    let large = "select repeat('dormouse ', 100) as t from generate_series(1, 1000)";
    let (head, compressed) = raw(large, "gzip, deflate");
    assert!(head.contains("content-encoding: gzip"), "{head}");
    let (head, plain) = raw(large, "identity");
    assert!(!head.contains("content-encoding") && head.contains("content-length"), "{head}");
    assert!(compressed * 5 < plain, "{compressed} {plain}");
    let (head, _) = raw("select 1", "gzip");
    assert!(!head.contains("content-encoding"), "{head}");
}

#[test]
fn a_key_runs_queries_and_streams_them() {
    let house = House::new();
    let key = house.server.ready()["api_key"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {key}");
    let ask = |more: &[(&str, &str)], body: &Value| {
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(more);
        send(&house, "POST", "/v1/queries", &headers, body.to_string().as_bytes())
    };
    let endpoint = &house.project.endpoint;
    let answer = ask(
        &[],
        &json!({ "query": "select $1::int as n, current_user::text as u", "params": [7], "endpoint": endpoint }),
    );
    let reply = answer.json();
    assert_eq!((answer.status, &reply["rows"]), (200, &json!([{ "n": 7, "u": "app_owner" }])), "{reply}");
    assert_eq!(reply["fields"][0]["type"], "int4");
    assert!(reply["timing"]["wakeMs"].as_f64().unwrap() > 0.0, "it was asleep: {reply}");
    let again = ask(&[], &json!({ "query": "select 1 as n", "endpoint": endpoint })).json();
    assert_eq!(again["timing"]["wakeMs"].as_f64(), Some(0.0), "{again}");
    let error = ask(&[], &json!({ "query": "select 1/0", "endpoint": endpoint }));
    assert_eq!((error.status, error.code().as_str()), (400, "22012"));
    for (body, status) in [
        (json!({ "query": "select 1", "endpoint": "ep-no-such" }), 400),
        (json!({ "query": "select 1", "endpoint": endpoint, "role": "nobody" }), 400),
        (json!({ "query": "select 1", "endpoint": endpoint, "unknown": 1 }), 400),
    ] {
        assert_eq!(ask(&[], &body).status, status, "{body}");
    }
    for key in ["", "Bearer dm_wrong", "Basic abc"] {
        let answer = send(&house, "POST", "/v1/queries", &[("authorization", key)], b"{}");
        assert_eq!((answer.status, answer.code().as_str()), (401, "28000"));
    }
    // A key for one project opens that one.
    let other = house.server.create_project(&json!({ "name": "other" }));
    for (project, status) in [(&house.project.id, 200), (&other.id, 401)] {
        let wish = json!({ "key_name": "one project", "project_id": project });
        let made = house.server.api("POST", "/api_keys", &wish).1;
        let bearer = format!("Bearer {}", made["key"].as_str().unwrap_or_else(|| panic!("{made}")));
        let body = json!({ "query": "select 1 as n", "endpoint": endpoint }).to_string();
        let answer =
            send(&house, "POST", "/v1/queries", &[("authorization", bearer.as_str())], body.as_bytes());
        assert_eq!(answer.status, status, "{}", answer.text);
    }
    house.suspend();
    let body = json!({ "query": "select g, repeat('x', 100) t from generate_series(1, 5000) g", "endpoint": endpoint });
    let answer = ask(&[("accept", "text/event-stream")], &body);
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    let events: Vec<(&str, &str)> = answer
        .text
        .split("\n\n")
        .filter_map(|event| event.strip_prefix("event: ")?.split_once("\ndata: "))
        .collect();
    let names: Vec<_> = events.iter().map(|(name, _)| *name).collect();
    assert_eq!(names[..3], ["waking", "started", "fields"], "{names:?}");
    assert_eq!(names.last(), Some(&"done"));
    let rows: usize = events
        .iter()
        .filter(|(name, _)| *name == "rows")
        .map(|(_, data)| serde_json::from_str::<Vec<Value>>(data).unwrap().len())
        .sum();
    assert_eq!(rows, 5000);
    let done: Value = serde_json::from_str(events.last().unwrap().1).unwrap();
    assert_eq!((&done["command"], &done["rowCount"]), (&json!("SELECT"), &json!(5000)));
    let body = json!({ "query": "select 1 / (2 - g) from generate_series(1, 5) g", "stream": true, "endpoint": endpoint });
    let answer = ask(&[], &body);
    assert!(answer.text.contains("event: error\ndata: {\"message\":\"division by zero\""), "{}", answer.text);
    works(&house);
    house.assert_clean_log();
}

/// The events of a stream: name and JSON.
fn events_of(text: &str) -> Vec<(String, Value)> {
    let event = |event: &str| {
        let (name, data) = event.strip_prefix("event: ")?.split_once("\ndata: ")?;
        let data = data.replace("\ndata: ", "\n");
        Some((name.to_owned(), serde_json::from_str(&data).unwrap_or_else(|e| panic!("{e}: {data}"))))
    };
    text.split("\n\n").filter_map(event).collect()
}

#[test]
fn a_script_is_one_session() {
    let house = House::new();
    let bearer = format!("Bearer {}", house.server.ready()["api_key"].as_str().unwrap());
    let ask = |script: &[&str], more: Value| {
        let mut body = json!({ "script": script, "endpoint": house.project.endpoint, "arrayMode": true, "rawText": true });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = send(
            &house,
            "POST",
            "/v1/queries",
            &[("authorization", bearer.as_str())],
            body.to_string().as_bytes(),
        );
        assert_eq!(answer.status, 200, "{}", answer.text);
        events_of(&answer.text)
    };
    let all = |events: &[(String, Value)], name: &str| -> Vec<Value> {
        events.iter().filter(|(of, _)| of == name).map(|(_, data)| data.clone()).collect()
    };
    // What a statement leaves is there for the next: a transaction, a setting, a temporary table.
    let events = ask(
        &[
            "begin",
            "create temp table t as select 1 as a, 2 as a",
            "set local lc_messages = 'C'",
            "do $$ begin raise notice 'hello'; end $$",
            "select 1.50::numeric as n, true as b, null as x, 1 as n",
            "commit",
        ],
        json!({}),
    );
    let indexes: Vec<_> = all(&events, "statement").iter().map(|one| one["index"].clone()).collect();
    // `select 1 as a, 2 as a` into a table fails: everything after it is not run.
    assert_eq!((indexes.len(), all(&events, "error")[0]["code"].as_str()), (2, Some("42701")), "{events:?}");
    assert_eq!(all(&events, "end"), [json!({ "rolledBack": true })]);
    let events = ask(
        &[
            "begin",
            "create temp table t as select 1 as a",
            "do $$ begin raise notice 'hello'; end $$",
            "select 1.50::numeric as n, true as b, null as x, a as n from t",
            "commit",
            "select count(*) from t",
        ],
        json!({}),
    );
    let first = &events.iter().find(|(name, _)| name != "waking").unwrap().0;
    assert_eq!(first, "statement", "{events:?}");
    assert_eq!(all(&events, "notice")[0]["message"], "hello");
    assert_eq!(all(&events, "rows"), [json!([["1.50", "t", null, "1"]]), json!([["1"]])]);
    let commands: Vec<_> = all(&events, "done").iter().map(|one| one["command"].clone()).collect();
    assert_eq!(json!(commands), json!(["BEGIN", "SELECT", "DO", "SELECT", "COMMIT", "SELECT"]));
    assert_eq!(all(&events, "end"), [json!({ "rolledBack": false })]);
    // And nothing of it is left for the next script.
    let events = ask(&["select count(*) from t"], json!({}));
    assert_eq!(all(&events, "error")[0]["code"], "42P01", "{events:?}");
    // Rows are limited one statement at a time; what writes, writes everything.
    let events = ask(
        &[
            "create table kept (n int)",
            "insert into kept select generate_series(1, 50) returning n",
            "select count(*) from kept",
            "select generate_series(1, 10)",
            "drop table kept",
        ],
        json!({ "maxRows": 10 }),
    );
    let dones = all(&events, "done");
    assert_eq!((&dones[1]["rowCount"], &dones[1]["more"]), (&json!(10), &json!(true)), "{events:?}");
    assert_eq!(all(&events, "rows")[1], json!([["50"]]), "{events:?}");
    // PostgreSQL stops at the tenth row, and does not know that it was the last.
    assert_eq!((&dones[3]["rowCount"], dones.len()), (&json!(10), 5), "{events:?}");
    house.assert_clean_log();
}

/// A session waits for the next request of the same name, which may have become another role's, unseen.
#[test]
fn a_session_that_waits_is_for_the_same_role_only() {
    let house = House::new();
    let owner = |query: &str| assert_eq!(sql(&house, &json!({ "query": query })).status, 200, "{query}");
    for made in [
        "create role a login password 'of_a'",
        "create role b login password 'of_b'",
        "create table kept_by_a as select 1 as v",
        "grant select on kept_by_a to a",
    ] {
        owner(made);
    }
    let asks = |password: &str| {
        let (_, there) = house.direct().rsplit_once('@').unwrap();
        let place = format!("postgresql://a:{password}@{there}");
        let ask = json!({ "query": "select v from kept_by_a" }).to_string();
        send(&house, "POST", "/sql", &[("neon-connection-string", &place)], ask.as_bytes())
    };
    assert_eq!(asks("of_a").status, 200);
    owner("do $$ begin alter role a rename to c; alter role b rename to a; end $$");
    // Longer than what nobody saw is unknown.
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(asks("of_b").code(), "42501");
}
