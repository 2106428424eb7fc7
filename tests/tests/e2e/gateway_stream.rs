//! Results over HTTP that are too large to be held back: they flow as fast as they are read, cost the server next to no
//! memory, and are never taken for whole when they are not.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_tests::{Server, note};
use serde_json::{Value, json};

use crate::pool_house::House;

/// Memory that the server may need for one large result: what it holds back, what is under way, and what the
/// allocator keeps, MB.
const MAY_GROW: u64 = 32;

fn address(server: &Server) -> String {
    let base = server.ready()["console"].as_str().unwrap().trim_end_matches('/').to_owned();
    base.trim_start_matches("http://").to_owned()
}

/// Who is asked, and as whom.
#[derive(Clone, Copy)]
struct At<'a>(&'a Server, &'a str);

/// Sends a request of `/sql` and leaves the answer to be read.
fn ask(at: At<'_>, query: &str, more: &str) -> TcpStream {
    ask_all(at, &json!({ "query": query }), more)
}

fn ask_all(At(server, dsn): At<'_>, body: &Value, more: &str) -> TcpStream {
    let body = body.to_string();
    let mut socket = TcpStream::connect(address(server)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!(
        "POST /sql HTTP/1.1\r\nHost: x\r\nConnection: close\r\nNeon-Connection-String: {dsn}\r\n{more}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(head.as_bytes()).unwrap();
    socket
}

/// Takes the pieces out of an answer that comes in pieces; tells whether it had an end.
struct Pieces<R> {
    from: R,
    head: String,
    left: usize,
    ended: bool,
}

impl<R: Read> Pieces<R> {
    fn new(mut from: R) -> Self {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            from.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200") && head.contains("transfer-encoding: chunked"), "{head}");
        Self { from, head, left: 0, ended: false }
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.from.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&line).trim().to_owned())
    }
}

impl<R: Read> Read for Pieces<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.left == 0 && !self.ended {
            let line = self.line()?;
            if !line.is_empty() {
                self.left = usize::from_str_radix(&line, 16).unwrap();
                self.ended = self.left == 0;
            }
        }
        let most = buffer.len().min(self.left);
        let count = self.from.read(&mut buffer[..most])?;
        if count == 0 && most > 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count;
        Ok(count)
    }
}

/// One value of a short query.
fn value(at: At<'_>, query: &str) -> Value {
    let mut text = String::new();
    ask(at, query, "").read_to_string(&mut text).unwrap();
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    let answer: Value = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {text}"));
    answer["rows"][0]["v"].clone()
}

/// Waits until no statement of the owner runs but the one that asks.
fn until_quiet(at: At<'_>) {
    let start = Mono::now();
    let query = "select count(*)::int v from pg_stat_activity where usename = 'app_owner' \
        and pid <> pg_backend_pid() and state <> 'idle'";
    while value(at, query) != 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "a statement goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn resident_mb(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn large_results_flow_and_the_server_does_not_grow() {
    // One of its own, as its memory is looked at.
    let server = Server::start(&[]);
    let at = At(&server, server.dsn());
    value(at, "select 1 as v");
    two_hundred_megabytes_come_whole(at);
    who_does_not_read_stops_postgresql(at);
    server.assert_clean_log(&[]);
}

fn two_hundred_megabytes_come_whole(at: At<'_>) {
    let At(server, _) = at;
    let before = resident_mb(server);
    let start = Mono::now();
    let rows = 25_000;
    let query = format!("select g, repeat('dormouse', 1000) as t from generate_series(1, {rows}) g");
    let mut pieces = Pieces::new(std::io::BufReader::new(ask(at, &query, "")));
    let (mut buffer, mut bytes, mut highest) = (vec![0; 1 << 20], 0, 0);
    let (mut first, mut last) = (Vec::new(), Vec::new());
    loop {
        let count = pieces.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        if first.len() < 200 {
            first.extend_from_slice(&buffer[..count]);
        }
        last.extend_from_slice(&buffer[..count]);
        last.drain(..last.len().saturating_sub(200));
        if bytes / (8 << 20) != (bytes + count) / (8 << 20) {
            highest = highest.max(resident_mb(server));
        }
        bytes += count;
    }
    assert!(pieces.ended && bytes > 200_000_000, "{bytes}");
    let (first, last) = (String::from_utf8_lossy(&first), String::from_utf8_lossy(&last));
    assert!(first.starts_with(r#"{"fields":[{"name":"g","#), "{}", &first[..200]);
    assert!(
        last.ends_with(r#"dormouse"}],"command":"SELECT","rowCount":25000,"rowAsArray":false}"#),
        "{last}"
    );
    note(&format!("{bytes} bytes in {:?}: {before} MB before, at most {highest} MB", start.elapsed()));
    assert!(highest < before + MAY_GROW, "{before} MB before, {highest} MB");
    until_quiet(at);
}

fn who_does_not_read_stops_postgresql(at: At<'_>) {
    let At(server, _) = at;
    let before = resident_mb(server);
    let query = "select repeat('x', 8000) as t from generate_series(1, 1000000) g";
    let mut clients: Vec<_> = (0..3).map(|_| Pieces::new(ask(at, query, ""))).collect();
    let waiting =
        "select count(*)::int v from pg_stat_activity where wait_event = 'ClientWrite' and state = 'active'";
    let start = Mono::now();
    while value(at, waiting) != 3 {
        assert!(start.elapsed() < Duration::from_secs(30), "PostgreSQL does not stop");
        std::thread::sleep(Duration::from_millis(20));
    }
    let after = resident_mb(server);
    assert!(after < before + 2 * MAY_GROW, "{before} MB before, {after} MB with three that do not read");
    // It goes on where it stopped.
    let mut some = vec![0; 20 << 20];
    clients[0].read_exact(&mut some).unwrap();
    assert!(some.ends_with(b"x") || some.ends_with(b"}") || some.ends_with(b"\""), "rows follow rows");
    let before =
        value(at, "select count(*)::int v from pg_stat_activity where backend_type = 'client backend'");
    drop(clients);
    until_quiet(at);
    let after =
        value(at, "select count(*)::int v from pg_stat_activity where backend_type = 'client backend'");
    assert_eq!(before, after, "their backends are of use again");
}

#[test]
fn a_late_error_is_no_result() {
    let house = House::new();
    let at = At(&house.server, house.direct());
    value(at, "select 1 as v");
    let late = |size: u32, rows: u32| {
        format!(
            "select repeat(md5(g::text), {size}) as t, 1 / ({rows} - g) as n from generate_series(1, {rows}) g"
        )
    };
    // Within what is held back: an ordinary error, with a status and a code.
    let mut text = String::new();
    ask(at, &late(20, 10_000), "").read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 400") && text.contains(r#""code":"22012""#), "{}", &text[..500]);
    // Beyond it: no end, neither of the document nor of the transfer.
    for more in ["", "Accept-Encoding: gzip\r\n"] {
        let mut pieces = Pieces::new(std::io::BufReader::new(ask(at, &late(50, 10_000), more)));
        assert_eq!(pieces.head.contains("content-encoding: gzip"), !more.is_empty());
        let mut all = Vec::new();
        let error = pieces.read_to_end(&mut all).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
        if more.is_empty() {
            assert!(all.len() > 8 << 20, "{}", all.len());
            assert!(serde_json::from_slice::<Value>(&all).is_err());
        } else {
            let read = flate2::read::GzDecoder::new(&all[..]).read_to_end(&mut Vec::new());
            assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
        }
        until_quiet(at);
    }
    assert!(house.server.log().contains("a result over HTTP breaks off"), "the operator is told why");
    // Compressed and whole.
    let query = "select repeat(md5(g::text), 50) as t from generate_series(1, 10000) g";
    let pieces = Pieces::new(std::io::BufReader::new(ask(at, query, "Accept-Encoding: gzip\r\n")));
    let answer: Value = serde_json::from_reader(flate2::read::GzDecoder::new(pieces)).unwrap();
    assert_eq!((answer["rows"].as_array().unwrap().len(), &answer["rowCount"]), (10_000, &json!(10_000)));
    house.assert_clean_log();
}

#[test]
fn a_batch_that_is_large_and_fails_at_its_end_is_rolled_back() {
    let house = House::new();
    let at = At(&house.server, house.direct());
    value(at, "create table kept (n int)");
    let large = "select repeat(md5(g::text), 50) as t from generate_series(1, 10000) g";
    let mut results = Vec::new();
    for last in ["select 1 / 0", "select 1"] {
        let queries = [
            json!({ "query": "insert into kept values (1)" }),
            json!({ "query": large }),
            json!({ "query": last }),
        ];
        let socket = ask_all(at, &json!({ "queries": queries }), "");
        let mut all = Vec::new();
        let read = Pieces::new(std::io::BufReader::new(socket)).read_to_end(&mut all);
        let kept = value(at, "select count(*)::int v from kept");
        results.push((read.is_ok(), serde_json::from_slice::<Value>(&all).is_ok(), kept));
    }
    assert_eq!(results, [(false, false, json!(0)), (true, true, json!(1))]);
    house.assert_clean_log();
}

#[test]
fn a_gigabyte_ends_at_the_limit() {
    let house = House::new();
    let at = At(&house.server, house.direct());
    let pid = value(at, "select pg_backend_pid() as v");
    let start = Mono::now();
    let query = "select repeat('x', 1000000) as t from generate_series(1, 1000)";
    let mut pieces = Pieces::new(ask(at, query, ""));
    let (mut buffer, mut bytes) = (vec![0; 1 << 20], 0);
    let error = loop {
        match pieces.read(&mut buffer) {
            Ok(count) => bytes += count,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    assert!((500 << 20..=512 << 20).contains(&bytes), "{bytes}");
    note(&format!("{bytes} bytes of a gigabyte in {:?}", start.elapsed()));
    until_quiet(at);
    let there = value(at, &format!("select count(*)::int as v from pg_stat_activity where pid = {pid}"));
    assert_eq!(there, 1, "its backend is of use again");
    house.assert_clean_log();
}
