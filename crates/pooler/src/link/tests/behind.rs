//! What is prepared behind something that changes tables, before that is answered, is prepared after it.

use super::again::{another, done, ok, parse, ready, runs, tags, with};
use super::backend::message;
use super::pair::{Pair, query};

const TEXT: &str = "select * from zt";

fn executed(text: &str) -> Vec<u8> {
    let bind = message(b'B', b"\0\0\0\0\0\0\0\0");
    [parse("", text), bind, message(b'E', b"\0\0\0\0\0")].concat()
}

fn series(name: &str) -> Vec<u8> {
    [parse(name, TEXT), runs(name)].concat()
}

/// What the backend gets of the series that follows something, in one write.
fn behind(pair: &mut Pair, before: &[u8]) -> String {
    let sent = pair.up(&[before, &series("s")].concat()).unwrap();
    String::from_utf8_lossy(&sent[before.len()..]).into_owned()
}

#[test]
fn the_text_is_parsed_once_more() {
    for before in [
        query("alter table zt add b int"),
        [query("begin"), query("alter table zt add b int")].concat(),
        query("insert into zt values (1); DROP table zt; create table zt (b int)"),
        query("create or replace view zt as select 1"),
        query("do $$ begin execute 'alter table zt add b int'; end $$"),
        query("call changes()"),
        executed("alter table zt add b int"),
        [executed("alter table zt add b int"), message(b'S', b"")].concat(),
        [executed("alter table zt add b int"), executed("select 1")].concat(),
    ] {
        let mut pair = with(&[TEXT]);
        let sent = pair.up(&[before, series("s")].concat()).unwrap();
        assert!(tags(&sent).ends_with("PBES"), "{}", tags(&sent));
        let text = String::from_utf8_lossy(&sent);
        assert_eq!(text.matches(TEXT).count(), 1);
        assert!(!text.contains("dormouse_0"), "it is not what others have: {text}");
    }
}

#[test]
fn plain_statements_and_transactions_do_not_make_it_slower() {
    for before in ["insert into zt values (1)", "begin", "commit", "rollback", "select 1", "show all"] {
        let mut pair = with(&[TEXT]);
        let sent = behind(&mut pair, &query(before));
        assert!(sent.contains("dormouse_0") && !sent.contains(TEXT), "{before}: {sent}");
    }
}

#[test]
fn what_was_answered_counts_no_more() {
    let mut pair = with(&[TEXT]);
    pair.up(&query("grant select on zt to anna")).unwrap();
    pair.up(&query("select 1")).unwrap();
    let replies = [message(b'C', b"GRANT\0"), ready()].concat();
    pair.down(&replies);
    // The other has not been answered, and changes nothing.
    assert_eq!(pair.up(&series("s")).unwrap(), runs("dormouse_0"));
}

#[test]
fn its_client_has_it_and_nobody_else() {
    let mut pair = with(&[TEXT]);
    let ddl = query("alter table zt add b int");
    let sent = behind(&mut pair, &ddl);
    assert!(sent.contains("dormouse_1"), "{sent}");
    let replies = [ok("12"), done(1), ready()].concat();
    pair.down(&[message(b'C', b"ALTER TABLE\0"), ready()].concat());
    assert_eq!(pair.down(&replies), replies);
    assert_eq!(pair.up(&runs("s")).unwrap(), runs("dormouse_1"));
    pair.down(&[ok("2"), done(1), ready()].concat());
    another(&mut pair);
    let sent = pair.up(&series("s")).unwrap();
    assert_eq!(sent, [parse("dormouse_2", TEXT), runs("dormouse_2")].concat());
}

#[test]
fn what_is_rolled_back_was_changed_too() {
    for extended in [false, true] {
        let mut pair = with(&[TEXT]);
        pair.up(&[query("begin"), query("alter table zt add b int")].concat()).unwrap();
        let open = message(b'Z', b"T");
        pair.down(&[message(b'C', b"BEGIN\0"), open.clone()].concat());
        pair.down(&[message(b'C', b"ALTER TABLE\0"), open.clone()].concat());
        // As it is in this transaction.
        let sent = pair.up(&series("t")).unwrap();
        assert_eq!(sent, [parse("dormouse_1", TEXT), runs("dormouse_1")].concat());
        pair.down(&[ok("12"), done(1), open].concat());
        let rollback = if extended { executed("rollback") } else { query("rollback") };
        let sent = pair.up(&[rollback, series("s")].concat()).unwrap();
        assert!(tags(&sent).ends_with("PBES"), "{}", tags(&sent));
        let text = String::from_utf8_lossy(&sent);
        assert!(text.contains(TEXT) && !text.contains("dormouse_1"), "{text}");
    }
}

#[test]
fn the_unnamed_one_goes_through_as_it_is() {
    let mut pair = with(&[TEXT]);
    let both = [query("alter table zt add b int"), series("")].concat();
    assert_eq!(pair.up(&both).unwrap(), both);
    assert_eq!(pair.up(&series("")).unwrap(), series(""), "nothing was answered yet");
}
