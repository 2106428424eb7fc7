//! What a client has beyond its transactions, and what becomes of it when its backend ends.

use dormouse_pgwire::backend::TxStatus;

use super::super::*;
use super::backend::message;
use crate::settings::{Reported, Settings};

/// What PostgreSQL would call its process.
const PID: u32 = 77;

/// What the client was told instead.
const TOLD: u32 = 1 << 30;

struct Pair {
    client: Client,
    server: Server,
    common: Common,
}

impl Pair {
    fn new(keeps: bool) -> Self {
        Self {
            client: Client::new(Settings::default(), Reported::new(), keeps).with_pid(TOLD),
            server: Self::backend(),
            common: Common::new(10),
        }
    }

    fn backend() -> Server {
        Server::new(TxStatus::Idle, Reported::new()).with_pid(PID)
    }

    fn down(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let got = down(&mut self.client, &mut self.server, &mut self.common, bytes, &mut out).unwrap();
        if got.as_it_is { bytes.to_vec() } else { out }
    }

    /// A simple query, and then the question that follows, answered with these rows.
    fn run(&mut self, sql: &str, found: &[(&str, &str)]) {
        let query = message(b'Q', format!("{sql}\0").as_bytes());
        up(&mut self.client, &mut self.server, &mut self.common, &query, &mut Vec::new()).unwrap();
        self.down(&[message(b'C', b"LISTEN\0"), message(b'Z', b"I")].concat());
        assert!(self.server.must_ask());
        let _asked = inspect(&self.client, &mut self.server);
        for (kind, name) in found {
            let mut row = vec![0, 3];
            for text in [kind, name, &""] {
                row.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
                row.extend_from_slice(text.as_bytes());
            }
            self.down(&message(b'D', &row));
        }
        self.down(&message(b'Z', b"I"));
    }
}

fn notification(pid: u32) -> Vec<u8> {
    message(b'A', &[&pid.to_be_bytes()[..], b"news\0hello\0"].concat())
}

#[test]
fn own_notifications_come_from_the_number_the_client_was_told() {
    let mut pair = Pair::new(false);
    let stream = [notification(PID), notification(5), notification(PID)].concat();
    let wanted = [notification(TOLD), notification(5), notification(TOLD)].concat();
    for cut in 0..stream.len() {
        let mut got = pair.down(&stream[..cut]);
        got.extend(pair.down(&stream[cut..]));
        assert_eq!(got, wanted, "cut at {cut}");
    }
}

#[test]
fn statements_are_counted_where_they_are_prepared() {
    let mut pair = Pair::new(false);
    let parse = message(b'P', b"s\0select 1\0\0\0");
    let bind = message(b'B', b"\0s\0\0\0\0\0\0\0");
    let input = [parse, bind, message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat();
    for _ in 0..2 {
        pair.client = Client::new(Settings::default(), Reported::new(), false);
        up(&mut pair.client, &mut pair.server, &mut pair.common, &input, &mut Vec::new()).unwrap();
        let parsed =
            if pair.common.counters.client_parse_count == 1 { message(b'1', b"") } else { Vec::new() };
        pair.down(&[parsed, message(b'2', b""), message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat());
    }
    let counters = pair.common.counters;
    assert_eq!((counters.client_parse_count, counters.server_parse_count, counters.bind_count), (2, 1, 2));
}

#[test]
fn channels_are_listened_on_again() {
    let mut pair = Pair::new(false);
    pair.run("listen a; listen \"B\"\"\"", &[("l", "a"), ("l", "B\"")]);
    assert!(!pair.server.is_free(&pair.client) && pair.server.can_be_rebuilt());
    assert!(matches!(after_loss(&pair.client, &pair.server, b"E"), Loss::Unnoticed));
    assert_eq!(replay(&pair.client, &mut pair.server), None, "it listens already");
    pair.server = Pair::backend();
    let sent = replay(&pair.client, &mut pair.server).unwrap();
    assert_eq!(&sent[5..sent.len() - 1], b"LISTEN \"a\"; LISTEN \"B\"\"\"");
    pair.down(&message(b'Z', b"I"));
    assert!(!pair.server.is_free(&pair.client), "it has channels there now");
    pair.run("unlisten *", &[]);
    assert!(pair.client.channels().is_empty() && pair.server.is_free(&pair.client));
}

#[test]
fn what_cannot_be_had_again_ends_with_the_backend() {
    let mut pair = Pair::new(true);
    assert!(matches!(after_loss(&pair.client, &pair.server, b"E"), Loss::Unnoticed));
    pair.run("create temp table t(); listen a", &[("l", "a"), ("t", "t")]);
    assert!(!pair.server.can_be_rebuilt());
    assert_eq!(pair.server.unrebuildable(), Stateful::TEMP);
    assert!(matches!(after_loss(&pair.client, &pair.server, b"E"), Loss::Ends));
    let mut unreadable = Pair::new(true);
    unreadable.run("listen x", &[("l", "\u{fffd}")]);
    assert!(!unreadable.server.can_be_rebuilt(), "a channel whose name is not known");
}

#[test]
fn before_the_backend_was_asked_nothing_can_be_promised() {
    let mut pair = Pair::new(false);
    let query = message(b'Q', b"listen a\0");
    up(&mut pair.client, &mut pair.server, &mut pair.common, &query, &mut Vec::new()).unwrap();
    pair.down(&[message(b'C', b"LISTEN\0"), message(b'Z', b"I")].concat());
    assert!(pair.server.must_ask() && !pair.server.can_be_rebuilt());
    assert!(matches!(after_loss(&pair.client, &pair.server, b"E"), Loss::Ends));
}
