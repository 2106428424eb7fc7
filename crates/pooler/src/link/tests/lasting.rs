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
    assert!(matches!(after_loss(&mut pair.client, &mut pair.server, b"E"), Loss::Unnoticed));
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
    assert!(matches!(after_loss(&mut pair.client, &mut pair.server, b"E"), Loss::Unnoticed));
    pair.run("create temp table t(); listen a", &[("l", "a"), ("t", "t")]);
    assert!(!pair.server.can_be_rebuilt());
    assert_eq!(pair.server.unrebuildable(), Stateful::TEMP);
    assert!(matches!(after_loss(&mut pair.client, &mut pair.server, b"E"), Loss::Ends));
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
    assert!(matches!(after_loss(&mut pair.client, &mut pair.server, b"E"), Loss::Ends));
}

/// What the client says and hears nothing of before its backend ends; what it says then, to another one.
fn over_a_loss(lost: &[u8], then: &[u8]) -> String {
    let mut pair = Pair::new(false);
    pair.common.strict = true;
    let sync = message(b'S', b"");
    let up = |pair: &mut Pair, bytes: &[u8]| {
        let mut out = Vec::new();
        let sent = up(&mut pair.client, &mut pair.server, &mut pair.common, bytes, &mut out).unwrap();
        String::from_utf8(if sent == Sent::AsItIs { bytes.to_vec() } else { out }).unwrap()
    };
    up(&mut pair, &[parse("old"), sync.clone()].concat());
    pair.down(&[message(b'1', b""), message(b'Z', b"I")].concat());
    up(&mut pair, lost);
    let Loss::GoesOn { told, .. } = after_loss(&mut pair.client, &mut pair.server, b"E") else { panic!() };
    assert_eq!(told, [&b"E"[..], &message(b'Z', b"I")].concat());
    pair.server = Pair::backend();
    up(&mut pair, &[then, &sync].concat())
}

fn parse(name: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0select '{name}'\0\0\0").as_bytes())
}

#[test]
fn what_was_told_as_failed_has_not_happened() {
    let sync = message(b'S', b"");
    let [new, old] = ["new", "old"].map(|name| message(b'B', format!("\0{name}\0\0\0\0\0\0\0").as_bytes()));
    // Prepared again under the same name, it is parsed once.
    for before in [&b""[..], &parse("other")] {
        let sent =
            over_a_loss(&[before, &parse("new"), &sync].concat(), &[parse("new"), new.clone()].concat());
        assert_eq!(sent.matches("select 'new'").count(), 1);
    }
    // What was not closed after all is there.
    let execute = [message(b'B', b"\0\0\0\0\0\0\0\0"), message(b'E', b"\0\0\0\0\0")].concat();
    let extended =
        |text: &str| [message(b'P', format!("\0{text}\0\0\0").as_bytes()), execute.clone()].concat();
    for lost in [
        [message(b'C', b"Sold\0"), sync.clone()].concat(),
        message(b'Q', b"select 1; deallocate all\0"),
        [extended("deallocate all"), sync.clone()].concat(),
        [extended("deallocate old"), sync.clone()].concat(),
        [message(b'C', b"Sold\0"), parse("old"), parse(""), sync.clone()].concat(),
    ] {
        assert_eq!(over_a_loss(&lost, &old).matches("select 'old'").count(), 1);
    }
}
