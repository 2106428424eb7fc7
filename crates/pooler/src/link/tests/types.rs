//! The parameters of a statement have the types that its client was told, wherever it runs.

use super::stale::*;
use super::*;

const INT4: u8 = 23;
const FLOAT4: u8 = 0xbc;

/// A ParameterDescription, or what a Parse says behind the text.
fn one(kind: u8) -> Vec<u8> {
    vec![0, 1, 0, 0, if kind == FLOAT4 { 2 } else { 0 }, kind]
}

fn types(kind: u8) -> Vec<u8> {
    message(b't', &one(kind))
}

fn no_data() -> Vec<u8> {
    message(b'n', b"")
}

fn insert(name: &str, kind: Option<u8>) -> Vec<u8> {
    let types = kind.map_or_else(|| vec![0, 0], one);
    message(b'P', &[format!("{name}\0insert into t values ($1)\0").as_bytes(), &types].concat())
}

fn sync() -> Vec<u8> {
    message(b'S', b"")
}

fn close(name: &str) -> Vec<u8> {
    message(b'C', format!("S{name}\0").as_bytes())
}

fn flush() -> Vec<u8> {
    message(b'H', b"")
}

/// It prepares that on a backend, and is told what its parameter is.
fn prepares(pool: &mut Pool, at: usize, name: &str, kind: u8) -> Vec<u8> {
    let sent = pool.up(at, &[insert(name, None), describe(name), sync()].concat());
    let told = [types(kind), no_data()].concat();
    let parsed = if sent[0] == b'P' { ok(b'1') } else { Vec::new() };
    // Where others were told something, we ask as well.
    let asked = told.repeat(again::tags(&sent).matches('D').count());
    let got = pool.down(at, &[parsed, asked, ready()].concat());
    assert_eq!(got, [ok(b'1'), told, ready()].concat());
    sent
}

/// The backend has parsed it for the client, and says what it is.
fn is_asked(pool: &mut Pool, at: usize, before: &str, kind: u8) {
    assert!(pool.client.is_stalled());
    let replies = before.bytes().flat_map(ok).collect::<Vec<_>>();
    assert_eq!(pool.down(at, &[replies, types(kind), no_data()].concat()), b"");
}

fn runs(pool: &mut Pool, at: usize) {
    let done = [ok(b'2'), message(b'C', b"INSERT 0 1\0"), ready()].concat();
    assert_eq!(pool.down(at, &done), done);
    assert!(pool.servers[at].is_free(&pool.client));
}

fn another(pool: &mut Pool) -> Client {
    let new = Client::new(Settings::default(), Reported::new(), false);
    std::mem::replace(&mut pool.client, new)
}

#[test]
fn another_backend_parses_it_with_them() {
    let mut pool = Pool::new();
    prepares(&mut pool, 0, "s", INT4);
    let sent = pool.up(1, &series("s"));
    assert_eq!(sent, [insert("dormouse_0", Some(INT4)), describe("dormouse_0"), flush()].concat());
    is_asked(&mut pool, 1, "1", INT4);
    assert_eq!(pool.up(1, b""), series("dormouse_0"));
    runs(&mut pool, 1);
    // As it is there now, nobody asks again.
    assert_eq!(pool.up(1, &series("s")), series("dormouse_0"));
}

#[test]
fn what_we_have_asked_there_is_what_clients_are_told() {
    let mut pool = Pool::new();
    let asks = [message(b'B', b"\0s\0\0\0\0\0\0\0"), message(b'D', b"P\0"), sync()].concat();
    pool.up(0, &[insert("s", None), asks].concat());
    pool.down(0, &[ok(b'1'), ok(b'2'), no_data(), ready()].concat());
    pool.up(1, &series("s"));
    is_asked(&mut pool, 1, "1", INT4);
    pool.up(1, b"");
    runs(&mut pool, 1);
    assert_eq!(pool.up(1, &series("s")), series("dormouse_0"), "it was parsed here as it is");
    runs(&mut pool, 1);
    let sent = pool.up(0, &series("s"));
    assert!(
        sent.starts_with(&[close("dormouse_0"), insert("dormouse_0", Some(INT4))].concat()),
        "there it may be another"
    );
}

#[test]
fn the_unnamed_one_too() {
    let mut pool = Pool::new();
    prepares(&mut pool, 0, "", INT4);
    let sent = pool.up(1, &series(""));
    assert!(sent.starts_with(&insert("dormouse_0", Some(INT4))));
}

#[test]
fn who_was_told_nothing_says_nothing() {
    let mut pool = Pool::new();
    pool.up(0, &[insert("s", None), sync()].concat());
    pool.down(0, &[ok(b'1'), ready()].concat());
    assert_eq!(pool.up(1, &series("s")), [insert("dormouse_0", None), series("dormouse_0")].concat());
}

#[test]
fn what_another_has_parsed_there_meanwhile_is_parsed_anew() {
    let mut pool = Pool::new();
    prepares(&mut pool, 0, "s", INT4);
    let first = another(&mut pool);
    // The table has changed by another way. Who prepares and uses it at once gets what it is now.
    let sent = pool.up(1, &[insert("q", None), series("q")].concat());
    assert_eq!(sent, [insert("dormouse_0", None), describe("dormouse_0"), series("dormouse_0")].concat());
    assert_eq!(pool.down(1, &[ok(b'1'), types(FLOAT4), no_data()].concat()), ok(b'1'));
    runs(&mut pool, 1);
    pool.client = first;
    let sent = pool.up(1, &series("s"));
    let anew = [close("dormouse_0"), insert("dormouse_0", Some(INT4)), describe("dormouse_0"), flush()];
    assert_eq!(sent, anew.concat());
    is_asked(&mut pool, 1, "31", INT4);
    assert_eq!(pool.up(1, b""), series("dormouse_0"));
}

#[test]
fn who_never_asks_is_not_told_what_others_were() {
    for (kind, as_told) in [(INT4, true), (FLOAT4, false)] {
        let mut pool = Pool::new();
        prepares(&mut pool, 0, "s", INT4);
        another(&mut pool);
        pool.up(1, &[insert("q", None), series("q")].concat());
        // The next series comes before the backend has said what it is.
        assert_eq!(pool.down(1, &ok(b'1')), ok(b'1'));
        assert_eq!(pool.up(1, &series("q")), b"");
        assert_eq!(pool.down(1, &[types(kind), no_data()].concat()), b"");
        let sent = pool.up(1, b"");
        if as_told {
            assert_eq!(sent, series("dormouse_0"));
            continue;
        }
        assert_eq!(sent, [insert("dormouse_1", Some(FLOAT4)), describe("dormouse_1"), flush()].concat());
        // Nor is who prepares the text from now on, also where it is as others were told.
        another(&mut pool);
        let sent = pool.up(0, &[insert("q", None), series("q")].concat());
        assert_eq!(sent, [insert("dormouse_2", None), series("dormouse_2")].concat());
    }
}

#[test]
fn who_is_told_something_else_has_its_own() {
    let mut pool = Pool::new();
    prepares(&mut pool, 0, "s", INT4);
    let first = another(&mut pool);
    prepares(&mut pool, 1, "s", FLOAT4);
    // Each goes on with what it knows, on both backends.
    let sent = pool.up(0, &series("s"));
    assert_eq!(sent, [insert("dormouse_1", Some(FLOAT4)), describe("dormouse_1"), flush()].concat());
    is_asked(&mut pool, 0, "1", FLOAT4);
    assert_eq!(pool.up(0, b""), series("dormouse_1"));
    runs(&mut pool, 0);
    pool.client = first;
    let sent = pool.up(1, &series("s"));
    assert!(sent.starts_with(&[close("dormouse_0"), insert("dormouse_0", Some(INT4))].concat()));
    is_asked(&mut pool, 1, "31", INT4);
    assert_eq!(pool.up(1, b""), series("dormouse_0"));
}

#[test]
fn what_one_client_prepared_another_uses_as_it_was_told() {
    for function in [false, true] {
        let mut pool = Pool::new();
        // Parsed where nobody asked, told elsewhere.
        pool.up(0, &[insert("s", None), sync()].concat());
        pool.down(0, &[ok(b'1'), ready()].concat());
        pool.up(1, &[describe("s"), sync()].concat());
        pool.down(1, &[ok(b'1'), types(INT4), no_data(), ready()].concat());
        let first = another(&mut pool);
        assert_eq!(pool.up(0, &insert("q", None)), b"", "answered here");
        answers(&mut pool.client, &mut pool.servers[0], &mut Vec::new());
        if function {
            pool.up(0, &message(b'F', b"\0\0\x02\xca\0\0\0\0\0\0"));
            pool.down(0, &[message(b'V', b"\xff\xff\xff\xff"), ready()].concat());
            pool.client = first;
        } else {
            pool.client = first;
            assert_eq!(replay(&pool.client, &mut pool.servers[0]), None);
        }
        assert!(pool.up(0, &series("s")).starts_with(&close("dormouse_0")), "{function}");
    }
}

#[test]
fn a_type_that_is_gone_is_the_clients_error() {
    let mut pool = Pool::new();
    prepares(&mut pool, 0, "s", INT4);
    for _again in 0..2 {
        assert!(pool.up(1, &series("s")).starts_with(&insert("dormouse_0", Some(INT4))));
        let gone = message(b'E', b"SERROR\0VERROR\0CXX000\0Mcache lookup failed for type 23\0\0");
        assert_eq!(pool.down(1, &gone), gone);
        assert_eq!(pool.up(1, b""), sync(), "the rest of its series is not read");
        assert_eq!(pool.down(1, &ready()), ready());
        assert!(pool.servers[1].is_free(&pool.client));
    }
}

#[test]
fn who_was_told_of_an_old_one_keeps_that() {
    let mut pool = Pool::new();
    prepares(&mut pool, 0, "s", INT4);
    another(&mut pool);
    // What its client gets of the first time is the types; the columns are other ones now.
    let say = [insert("s", None), describe("s"), sync()].concat();
    assert_eq!(pool.up(0, &say), [describe("dormouse_0"), sync()].concat());
    let old = message(b'E', b"SERROR\0VERROR\0C0A000\0Mcached plan must not change result type\0\0");
    assert_eq!(pool.down(0, &[types(INT4), old, ready()].concat()), [ok(b'1'), types(INT4)].concat());
    assert_eq!(pool.up(0, b""), [insert("dormouse_1", None), describe("dormouse_1"), sync()].concat());
    let told = [no_data(), ready()].concat();
    assert_eq!(pool.down(0, &[ok(b'1'), types(FLOAT4), told.clone()].concat()), told);
    assert!(pool.up(1, &series("s")).starts_with(&insert("dormouse_0", Some(INT4))));
}

#[test]
fn a_description_may_come_in_pieces() {
    let mut pool = Pool::new();
    pool.up(0, &[insert("s", None), describe("s"), sync()].concat());
    let told = [ok(b'1'), types(INT4), no_data(), ready()].concat();
    let got: Vec<u8> = told.iter().flat_map(|byte| pool.down(0, &[*byte])).collect();
    assert_eq!(got, told);
    // Behind an answer of our own.
    another(&mut pool);
    assert_eq!(
        pool.up(0, &[insert("s", None), describe("s"), sync()].concat()),
        [describe("dormouse_0"), sync()].concat()
    );
    let got: Vec<u8> = told[5..].iter().flat_map(|byte| pool.down(0, &[*byte])).collect();
    assert_eq!(got, told);
    assert!(pool.up(1, &series("s")).starts_with(&insert("dormouse_0", Some(INT4))));
}
