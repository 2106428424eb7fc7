//! A text that is too long to be read goes through piece by piece, and counts as one that may do anything.

use super::again::{done, ok, parse, ready, runs, with};
use super::backend::message;
use super::pair::{pair, query};
use super::*;

/// More than is read, by one byte.
const BODY: usize = (64 << 20) + 1;

/// The beginning of a message with `BODY` bytes of text, and how many are missing.
fn begun(text: &str) -> (Vec<u8>, usize) {
    let len = u32::try_from(BODY + 4).unwrap();
    ([b"Q", &len.to_be_bytes()[..], text.as_bytes()].concat(), BODY - text.len())
}

#[test]
fn it_is_not_kept_and_what_follows_is_read_again() {
    let mut pair = pair();
    let (begin, missing) = begun("insert into t values ('");
    assert_eq!(pair.up(&begin).unwrap(), begin, "nobody waits for its end");
    assert!(pair.client.partial.is_empty());
    assert!(!pair.server.is_free(&pair.client) && !pair.client.is_between());
    let rest = vec![b' '; missing];
    let follows = query("begin");
    assert_eq!(pair.up(&rest[..missing - 1]).unwrap().len(), missing - 1);
    assert!(!pair.server.is_free(&pair.client));
    assert_eq!(pair.up(&[b"\0", &follows[..]].concat()).unwrap()[1..], follows);
    let reply = [message(b'C', b"INSERT 0 1\0"), ready()].concat();
    assert_eq!(pair.down(&reply), reply);
    let reply = [message(b'C', b"BEGIN\0"), message(b'Z', b"T")].concat();
    assert_eq!(pair.down(&reply), reply);
    assert_eq!(pair.server.status(), TxStatus::InTransaction);
}

#[test]
fn the_backend_is_asked_what_it_left() {
    let mut pair = pair();
    let (begin, missing) = begun("insert into t values (1)");
    pair.up(&begin).unwrap();
    pair.up(&vec![0; missing]).unwrap();
    pair.down(&[message(b'C', b"INSERT 0 1\0"), ready()].concat());
    assert!(pair.server.must_ask(), "it may have had a SET in its middle");
    assert!(!pair.server.is_free(&pair.client));
}

#[test]
fn what_is_prepared_behind_it_is_prepared_after_it() {
    const TEXT: &str = "select * from t";
    let mut pair = with(&[TEXT]);
    let (begin, missing) = begun("alter table t add b int");
    pair.up(&begin).unwrap();
    let series = [parse("s", TEXT), runs("s")].concat();
    let sent = pair.up(&[vec![0; missing], series].concat()).unwrap();
    assert!(String::from_utf8_lossy(&sent[missing..]).contains(TEXT), "parsed again");
    pair.down(&[message(b'C', b"ALTER TABLE\0"), ready()].concat());
    pair.down(&[&ok("12")[..], &done(0), &ready()].concat());
}

#[test]
fn new_tables_count_whoever_made_them() {
    const TEXT: &str = "select * from t";
    let mut pair = with(&[TEXT]);
    let (begin, missing) = begun("create table x.t ()");
    pair.up(&begin).unwrap();
    pair.up(&vec![0; missing]).unwrap();
    pair.down(&[message(b'C', b"CREATE TABLE\0"), ready()].concat());
    while pair.server.must_ask() {
        inspect(&pair.client, &mut pair.server);
        pair.down(&ready());
    }
    let sent = pair.up(&[parse("s", TEXT), runs("s")].concat()).unwrap();
    let sent = String::from_utf8_lossy(&sent).into_owned();
    assert!(
        sent.contains(TEXT) && !sent.contains("dormouse_0"),
        "the name may mean another table now: {sent}"
    );
}
