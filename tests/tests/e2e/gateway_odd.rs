//! What browsers and drivers do not do: clients of the database over HTTP and WebSocket that are broken, or mean harm.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_tests::Server;
use serde_json::{Value, json};

/// What a request of 60 MB may cost the server for a moment, MB: it holds it whole, and a buffer that grows is there twice.
const MAY_COST: u64 = 260;

struct Front {
    server: Server,
    address: String,
}

impl Front {
    fn start() -> Self {
        let server = Server::start(&[]);
        let base = server.ready()["console"].as_str().unwrap().trim_end_matches('/').to_owned();
        Self { address: base.trim_start_matches("http://").to_owned(), server }
    }

    fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(&self.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        socket
    }

    /// Status and body of a request.
    fn sql(&self, more: &str, body: &[u8]) -> (u16, Value) {
        let mut socket = self.connect();
        let head = format!(
            "POST /sql HTTP/1.1\r\nHost: x\r\nConnection: close\r\nNeon-Connection-String: {}\r\n{more}\
             Content-Length: {}\r\n\r\n",
            self.server.dsn(),
            body.len()
        );
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(body).unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {text}")))
    }

    /// Statements of the owner that run, apart from the one that asks.
    fn busy(&self) -> i64 {
        let query = "select count(*)::int n from pg_stat_activity where usename = 'app_owner' \
            and pid <> pg_backend_pid() and state = 'active'";
        self.sql("", json!({ "query": query }).to_string().as_bytes()).1["rows"][0]["n"].as_i64().unwrap()
    }

    fn until_busy(&self, wanted: i64) {
        let start = Mono::now();
        while self.busy() != wanted {
            assert!(start.elapsed() < Duration::from_secs(20), "{} instead of {wanted} run", self.busy());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn peak_mb(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn a_request_of_nothing_but_commas_costs_no_more_than_itself() {
    let front = Front::start();
    let (status, one) = front.sql("", br#"{"query":"select $1::int + $2::int as v","params":[40,"2"]}"#);
    assert_eq!((status, &one["rows"]), (200, &json!([{ "v": 42 }])));
    let before = peak_mb(&front.server);
    let zeros = "0,".repeat(30_000_000);
    let empty = r#"{"query":""},"#.repeat(4_600_000);
    for (body, wanted) in [
        (format!(r#"{{"query":"select 1","params":[{zeros}0]}}"#), "more than 65535 parameters"),
        (format!(r#"{{"queries":[{empty}{{"query":""}}]}}"#), "more than 1000 queries"),
    ] {
        let (status, told) = front.sql("", body.as_bytes());
        assert_eq!(status, 400, "{told}");
        assert!(told["message"].as_str().unwrap().contains(wanted), "{told}");
    }
    let cost = peak_mb(&front.server) - before;
    assert!(cost < MAY_COST, "{cost} MB");
    // A list is no statement, and what is compressed is told so whatever its type is said to be.
    assert_eq!(front.sql("", br#"["select 1"]"#).0, 400);
    assert_eq!(front.sql("Content-Encoding: gzip\r\n", b"{}").0, 415);
    assert_eq!(front.sql("", br#"{"query":"select 1"}"#).0, 200);
}

/// The frames of a WebSocket, as far as they are needed here.
struct Ws(TcpStream);

impl Ws {
    fn open(front: &Front) -> Self {
        let mut socket = front.connect();
        socket
            .write_all(
                b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            )
            .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        Self(socket)
    }

    /// A frame with a mask of zeros, which changes nothing.
    fn send(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = vec![0x80 | opcode, 0xfe];
        frame.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        self.0.write_all(&frame).unwrap();
    }

    /// All that comes until the end.
    fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        self.0.read_to_end(&mut all).unwrap();
        all
    }
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = if tag == 0 { Vec::new() } else { vec![tag] };
    out.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    out.extend_from_slice(body);
    out
}

/// Everything that the official driver sends at once, and a statement.
fn greeting(front: &Front, sql: &str) -> Vec<u8> {
    let body = [&[0, 3, 0, 0][..], b"user\0app_owner\0database\0app\0\0"].concat();
    let password = format!("{}\0", front.server.password());
    let sql = format!("{sql}\0");
    [message(0, &body), message(b'p', password.as_bytes()), message(b'Q', sql.as_bytes())].concat()
}

#[test]
fn who_leaves_a_websocket_takes_the_statement_along() {
    let front = Front::start();
    let mut sockets: Vec<Ws> = (0..2).map(|_| Ws::open(&front)).collect();
    for socket in &mut sockets {
        socket.send(2, &greeting(&front, "select pg_sleep(60)"));
    }
    front.until_busy(2);
    // One says that it goes, the other one does not.
    sockets[0].send(8, &1000_u16.to_be_bytes());
    let start = Mono::now();
    drop(sockets);
    front.until_busy(0);
    assert!(start.elapsed() < Duration::from_secs(30), "cancelled, not waited for");
}

#[test]
fn a_whole_session_in_one_frame_ends_without_a_complaint() {
    let front = Front::start();
    let mut socket = Ws::open(&front);
    socket.send(2, &[greeting(&front, "select 42"), message(b'X', b"")].concat());
    let said = socket.rest();
    let has = |what: &[u8]| said.windows(what.len()).any(|w| w == what);
    assert!(has(b"SELECT 1\0"), "{}", String::from_utf8_lossy(&said));
    assert!(!has(b"FATAL"), "it was no crash: {}", String::from_utf8_lossy(&said));
}

#[test]
fn those_who_say_nothing_do_not_keep_others_out() {
    let front = Front::start();
    let start = Mono::now();
    let mut silent: Vec<TcpStream> = Vec::new();
    for n in 0..1_000 {
        let mut socket = front.connect();
        // Half of them begin, and never end.
        if n % 2 == 0 {
            socket.write_all(b"POST /sql HTTP/1.1\r\nHost: x\r\n").unwrap();
        }
        silent.push(socket);
    }
    // The places are all taken now; those who came last have to leave first.
    assert_eq!(front.sql("", br#"{"query":"select 1"}"#).0, 200);
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
}
