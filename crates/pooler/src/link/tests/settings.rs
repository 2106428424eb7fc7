//! Settings of a client on its backend: which are certain, and what must wait until they are right again.

use super::super::*;
use super::backend::message;
use super::pair::{Pair, pair, query};
use crate::settings::{Reported, Settings};

fn complete(tags: &[&str]) -> Vec<u8> {
    tags.iter().flat_map(|tag| message(b'C', format!("{tag}\0").as_bytes())).collect()
}

fn ready(status: u8) -> Vec<u8> {
    message(b'Z', &[status])
}

fn executes(text: &str) -> Vec<u8> {
    let parse = message(b'P', format!("\0{text}\0\0\0").as_bytes());
    [parse, message(b'B', b"\0\0\0\0\0\0\0\0"), message(b'E', b"\0\0\0\0\0")].concat()
}

fn executed(tag: &str) -> Vec<u8> {
    [message(b'1', b""), message(b'2', b""), complete(&[tag])].concat()
}

fn sync() -> Vec<u8> {
    message(b'S', b"")
}

fn begun_with(name: &str, value: &str) -> Pair {
    let mut startup = Settings::default();
    startup.set(name, value).unwrap();
    let mut pair = pair();
    pair.server.applied = startup.clone();
    pair.client = Client::new(startup, Reported::new(), false);
    pair
}

#[test]
fn a_setting_behind_a_begin_of_its_series_is_not_certain() {
    for begin in ["begin", "start transaction read only"] {
        let tag = if begin == "begin" { "BEGIN" } else { "START TRANSACTION" };
        let mut pair = pair();
        pair.up(&[executes(begin), executes("set work_mem = '9MB'"), sync()].concat()).unwrap();
        pair.down(&[executed(tag), executed("SET"), ready(b'T')].concat());
        assert!(pair.client.wanted.get("work_mem").is_none(), "{begin}: it may be rolled back");
        pair.up(&query("rollback")).unwrap();
        pair.down(&[complete(&["ROLLBACK"]), ready(b'I')].concat());
        assert!(pair.server.must_ask(), "{begin}");
        // The next series begins anew.
        pair.server.ask = Stateful::default();
        pair.up(&[executes("set work_mem = '9MB'"), sync()].concat()).unwrap();
        pair.down(&[executed("SET"), ready(b'I')].concat());
        assert_eq!(pair.client.wanted.get("work_mem"), Some("9MB"));
    }
}

#[test]
fn discard_all_is_the_backends_to_do_when_it_has_other_settings() {
    let discard = query("discard all");
    let mut pair = begun_with("application_name", "a");
    assert!(pair.up(&discard).unwrap().is_empty(), "nothing would be another");
    pair.client.keeps = false;
    pair.server.expect.clear();
    pair.up(&query("set role x")).unwrap();
    pair.down(&[complete(&["SET"]), ready(b'I')].concat());
    let both = [discard.clone(), query("select current_user")].concat();
    assert_eq!(pair.up(&both).unwrap(), discard, "what follows waits");
    pair.down(&[complete(&["DISCARD ALL"]), ready(b'I')].concat());
    assert!(pair.server.applied.get("application_name").is_none(), "it has its own defaults now");
    assert_eq!(pair.client.wanted.get("application_name"), Some("a"), "which is put right next");
    assert!(pair.client.wanted.get("role").is_none());
}

#[test]
fn what_follows_a_reset_in_a_transaction_waits_until_its_settings_are_right() {
    let mut pair = begun_with("application_name", "a");
    let texts = ["begin", "reset all", "commit", "show application_name"].map(query);
    let mut sent = pair.up(&texts.concat()).unwrap();
    for (tag, status) in [("BEGIN", b'T'), ("RESET", b'T'), ("COMMIT", b'I')] {
        pair.down(&[complete(&[tag]), ready(status)].concat());
        if status == b'T' {
            sent.extend(pair.up(&[]).unwrap());
        }
    }
    assert_eq!(sent, texts[..3].concat());
    assert!(pair.server.must_ask(), "what it has now");
}

#[test]
fn who_began_with_a_role_may_have_none() {
    for simple in [true, false] {
        let mut pair = begun_with("role", "x");
        let says = |pair: &mut Pair, text: &str| {
            if simple {
                pair.up(&query(text)).unwrap();
                pair.down(&[complete(&["SET"]), ready(b'I')].concat());
                return;
            }
            pair.up(&[query("begin"), query(text), query("commit")].concat()).unwrap();
            for (tag, status) in [("BEGIN", b'T'), ("SET", b'T'), ("COMMIT", b'I')] {
                pair.down(&[complete(&[tag]), ready(status)].concat());
                if pair.client.is_stalled() {
                    pair.up(&[]).unwrap();
                }
            }
            // There is no role on the backend.
            inspect(&pair.client, &mut pair.server);
            pair.down(&ready(b'I'));
        };
        for (text, role) in [
            ("set role none", "none"),
            ("set work_mem = '9MB'", "none"),
            ("reset role", "x"),
            ("select set_config('role', 'none', false)", "none"),
            ("set role y; reset role", "x"),
        ] {
            says(&mut pair, text);
            assert_eq!(pair.client.wanted.get("role"), Some(role), "{simple} {text}");
            let there = pair.server.applied.get("role");
            assert_eq!(there, (simple && role == "none").then_some(role), "{simple} {text}");
        }
        says(&mut pair, "set role none");
        if !simple {
            let sent = replay(&pair.client, &mut pair.server).unwrap();
            assert!(sent.ends_with(b"SET ROLE 'none'\0"));
            pair.down(&ready(b'I'));
        }
        assert_eq!(replay(&pair.client, &mut pair.server), None);
    }
}

#[test]
fn the_role_of_who_has_left_in_a_transaction_is_not_what_the_next_one_means() {
    let mut pair = begun_with("role", "anna");
    for (text, tag) in [("begin", "BEGIN"), ("set role none", "SET")] {
        pair.up(&query(text)).unwrap();
        pair.down(&[complete(&[tag]), ready(b'T')].concat());
    }
    roll_back(&mut pair.server);
    pair.down(&[complete(&["ROLLBACK"]), ready(b'I')].concat());
    reset(&mut pair.server, "discard all");
    pair.down(&[complete(&["DISCARD ALL"]), ready(b'I')].concat());
    let Pair { mut server, .. } = pair;
    pair = begun_with("role", "anna");
    std::mem::swap(&mut pair.server, &mut server);
    assert!(replay(&pair.client, &mut pair.server).is_some());
    pair.down(&ready(b'I'));
    // Code that has left no role.
    pair.up(&query("do 'begin reset role; end'")).unwrap();
    pair.down(&[complete(&["DO"]), ready(b'I')].concat());
    inspect(&pair.client, &mut pair.server);
    pair.down(&ready(b'I'));
    assert_eq!(pair.client.wanted.get("role"), Some("anna"));
}

#[test]
fn a_session_authorization_that_code_has_set_ends_the_role() {
    let mut pair = begun_with("role", "anna");
    pair.up(&query("do 'begin perform f(); end'")).unwrap();
    pair.down(&[complete(&["DO"]), ready(b'I')].concat());
    inspect(&pair.client, &mut pair.server);
    let row = ["s", "session_authorization", "carl"].map(|text| {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        [&length[..], text.as_bytes()].concat()
    });
    pair.down(&[message(b'D', &[&[0, 3], &row.concat()[..]].concat()), ready(b'I')].concat());
    assert_eq!(pair.client.wanted.get("session_authorization"), Some("carl"));
    assert_eq!(pair.client.wanted.get("role"), Some("none"));
}
