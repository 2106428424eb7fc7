//! A listener that knows one project and answers like the server, from prepared replies.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const PROJECT: &str = r#"{"id":"quiet-meadow-k3v9x2ab","name":"shop","pg_version":18,"region_id":"local",
"platform_id":"dormouse","created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:06.789Z","store_passwords":true,
"proxy_host":"localhost","history_retention_seconds":0,"default_endpoint_settings":{"suspend_timeout_seconds":0,
"autoscaling_limit_min_cu":0.25,"autoscaling_limit_max_cu":2,"pause_timeout_seconds":-1},
"settings":{"preload_libraries":{"enabled_libraries":["pg_stat_statements"]},"owner_is_superuser":false},
"default_branch_id":"br-quiet-meadow-k3v9x2ab"}"#;

const BRANCH: &str = r#"{"id":"br-quiet-meadow-k3v9x2ab","project_id":"quiet-meadow-k3v9x2ab","name":"main",
"current_state":"ready","default":true,"protected":false,"primary":true,"created_at":"2026-01-02T03:04:05Z",
"updated_at":"2026-01-02T03:04:05Z","creation_source":"dormouse"}"#;

const DEV: &str = r#"{"id":"br-green-fern-k3v9x2ab","project_id":"quiet-meadow-k3v9x2ab","name":"dev",
"current_state":"ready","parent_id":"br-quiet-meadow-k3v9x2ab","parent_lsn":"0/16B3748",
"parent_timestamp":"2026-01-02T03:04:05Z","default":false,"protected":false,"primary":false,
"created_at":"2026-01-02T03:05:05Z","updated_at":"2026-01-02T03:05:05Z","creation_source":"dormouse",
"expires_at":"2026-01-09T03:05:05Z","ttl_interval_seconds":604800,"logical_size":7340032,"own_size":1024,
"history_size":0,"history":{"start":"0/1000000","start_at":"2026-01-01T03:04:05Z","stored":"0/16B3748"}}"#;

const ENDPOINT: &str = r#"{"id":"ep-calm-oak-abcd2345","project_id":"quiet-meadow-k3v9x2ab",
"branch_id":"br-quiet-meadow-k3v9x2ab","host":"ep-calm-oak-abcd2345.localhost","proxy_host":"localhost",
"region_id":"local","provisioner":"dormouse","type":"read_write","disabled":false,"pooler_enabled":true,
"pooler_mode":"transaction","settings":{"pg_settings":{"work_mem":"16MB"}},"current_state":"active","state":"active",
"pid":4711,"started_at":"2026-01-02T03:04:07Z","suspend_timeout_seconds":0,"pause_timeout_seconds":3600,
"autoscaling_limit_min_cu":0.25,"autoscaling_limit_max_cu":2,"created_at":"2026-01-02T03:04:05Z",
"updated_at":"2026-01-02T03:04:05Z"}"#;

const DATABASE: &str = r#"{"id":1,"branch_id":"br-quiet-meadow-k3v9x2ab","name":"app","owner_name":"app_owner",
"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}"#;

const ROLE: &str = r#"{"branch_id":"br-quiet-meadow-k3v9x2ab","name":"app_owner","protected":false,
"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z","no_login":false}"#;

const KEY: &str =
    r#"{"id":"key-calm-oak-abcd2345","name":"ci","created_at":"2026-01-02T03:04:05Z","prefix":"dm_AbCd"}"#;

const OPERATION: &str = r#"{"id":"op-calm-oak-abcd2345","project_id":"quiet-meadow-k3v9x2ab","action":"create_project",
"status":"finished","failures_count":0,"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:06Z",
"total_duration_ms":840}"#;

const EVENT: &str = r#"{"id":7,"at":"2026-01-02T03:04:07Z","kind":"woke","detail":{"cause":"client",
"phases":{"spawn_us":900,"ready_us":12000}}}"#;

const STATUS: &str = r#"{"version":"0.1.0","endpoints":[{"id":"ep-calm-oak-abcd2345","project_id":"quiet-meadow-k3v9x2ab",
"branch":"main","state":"paused","pid":4711,"pg_version":18,"host":"ep-calm-oak-abcd2345.localhost"}]}"#;

const URI: &str = r#"{"uri":"postgresql://app_owner:s3%2Fcret@127.0.0.1:5455/app?sslmode=require"}"#;

const READER: &str = r#"{"id":"ep-warm-elm-abcd2345","project_id":"quiet-meadow-k3v9x2ab",
"branch_id":"br-green-fern-k3v9x2ab","host":"ep-warm-elm-abcd2345.localhost","proxy_host":"localhost",
"region_id":"local","provisioner":"dormouse","type":"read_only","pinned_lsn":"0/16B3748","disabled":false,
"pooler_enabled":true,"pooler_mode":"transaction","settings":{"pg_settings":{}},"current_state":"idle",
"state":"stopped","pid":null,"suspend_timeout_seconds":0,"pause_timeout_seconds":3600,
"autoscaling_limit_min_cu":0.25,"autoscaling_limit_max_cu":2,"created_at":"2026-01-02T03:04:05Z",
"updated_at":"2026-01-02T03:04:05Z"}"#;

fn created() -> String {
    format!(
        r#"{{"branch":{DEV},"endpoints":[],"operations":[{OPERATION}],"roles":[{ROLE}],
        "databases":[{DATABASE}],"connection_uris":[]}}"#
    )
}

fn changed() -> (u16, String) {
    (200, format!(r#"{{"branch":{DEV},"operations":[{OPERATION}]}}"#))
}

fn reply(method: &str, path: &str) -> (u16, String) {
    let project = "/api/v2/projects/quiet-meadow-k3v9x2ab";
    let branch = format!("{project}/branches/br-quiet-meadow-k3v9x2ab");
    let dev = format!("{project}/branches/br-green-fern-k3v9x2ab");
    let endpoint = format!("{project}/endpoints/ep-calm-oak-abcd2345");
    let rest = path.split('?').next().unwrap();
    let ok = |text: String| (200, text);
    match (method, rest) {
        ("GET", "/api/v2/status") => ok(STATUS.into()),
        ("GET", "/api/v2/projects") => ok(format!(r#"{{"projects":[{PROJECT}]}}"#)),
        ("GET", "/api/v2/api_keys") => ok(format!("[{KEY}]")),
        ("GET" | "POST", path) if path == format!("{project}/branches") => {
            let all = if method == "POST" {
                return (201, created());
            } else {
                format!("{BRANCH},{DEV}")
            };
            ok(format!(r#"{{"branches":[{all}],"annotations":{{}}}}"#))
        }
        ("GET", path) if path == branch => ok(format!(r#"{{"branch":{BRANCH}}}"#)),
        ("GET", path) if path == dev => ok(format!(r#"{{"branch":{DEV}}}"#)),
        ("GET", path) if path == format!("{branch}/schema") => ok(r#"{"sql":"CREATE TABLE a ();\n"}"#.into()),
        ("GET", path) if path == format!("{dev}/schema") => {
            ok(r#"{"sql":"CREATE TABLE a (id int);\n"}"#.into())
        }
        ("GET", path) if path == format!("{dev}/databases") => ok(format!(r#"{{"databases":[{DATABASE}]}}"#)),
        ("GET", path) if path == format!("{dev}/endpoints") => ok(r#"{"endpoints":[]}"#.into()),
        ("POST", path) if path == format!("{branch}/store") => ok(r#"{"lsn":"0/16B3748"}"#.into()),
        ("PATCH" | "DELETE", path) if path == dev => changed(),
        ("POST", path) if path == format!("{dev}/restore") || path == format!("{dev}/set_as_default") => {
            changed()
        }
        ("POST", path) if path == format!("{project}/endpoints") => {
            (201, format!(r#"{{"endpoint":{READER},"operations":[{OPERATION}]}}"#))
        }
        ("DELETE", path) if path == endpoint => {
            ok(format!(r#"{{"endpoint":{ENDPOINT},"operations":[{OPERATION}]}}"#))
        }
        ("POST", path) if path == format!("{endpoint}/evict") => {
            ok(format!(r#"{{"endpoint":{ENDPOINT},"operations":[{OPERATION}]}}"#))
        }
        ("GET", path) if path == format!("{project}/operations") => {
            ok(format!(r#"{{"operations":[{OPERATION}]}}"#))
        }
        ("GET", path) if path == format!("{project}/connection_uri") => ok(URI.into()),
        ("GET", path) if path == format!("{branch}/databases") => {
            ok(format!(r#"{{"databases":[{DATABASE}]}}"#))
        }
        ("DELETE", path) if path == format!("{branch}/databases/app") => {
            ok(format!(r#"{{"database":{DATABASE},"operations":[]}}"#))
        }
        ("GET", path) if path == format!("{branch}/roles") => ok(format!(r#"{{"roles":[{ROLE}]}}"#)),
        ("GET", path) if path == format!("{branch}/roles/app_owner/reveal_password") => {
            ok(r#"{"password":"s3/cret"}"#.into())
        }
        ("GET", path) if path == format!("{branch}/endpoints") || path == format!("{project}/endpoints") => {
            ok(format!(r#"{{"endpoints":[{ENDPOINT}]}}"#))
        }
        ("GET", path) if path == endpoint => ok(format!(r#"{{"endpoint":{ENDPOINT}}}"#)),
        ("GET", path) if path == format!("{endpoint}/events") => ok(format!(r#"{{"events":[{EVENT}]}}"#)),
        ("POST", path) if path == format!("{endpoint}/start") => {
            ok(format!(r#"{{"endpoint":{ENDPOINT},"operations":[{OPERATION}]}}"#))
        }
        ("POST", path) if path == format!("{endpoint}/pause") => {
            (409, r#"{"message":"the endpoint has work to do","code":"endpoint-busy"}"#.into())
        }
        _ => (404, r#"{"message":"no such route","code":"route-not-found"}"#.into()),
    }
}

/// Runs until the test process ends.
pub(crate) struct Server {
    /// Such as `http://127.0.0.1:1234`.
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Listens on any free port of loopback.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&asked);
        let work = move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &list);
            }
        };
        std::thread::Builder::new().name("listener".into()).spawn(work).unwrap();
        Self { address, asked }
    }

    /// The requests so far, each with its headers.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, asked: &Mutex<Vec<String>>) {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !seen.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let count = stream.read(&mut buffer).unwrap();
        if count == 0 {
            return;
        }
        seen.extend_from_slice(&buffer[..count]);
    }
    let request = String::from_utf8(seen).unwrap();
    let mut words = request.split(' ');
    let (status, body) = reply(words.next().unwrap(), words.next().unwrap());
    asked.lock().unwrap().push(request);
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
}
