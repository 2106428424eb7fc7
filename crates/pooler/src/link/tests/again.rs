//! A series that is said again, and what its client or another one says before that is over.

use super::abuse::{split, stale};
use super::backend::message;
use super::pair::{Pair, pair};
use super::*;

pub(super) fn ok(tags: &str) -> Vec<u8> {
    tags.bytes().flat_map(|tag| message(tag, b"")).collect()
}

pub(super) fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

pub(super) fn done(rows: u32) -> Vec<u8> {
    message(b'C', format!("SELECT {rows}\0").as_bytes())
}

pub(super) fn parse(name: &str, text: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{text}\0\0\0").as_bytes())
}

pub(super) fn runs(name: &str) -> Vec<u8> {
    let bind = message(b'B', format!("\0{name}\0\0\0\0\0\0\0").as_bytes());
    [bind, message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat()
}

pub(super) fn tags(bytes: &[u8]) -> String {
    split(bytes).iter().map(|message| char::from(message[0])).collect()
}

/// A backend that has these statements, of a client that has gone.
pub(super) fn with(texts: &[&str]) -> Pair {
    let mut pair = pair();
    for text in texts {
        pair.up(&[parse("old", text), runs("old")].concat()).unwrap();
        pair.down(&[ok("12"), done(1), ready()].concat());
        another(&mut pair);
    }
    pair
}

pub(super) fn another(pair: &mut Pair) {
    assert!(pair.server.is_free(&pair.client));
    pair.client = Client::new(Settings::default(), Reported::new(), false);
}

#[test]
fn the_next_series_waits_for_the_end_of_the_one_that_is_said_again() {
    let (first, second) =
        ([parse("s1", "one"), runs("s1")].concat(), [parse("s2", "two"), runs("s2")].concat());
    // The second comes between the failure and its end, all of it or some, or while the first is said again.
    for (before, between) in [(0, second.len()), (0, 7), (7, 20), (second.len(), second.len()), (0, 0)] {
        let mut pair = with(&["one"]);
        pair.up(&first).unwrap();
        assert_eq!(pair.down(&stale()), ok("1"), "answered already");
        assert_eq!(pair.up(&second[..before]).unwrap(), b"");
        assert_eq!(pair.down(&ready()), b"");
        let mut sent = Vec::new();
        if pair.client.is_stalled() {
            sent.extend(pair.up(b"").unwrap());
        }
        assert_eq!(tags(&sent), "PBES", "the first, and nothing else");
        assert_eq!(pair.up(&second[before..between]).unwrap(), b"");
        assert_eq!(pair.down(&[ok("12"), done(1), ready()].concat()), [ok("2"), done(1), ready()].concat());
        let mut sent = pair.up(b"").unwrap();
        sent.extend(pair.up(&second[between..]).unwrap());
        assert_eq!(tags(&sent), "PBES", "{before} {between}");
        let replies = [ok("12"), done(2), ready()].concat();
        assert_eq!(pair.down(&replies), replies);
        assert!(pair.server.is_free(&pair.client) && pair.client.prepared() == 2);
    }
}

#[test]
fn what_one_client_began_and_another_goes_on_with_is_not_said_again() {
    let mut pair = with(&["one", "two"]);
    // All of it is answered here: the backend is another's at once.
    assert_eq!(pair.up(&parse("s1", "one")).unwrap(), b"");
    let mut told = Vec::new();
    answers(&mut pair.client, &mut pair.server, &mut told);
    assert_eq!(told, ok("1"));
    another(&mut pair);
    pair.up(&[parse("s1", "two"), runs("s1")].concat()).unwrap();
    assert_eq!(pair.down(&[stale(), ready()].concat()), ok("1"));
    let sent = pair.up(b"").unwrap();
    assert_eq!(tags(&sent), "PBES");
    let text = String::from_utf8_lossy(&sent);
    assert!(text.contains("two") && !text.contains("one"), "{text}");
    let replies = [ok("2"), done(1), ready()].concat();
    assert_eq!(pair.down(&[ok("1"), replies.clone()].concat()), replies);
    assert!(pair.server.is_free(&pair.client) && pair.client.prepared() == 1);
}
