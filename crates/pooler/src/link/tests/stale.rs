//! A statement returns what its client was told, or it is told that it does not.

use super::*;

/// One client, and two backends that it may get.
pub(super) struct Pool {
    pub(super) client: Client,
    pub(super) servers: [Server; 2],
    common: Common,
}

impl Pool {
    pub(super) fn new() -> Self {
        let server = || Server::new(TxStatus::Idle, Reported::new());
        let client = Client::new(Settings::default(), Reported::new(), false);
        Self { client, servers: [server(), server()], common: Common::new(10) }
    }

    /// What a backend gets.
    pub(super) fn up(&mut self, at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let sent = up(&mut self.client, &mut self.servers[at], &mut self.common, bytes, &mut out).unwrap();
        if sent == Sent::AsItIs { bytes.to_vec() } else { out }
    }

    /// What the client gets.
    pub(super) fn down(&mut self, at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let got = down(&mut self.client, &mut self.servers[at], &mut self.common, bytes, &mut out).unwrap();
        if got.as_it_is { bytes.to_vec() } else { out }
    }

    /// It prepares a statement on the first backend, and is told what that returns.
    fn prepare(&mut self, name: &str, columns: &[u8]) -> Vec<u8> {
        let say = [parse(name), describe(name), message(b'S', b"")].concat();
        let sent = self.up(0, &say);
        let told = [ok(b'1'), ok(b't'), columns.to_vec(), ready()].concat();
        assert_eq!(self.down(0, &told), told);
        sent
    }
}

pub(super) fn ok(tag: u8) -> Vec<u8> {
    message(tag, if tag == b't' { b"\0\0" } else { b"" })
}

pub(super) fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

fn parse(name: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0select * from t\0\0\0").as_bytes())
}

pub(super) fn describe(name: &str) -> Vec<u8> {
    message(b'D', format!("S{name}\0").as_bytes())
}

fn bind(name: &str) -> Vec<u8> {
    message(b'B', format!("\0{name}\0\0\0\0\0\0\0").as_bytes())
}

pub(super) fn series(name: &str) -> Vec<u8> {
    [bind(name), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat()
}

/// A RowDescription of one column of this type.
fn columns(kind: u8) -> Vec<u8> {
    message(b'T', &[&b"\0\x01a\0\0\0\0\x07\0\x01\0\0\0"[..], &[kind], b"\0\x04\xff\xff\xff\xff\0\0"].concat())
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

/// It executes one that was bound, having asked what its portal returns, as psycopg does.
fn by_portal(name: &str) -> Vec<u8> {
    let rest = [message(b'D', b"P\0"), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")];
    [bind(name), rest.concat()].concat()
}

#[test]
fn what_we_have_asked_is_not_parsed_once_more() {
    let mut pool = Pool::new();
    let done = [ok(b'2'), columns(23), message(b'C', b"SELECT 0\0"), ready()].concat();
    let sent = pool.up(0, &[parse("s"), by_portal("s")].concat());
    assert_eq!(sent, [parse("dormouse_0"), by_portal("dormouse_0")].concat());
    pool.down(0, &[ok(b'1'), done.clone()].concat());
    // Here we ask, and so learn that it has no parameters: true of what the first backend has, too.
    pool.up(1, &by_portal("s"));
    assert_eq!(pool.down(1, &[ok(b'1'), ok(b't'), columns(23)].concat()), b"");
    pool.up(1, b"");
    assert_eq!(pool.down(1, &done), done);
    for at in [1, 0] {
        assert_eq!(pool.up(at, &by_portal("s")), by_portal("dormouse_0"));
        assert_eq!(pool.down(at, &done), done);
    }
}

#[test]
fn another_backend_is_asked_once() {
    let mut pool = Pool::new();
    pool.prepare("s", &columns(23));
    let flush = message(b'H', b"");
    assert_eq!(
        pool.up(1, &series("s")),
        [parse("dormouse_0"), describe("dormouse_0"), flush].concat(),
        "the Bind waits"
    );
    assert!(pool.client.is_stalled());
    assert_eq!(pool.down(1, &[ok(b'1'), ok(b't')].concat()), b"");
    assert_eq!(pool.up(1, b""), b"", "not all is known yet");
    assert_eq!(pool.down(1, &columns(23)), b"");
    assert_eq!(pool.up(1, b""), series("dormouse_0"));
    let done = [ok(b'2'), message(b'C', b"SELECT 0\0"), ready()].concat();
    assert_eq!(pool.down(1, &done), done);
    assert!(pool.servers[1].is_free(&pool.client));
    assert_eq!(pool.up(1, &series("s")), series("dormouse_0"), "known");
    // Where it was prepared nobody is asked, nor for those that nobody described.
    pool.down(1, &done);
    assert_eq!(pool.up(0, &series("s")), series("dormouse_0"));
}

#[test]
fn what_it_was_not_told_it_does_not_get() {
    let mut pool = Pool::new();
    pool.prepare("s", &columns(23));
    for _again in 0..2 {
        pool.up(1, &series("s"));
        if pool.client.is_stalled() {
            pool.down(1, &[ok(b'1'), ok(b't'), columns(25)].concat());
            assert_eq!(pool.up(1, b""), series("dormouse_none"));
        }
        let error = message(b'E', b"SERROR\0VERROR\0C26000\0Mnone\0\0");
        let told = pool.down(1, &[error, ready()].concat());
        assert!(contains(
            &told,
            b"C0A000\0Mcached plan must not change result type\0RRevalidateCachedQuery\0\0Z"
        ));
        assert!(pool.servers[1].is_free(&pool.client));
    }
    // It prepares anew: that is another statement, which is as it is told.
    let sent = pool.prepare("t", &columns(25));
    assert_eq!(sent, [parse("dormouse_1"), describe("dormouse_1"), message(b'S', b"")].concat());
    pool.up(1, &series("t"));
    pool.down(1, &[ok(b'1'), ok(b't'), columns(25)].concat());
    assert_eq!(pool.up(1, b""), series("dormouse_1"));
}

#[test]
fn what_another_was_told_there_is_not_what_it_was_told() {
    let mut pool = Pool::new();
    let mut other = Client::new(Settings::default(), Reported::new(), false);
    // Two clients at the same time; between the two the table has changed by another way.
    std::mem::swap(&mut pool.client, &mut other);
    let sent = pool.up(1, &[parse("q"), describe("q"), series("q")].concat());
    assert_eq!(sent, [parse("dormouse_0"), describe("dormouse_0"), series("dormouse_0")].concat());
    std::mem::swap(&mut pool.client, &mut other);
    pool.prepare("s", &columns(23));
    std::mem::swap(&mut pool.client, &mut other);
    let done = [ok(b'2'), message(b'C', b"SELECT 0\0"), ready()].concat();
    pool.down(1, &[ok(b'1'), ok(b't'), columns(25), done.clone()].concat());
    std::mem::swap(&mut pool.client, &mut other);
    let asks = |number: u8| {
        let name = format!("dormouse_{number}");
        [parse(&name), describe(&name), message(b'H', b"")].concat()
    };
    let sent = pool.up(1, &series("s"));
    assert_eq!(sent, [message(b'C', b"Sdormouse_0\0"), asks(0)].concat());
    pool.down(1, &[ok(b'3'), ok(b'1'), ok(b't'), columns(25)].concat());
    assert_eq!(pool.up(1, b""), series("dormouse_none"));
    pool.down(1, &[message(b'E', b"SERROR\0VERROR\0C26000\0Mnone\0\0"), ready()].concat());
    // The other goes on with what it knows, wherever that is parsed.
    pool.client = other;
    for at in 0..2 {
        assert_eq!(pool.up(at, &series("q")), asks(1));
        assert_eq!(pool.down(at, &[ok(b'1'), ok(b't'), columns(25)].concat()), b"");
        assert_eq!(pool.up(at, b""), series("dormouse_1"));
        assert_eq!(pool.down(at, &done), done);
    }
}

#[test]
fn who_never_asks_does_not_get_what_another_was_told() {
    for (kind, number) in [(23, 0), (25, 1)] {
        let mut pool = Pool::new();
        pool.prepare("s", &columns(23));
        pool.client = Client::new(Settings::default(), Reported::new(), false);
        let sent = pool.up(1, &[parse("q"), series("q")].concat());
        assert_eq!(sent, [parse("dormouse_0"), describe("dormouse_0"), series("dormouse_0")].concat());
        let done = [ok(b'2'), message(b'C', b"SELECT 0\0"), ready()].concat();
        let told = pool.down(1, &[ok(b'1'), ok(b't'), columns(kind), done.clone()].concat());
        assert_eq!(told, [ok(b'1'), done].concat());
        let name = format!("dormouse_{number}");
        let sent = pool.up(1, &series("q"));
        let anew = [parse(&name), describe(&name), message(b'H', b"")].concat();
        assert_eq!(sent, if number == 0 { series(&name) } else { anew });
    }
}

#[test]
fn who_cannot_be_asked_says_why() {
    let mut pool = Pool::new();
    pool.prepare("s", &columns(23));
    pool.up(1, &series("s"));
    let gone = message(b'E', b"SERROR\0VERROR\0C42P01\0Mgone\0\0");
    assert_eq!(pool.down(1, &gone), gone);
    assert_eq!(pool.up(1, b""), message(b'S', b""), "the rest of its series is not read");
    assert_eq!(pool.down(1, &ready()), ready());
    // The table is there again.
    assert!(contains(&pool.up(1, &series("s")), b"select * from t"));
}

#[test]
fn what_is_defined_and_rolled_back_makes_texts_new() {
    for (say, told) in [
        ("create type k as enum ()", &[("CREATE TYPE\0", true)][..]),
        ("begin", &[("BEGIN\0", false), ("CREATE TYPE\0", true), ("ROLLBACK\0", true)]),
        ("begin", &[("BEGIN\0", false), ("INSERT 0 1\0", false), ("ROLLBACK\0", false)]),
    ] {
        let mut pool = Pool::new();
        pool.prepare("first", &columns(23));
        let mut number = 0;
        for (tag, new) in told {
            pool.up(0, &message(b'Q', format!("{say}\0").as_bytes()));
            let open = say == "begin" && !tag.starts_with("ROLLBACK");
            let ready = message(b'Z', if open { b"T" } else { b"I" });
            pool.down(0, &[message(b'C', tag.as_bytes()), ready.clone()].concat());
            number += u32::from(*new);
            let sent = pool.up(0, &[parse(tag.trim_end_matches('\0')), message(b'S', b"")].concat());
            assert_eq!(contains(&sent, format!("dormouse_{number}\0").as_bytes()), *new, "{tag}");
            let parsed = if *new { ok(b'1') } else { Vec::new() };
            pool.down(0, &[parsed, ready].concat());
        }
    }
}

#[test]
fn so_does_what_is_defined_in_a_transaction_that_its_client_leaves() {
    for closed in [false, true] {
        let mut pool = Pool::new();
        for (text, tag) in [("begin", "BEGIN\0"), ("alter table t add b int", "ALTER TABLE\0")] {
            pool.up(0, &message(b'Q', format!("{text}\0").as_bytes()));
            pool.down(0, &[message(b'C', tag.as_bytes()), message(b'Z', b"T")].concat());
        }
        // As the table is in there.
        pool.up(0, &[parse("s"), describe("s"), message(b'S', b"")].concat());
        pool.down(0, &[ok(b'1'), ok(b't'), columns(23), message(b'Z', b"T")].concat());
        if closed {
            pool.common.closed(&pool.servers[0]);
        } else {
            roll_back(&mut pool.servers[0]);
            pool.down(0, &[message(b'C', b"ROLLBACK\0"), ready()].concat());
        }
        for at in usize::from(closed)..2 {
            pool.client = Client::new(Settings::default(), Reported::new(), false);
            let sent = pool.up(at, &[parse("s"), message(b'S', b"")].concat());
            assert!(sent.starts_with(&parse("dormouse_1")), "{closed} {at}");
            pool.down(at, &[ok(b'1'), ready()].concat());
        }
    }
}
