//! Against a real listener on loopback that gives prepared replies.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::thread::JoinHandle;

use dormouse_api::client;

use super::*;
use crate::connect::http::Session;

/// Answers one connection per reply, and returns what it was asked.
fn serve(replies: Vec<(u16, &'static str)>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = format!("http://{}/api/v2", listener.local_addr().unwrap());
    let work = move || replies.into_iter().map(|(status, body)| answer(&listener, status, body)).collect();
    let thread = std::thread::Builder::new().name("listener".into()).spawn(work).unwrap();
    (api, thread)
}

fn answer(listener: &TcpListener, status: u16, body: &str) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !seen.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let count = stream.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "the client went away");
        seen.extend_from_slice(&buffer[..count]);
    }
    write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    String::from_utf8(seen).unwrap()
}

fn target(api: &str, key: &str) -> Target {
    Target { api: address(api, "a test").unwrap(), key: Secret::new(key.into()), origin: Origin::Environment }
}

fn status_of(target: Target) -> Result<dormouse_api::Status, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Session::new(target)?.call(client::server::status()).await })
}

fn write_server_file(data: &Path, text: &str) {
    fs::write(data.join(SERVER_FILE), text).unwrap();
}

#[test]
fn a_running_server_is_found_by_its_file() {
    let (api, server) = serve(vec![(200, r#"{"version":"0.1.0","endpoints":[]}"#)]);
    let data = tempfile::tempdir().unwrap();
    let pid = std::process::id();
    write_server_file(data.path(), &format!(r#"{{"api":"{api}","api_key":"dm_k","pid":{pid},"more":1}}"#));
    let found = find_with(Some(data.path()), |_| Some("http://not.used.example".into())).unwrap();
    assert_eq!(status_of(found).unwrap().version, "0.1.0");
    let request = server.join().unwrap().remove(0);
    assert!(request.starts_with("GET /api/v2/status HTTP/1.1\r\n"), "{request}");
    assert!(request.to_ascii_lowercase().contains("authorization: bearer dm_k\r\n"), "{request}");
}

#[test]
fn a_locked_project_is_tried_again() {
    let locked = r#"{"message":"another operation runs","code":"locked"}"#;
    let (api, server) = serve(vec![(423, locked), (200, r#"{"version":"2","endpoints":[]}"#)]);
    assert_eq!(status_of(target(&api, "k")).unwrap().version, "2");
    assert_eq!(server.join().unwrap().len(), 2);
}

#[test]
fn a_refusal_is_not_tried_again() {
    let (api, server) = serve(vec![(401, r#"{"message":"the API key is not valid","code":"bad-key"}"#)]);
    assert_eq!(status_of(target(&api, "k")).unwrap_err().class(), Class::Refused);
    assert_eq!(server.join().unwrap().len(), 1);
}

#[test]
fn environment_variables() {
    let with = |host: Option<&str>, key: Option<&str>| {
        let (host, key) = (host.map(str::to_owned), key.map(str::to_owned));
        find_with(None, move |name| if name == HOST_VARIABLE { host.clone() } else { key.clone() })
    };
    let found = with(Some("http://10.0.0.5:5480"), Some("dm_k")).unwrap();
    assert_eq!(found.api.as_str(), "http://10.0.0.5:5480/api/v2");
    let found = with(Some("https://db.example.com/x/api/v2/"), Some("dm_k")).unwrap();
    assert_eq!(found.api.as_str(), "https://db.example.com/x/api/v2");
    insta::assert_snapshot!(with(Some("http://h"), None).unwrap_err().report(), @r"
    error: DORMOUSE_API_HOST is set, but DORMOUSE_API_KEY is not
    hint: Make a key on the server's machine with `dormouse api-key create NAME`.
    ");
    insta::assert_snapshot!(with(Some("10.0.0.5:5480"), Some("k")).unwrap_err().report(), @r"
    error: `10.0.0.5:5480` in DORMOUSE_API_HOST is not the address of an API
      caused by: relative URL without a base
    hint: Write it like `http://127.0.0.1:5480/api/v2`.
    ");
}

/// The text of an error with the temporary directory taken out.
fn told(data: &Path, error: &Error) -> String {
    error.report().to_string().replace(&data.display().to_string(), "DATA")
}

#[test]
fn no_server_file() {
    let data = tempfile::tempdir().unwrap();
    let error = find(Some(data.path())).unwrap_err();
    assert_eq!(error.class(), Class::Unreachable);
    insta::assert_snapshot!(told(data.path(), &error), @r"
    error: no server runs on the data directory DATA
    hint: Start one with `dormouse up --data DATA`.
    hint: For a server elsewhere use `--data`, or DORMOUSE_API_HOST and DORMOUSE_API_KEY.
    ");
}

#[test]
fn a_damaged_server_file() {
    let data = tempfile::tempdir().unwrap();
    write_server_file(data.path(), "{}");
    let error = find(Some(data.path())).unwrap_err();
    insta::assert_snapshot!(told(data.path(), &error), @r"
    error: DATA/server.json is damaged
      caused by: missing field `api` at line 1 column 2
    hint: Restart the server; it writes the file anew.
    ");
}

#[test]
fn somebody_elses_server_file() {
    let data = tempfile::tempdir().unwrap();
    write_server_file(data.path(), "{}");
    let error = io::Error::from(io::ErrorKind::PermissionDenied);
    let path = data.path().join(SERVER_FILE);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    insta::assert_snapshot!(told(data.path(), &unreadable(data.path(), &path, error)), @r"
    error: you may not read DATA/server.json
    hint: Run this as the user who started the server, or ask them for an API key.
    hint: Then set DORMOUSE_API_HOST and DORMOUSE_API_KEY.
    ");
}

#[test]
fn a_server_that_has_ended() {
    let data = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // Beyond the largest process ID that Linux gives.
    write_server_file(
        data.path(),
        &format!(r#"{{"api":"http://127.0.0.1:{port}/api/v2","api_key":"k","pid":2147483646}}"#),
    );
    let error = status_of(find(Some(data.path())).unwrap()).unwrap_err();
    assert_eq!(error.class(), Class::Unreachable);
    insta::assert_snapshot!(told(data.path(), &error), @r"
    error: the server of DATA (process 2147483646) has ended
    hint: Start it again with `dormouse up --data DATA`.
    ");
}

#[test]
fn a_host_that_does_not_answer() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = status_of(target(&format!("http://127.0.0.1:{port}"), "k")).unwrap_err();
    assert_eq!(error.class(), Class::Unreachable);
    let text = error.report().to_string().replace(&port.to_string(), "PORT");
    insta::assert_snapshot!(text, @r"
    error: no server answers at http://127.0.0.1:PORT/api/v2
      caused by: Connection refused (os error 111)
    hint: Check DORMOUSE_API_HOST and that the server runs.
    ");
}
