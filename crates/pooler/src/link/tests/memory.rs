//! Texts are kept as long as somebody may need them, and no longer.

use dormouse_pgwire::backend::TxStatus;

use super::super::*;
use super::backend::message;
use crate::settings::Reported;

const LONG: usize = 1 << 20;

fn long_parse(name: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0select '{}'\0\0\0", "x".repeat(LONG)).as_bytes())
}

struct Pair {
    client: Client,
    server: Server,
    common: Common,
}

impl Pair {
    fn new() -> Self {
        let server = Server::new(TxStatus::Idle, Reported::new());
        Self { client: Client::default(), server, common: Common::new(10) }
    }

    fn up(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let sent = up(&mut self.client, &mut self.server, &mut self.common, bytes, &mut out).unwrap();
        if sent == Sent::AsItIs { bytes.to_vec() } else { out }
    }

    fn down(&mut self, bytes: &[u8]) {
        down(&mut self.client, &mut self.server, &mut self.common, bytes, &mut Vec::new()).unwrap();
    }
}

#[test]
fn what_a_failure_would_put_back_is_limited() {
    let mut pair = Pair::new();
    let parse = long_parse("");
    let mut sent = Vec::new();
    for n in 0..100 {
        assert!(n < 30, "the client waits for answers some time");
        sent = pair.up(&parse);
        if pair.client.is_stalled() {
            break;
        }
    }
    assert_eq!(sent, message(b'H', b""), "PostgreSQL says what it has");
    pair.down(&message(b'1', b"").repeat(pair.server.outstanding()));
    assert_eq!(pair.up(b""), parse);
    assert!(!pair.client.is_stalled());
    // The same for texts of simple queries that are looked at when they are over.
    let mut pair = Pair::new();
    let query = message(b'Q', format!("set a.b = '{}'\0", "x".repeat(LONG)).as_bytes());
    let mut said = 0;
    while !pair.client.is_stalled() {
        assert!(said < 30);
        pair.up(&query);
        said += 1;
    }
    for _ in 0..pair.server.outstanding() {
        pair.down(&[message(b'C', b"SET\0"), message(b'Z', b"I")].concat());
    }
    assert_eq!(pair.up(b""), query);
}

#[test]
fn what_is_closed_or_replaced_is_gone_here_and_on_the_backend() {
    let mut pair = Pair::new();
    for round in 0..3 {
        pair.up(&[long_parse("s"), message(b'S', b"")].concat());
        pair.down(&[message(b'1', b""), message(b'Z', b"I")].concat());
        assert_eq!(pair.server.prepared(), 1);
        let sent = pair.up(&[message(b'C', b"Ss\0"), message(b'S', b"")].concat());
        let close = message(b'C', format!("Sdormouse_{round}\0").as_bytes());
        assert_eq!(sent, [close, message(b'S', b"")].concat());
        let mut told = Vec::new();
        let reply = [message(b'3', b""), message(b'Z', b"I")].concat();
        down(&mut pair.client, &mut pair.server, &mut pair.common, &reply, &mut told).unwrap();
        assert_eq!(told, reply, "once");
        assert_eq!((pair.server.prepared(), pair.client.prepared()), (0, 0));
    }
    // An unnamed one that was used in a later series has a number on the backend, until it is replaced.
    pair.up(&[long_parse(""), message(b'S', b"")].concat());
    pair.down(&[message(b'1', b""), message(b'Z', b"I")].concat());
    pair.server = Server::new(TxStatus::Idle, Reported::new());
    pair.up(&[bind(""), message(b'S', b"")].concat());
    pair.down(&[message(b'1', b""), message(b'2', b""), message(b'Z', b"I")].concat());
    assert_eq!(pair.server.prepared(), 1);
    pair.up(&[message(b'P', b"\0select 1\0\0\0"), message(b'S', b"")].concat());
    assert_eq!(pair.server.prepared(), 0);
}

fn bind(name: &str) -> Vec<u8> {
    message(b'B', format!("\0{name}\0\0\0\0\0\0\0").as_bytes())
}

#[test]
fn what_is_parsed_again_is_limited_whatever_a_bind_says() {
    let mut pair = Pair::new();
    let set = message(b'P', b"z\0set timezone = 'UTC'\0\0\0");
    pair.up(&[long_parse("s"), set, message(b'S', b"")].concat());
    pair.down(&[message(b'1', b"").repeat(2), message(b'Z', b"I")].concat());
    // Each time the text may mean something else, so each Bind has this backend parse it anew.
    pair.server = Server::new(TxStatus::Idle, Reported::new());
    let round = [bind("z"), message(b'E', b"\0\0\0\0\0"), bind("s")].concat();
    let sent = pair.up(&round.repeat(100));
    assert!(pair.client.is_stalled() && sent.len() < 20 * LONG, "{} bytes", sent.len());
    assert!(sent.ends_with(&message(b'H', b"")), "PostgreSQL says what it has");
    let mut rounds = 0;
    while pair.client.is_stalled() {
        assert!(rounds < 10);
        rounds += 1;
        let replies: Vec<u8> = pair.server.expect.iter().flat_map(reply).collect();
        pair.down(&replies);
        assert!(pair.up(b"").len() < 20 * LONG);
    }
    assert!(rounds > 2, "all of it is said in the end");
}

/// What PostgreSQL says to what it was sent.
fn reply(expect: &expect::Expect) -> Vec<u8> {
    match expect {
        expect::Expect::Inject(_) => message(b'1', b""),
        expect::Expect::Evict(_) => message(b'3', b""),
        expect::Expect::Bind => message(b'2', b""),
        expect::Expect::Execute(..) => message(b'C', b"SET\0"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_text_over_the_limit_goes_through_alone() {
    let mut pair = Pair::new();
    let text = format!("s\0select '{}'\0\0\0", "x".repeat(20 * LONG));
    pair.up(&[message(b'P', text.as_bytes()), message(b'S', b"")].concat());
    pair.down(&[message(b'1', b""), message(b'Z', b"I")].concat());
    pair.server = Server::new(TxStatus::Idle, Reported::new());
    let both = [bind("s"), message(b'E', b"\0\0\0\0\0"), bind("s"), message(b'S', b"")].concat();
    let sent = pair.up(&both);
    assert!(pair.client.is_stalled() && sent.len() > 20 * LONG && sent.ends_with(&message(b'H', b"")));
    pair.down(&[message(b'1', b""), message(b'2', b""), message(b'C', b"SELECT 1\0")].concat());
    assert_eq!(pair.up(b""), [bind("dormouse_0"), message(b'S', b"")].concat());
    assert!(!pair.client.is_stalled());
}
