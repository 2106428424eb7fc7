//! Clients that do what no driver does, and what they must not be able to do with it.

use super::super::*;
use super::backend::message;
use super::pair::{Pair, pair, query};
use crate::settings::{Reported, Settings};

#[test]
fn a_stall_makes_the_backend_answer_what_it_holds() {
    let mut pair = pair();
    let close = message(b'C', b"Pportal\0");
    let sent = pair.up(&[close.clone(), query("deallocate q")].concat()).unwrap();
    assert_eq!(sent, [close, message(b'H', b"")].concat(), "without a Flush nothing would ever come");
    assert!(pair.client.is_stalled());
    assert_eq!(pair.down(&message(b'3', b"")), message(b'3', b""));
    assert_eq!(pair.up(b"").unwrap(), query("deallocate q"));
}

#[test]
fn behind_a_goodbye_nothing_is_done() {
    let mut pair = pair();
    let sent = pair.up(&[query("select 1"), message(b'X', b""), query("drop table t")].concat()).unwrap();
    assert_eq!(sent, query("select 1"));
    assert!(pair.client.has_left());
}

#[test]
fn while_copy_data_is_awaited_only_that_is_sent() {
    let mut pair = pair();
    pair.up(&query("copy t from stdin")).unwrap();
    pair.down(&message(b'G', &[0, 0, 0]));
    assert!(pair.up(&message(b'd', b"x")).is_ok() && pair.up(&message(b'S', b"")).is_ok());
    assert!(matches!(pair.up(&query("select 1")), Err(Violation::Message { tag: b'Q', .. })));
}

#[test]
fn who_sends_without_end_waits_for_answers() {
    let mut pair = pair();
    let closes = message(b'C', b"Pp\0").repeat(1000);
    for _ in 0..100 {
        if pair.client.is_stalled() {
            break;
        }
        pair.up(&closes).unwrap();
    }
    let owed = pair.server.outstanding();
    assert!(pair.client.is_stalled() && owed <= 1 << 16, "{owed}");
    // It goes on where it was, and loses nothing.
    pair.down(&message(b'3', b"").repeat(owed));
    pair.up(b"").unwrap();
    assert!(!pair.client.is_stalled());
    assert_eq!((pair.server.outstanding() + owed) % 1000, 0);
}

#[test]
fn what_waits_for_the_meaning_of_names_is_not_compared_with_everything() {
    let mut pair = pair();
    let (describe, answer) = (message(b'D', b"Sx\0"), message(b'n', b""));
    let all = [query("select pg_sleep(60)"), describe.repeat(5000), message(b'S', b"")].concat();
    pair.up(&all).unwrap();
    let owed = pair.server.outstanding();
    assert!(pair.client.is_stalled() && owed <= 1 << 10, "{owed}");
    // Nothing is lost, and without anything that defines they go on as before.
    pair.down(&message(b'Z', b"I"));
    let sent = pair.up(b"").unwrap();
    assert!(!pair.client.is_stalled());
    assert_eq!(sent, [describe.repeat(5000 + 1 - owed), message(b'S', b"")].concat());
    pair.down(&[answer.repeat(5000), message(b'Z', b"I")].concat());
    assert!(pair.server.is_free(&pair.client));
}

#[test]
fn a_long_text_in_small_pieces_is_looked_at_once() {
    let start = dormouse_base::clock::Mono::now();
    let mut pair = pair();
    let text = query(&"x".repeat(24 << 20));
    let mut sent = Vec::new();
    for piece in text.chunks(1000) {
        sent.extend(pair.up(piece).unwrap());
    }
    assert!(sent == text);
    let error = message(b'E', format!("SERROR\0C22012\0M{}\0\0", "x".repeat(24 << 20)).as_bytes());
    let mut got = Vec::new();
    for piece in error.chunks(1000) {
        got.extend(pair.down(piece));
    }
    assert!(got == error);
    // If every piece were looked at: minutes.
    assert!(start.elapsed() < std::time::Duration::from_secs(30), "{:?}", start.elapsed());
}

#[test]
fn a_function_that_is_called_by_number_may_leave_anything() {
    let call = |oid: u32| message(b'F', &[&oid.to_be_bytes()[..], &[0; 6]].concat());
    for (oid, asks) in [(2880, true), (952, false)] {
        let mut pair = pair();
        pair.up(&call(oid)).unwrap();
        pair.down(&[message(b'V', &[0; 4]), message(b'Z', b"I")].concat());
        assert_eq!(pair.server.must_ask(), asks, "function {oid}");
    }
}

#[test]
fn what_the_sender_of_a_lost_transaction_says_is_not_kept() {
    let mut pair = pair();
    pair.up(&query("begin")).unwrap();
    pair.down(&[message(b'C', b"BEGIN\0"), message(b'Z', b"T")].concat());
    let Loss::GoesOn { lost: Some(mut lost), .. } = after_loss(&mut pair.client, &mut pair.server, b"E")
    else {
        panic!()
    };
    let long = message(b'P', &[b'x'; 1 << 20]);
    let (mut out, mut kept) = (Vec::new(), 0);
    for piece in long.chunks(1000) {
        assert_eq!(lost.take(&mut pair.client, piece, &mut out), None);
        kept = kept.max(pair.client.partial.capacity());
    }
    assert!(kept < 10_000, "{kept}");
    let rest = lost.take(&mut pair.client, &[message(b'S', b""), query("rollback")].concat(), &mut out);
    assert_eq!(rest, Some(query("rollback")));
    assert_eq!(out, [&b"E"[..], &message(b'Z', b"E")].concat());
    // What is no message goes to whoever says so.
    let Loss::GoesOn { lost: Some(mut lost), .. } = after_loss(&mut pair.client, &mut pair.server, b"E")
    else {
        panic!()
    };
    assert_eq!(lost.take(&mut pair.client, b"Q\0\0\0\0", &mut out), Some(b"Q\0\0\0\0".to_vec()));
}

#[test]
fn statements_have_a_limit_of_bytes_too() {
    let mut pair = pair();
    let text = "x".repeat(4 << 20);
    let ended = (0..20).find_map(|n| pair.up(&message(b'P', format!("s{n}\0{text}\0\0\0").as_bytes())).err());
    assert!(matches!(ended, Some(Violation::TooManyNames(16))), "{ended:?}");
}

#[test]
fn deallocate_by_the_extended_protocol_is_about_names_that_only_we_know() {
    let mut pair = pair();
    let ok = |tags: &str| tags.bytes().flat_map(|tag| message(tag, b"")).collect::<Vec<u8>>();
    pair.up(&[message(b'P', b"s1\0select 1\0\0\0"), message(b'S', b"")].concat()).unwrap();
    pair.down(&[ok("1"), message(b'Z', b"I")].concat());
    let parse = message(b'P', b"\0deallocate s1\0\0\0");
    let (bind, execute) = (message(b'B', b"\0\0\0\0\0\0\0\0"), message(b'E', b"\0\0\0\0\0"));
    let again = message(b'D', b"Ss1\0");
    let sent = pair.up(&[&parse[..], &bind, &execute, &again, &message(b'S', b"")].concat()).unwrap();
    assert_eq!(
        sent,
        [parse, bind, again, message(b'S', b"")].concat(),
        "executed here; then s1 means nothing"
    );
    let error = message(b'E', b"SERROR\0C26000\0Mno\0\0");
    let got = pair.down(&[&ok("12")[..], &error, &message(b'Z', b"I")].concat());
    assert_eq!(got, [&ok("12")[..], &message(b'C', b"DEALLOCATE\0"), &error, &message(b'Z', b"I")].concat());
    assert_eq!(pair.client.prepared(), 0);
}

#[test]
fn names_mean_what_they_meant_when_their_end_failed() {
    let deallocate = [message(b'P', b"\0deallocate all\0\0\0"), message(b'B', b"\0\0\0\0\0\0\0\0")].concat();
    let extended = [&deallocate[..], &message(b'E', b"\0\0\0\0\0"), &message(b'S', b"")].concat();
    let error = message(b'E', b"SERROR\0C25001\0Mno\0\0");
    let ready = message(b'Z', b"I");
    let done = |tag: &str| message(b'C', format!("{tag}\0").as_bytes());
    let started = [message(b'1', b""), message(b'2', b"")].concat();
    let cases: [(Vec<u8>, Vec<Vec<u8>>, usize); 6] = [
        (query("select 1; discard all"), vec![done("SELECT 1"), error.clone()], 1),
        (query("select 1 / 0; deallocate all"), vec![error.clone()], 1),
        (query("select 1; deallocate all"), vec![done("SELECT 1"), done("DEALLOCATE ALL")], 0),
        (query("deallocate s1; selec"), vec![error.clone()], 1),
        (extended.clone(), vec![message(b'1', b""), error], 1),
        (extended, vec![started, done("DEALLOCATE ALL")], 0),
    ];
    for (sent, replies, left) in cases {
        let mut pair = pair();
        pair.up(&[message(b'P', b"s1\0select 1\0\0\0"), message(b'S', b"")].concat()).unwrap();
        pair.down(&[message(b'1', b""), ready.clone()].concat());
        pair.up(&sent).unwrap();
        // Whatever means a name now waits for the outcome.
        pair.up(&message(b'D', b"Ss1\0")).unwrap();
        assert!(pair.client.is_stalled() || left == 1, "{sent:?}");
        pair.down(&[replies.concat(), ready.clone()].concat());
        assert_eq!(pair.client.prepared(), left, "{:?}", String::from_utf8_lossy(&sent));
    }
}

#[test]
fn who_guesses_a_name_of_the_pool_takes_nothing_away() {
    let (ready, done) = (message(b'Z', b"I"), message(b'C', b"DEALLOCATE\0"));
    let mut pair = pair();
    pair.up(&[message(b'P', b"s1\0select 1\0\0\0"), message(b'S', b"")].concat()).unwrap();
    pair.down(&[message(b'1', b""), ready.clone()].concat());
    let sync = message(b'S', b"");
    let sent = pair.up(&[message(b'C', b"Sdormouse_1\0"), sync.clone()].concat()).unwrap();
    assert_eq!(sent, sync, "the backend still has it");
    assert_eq!(pair.down(&ready), [message(b'3', b""), ready.clone()].concat());
    pair.up(&query("deallocate DORMOUSE_1")).unwrap();
    pair.down(&[done, ready].concat());
    let sent = pair.up(&message(b'B', b"\0s1\0\0\0\0\0\0\0")).unwrap();
    assert_eq!(sent[0], b'C', "parsed anew");
}

#[test]
fn what_an_error_does_not_undo_is_asked_about() {
    let ended = [message(b'E', b"SERROR\0C22012\0Mno\0\0"), message(b'Z', b"I")].concat();
    for (text, asked) in [
        ("prepare q as select 1; select 1 / 0", true),
        ("select pg_advisory_lock(1); select 1 / 0", true),
        ("create temp table t (); select 1 / 0", false),
        ("set work_mem = 1; select 1 / 0", false),
    ] {
        let mut pair = pair();
        pair.up(&query(text)).unwrap();
        pair.down(&ended);
        assert_eq!(pair.server.must_ask(), asked, "{text}");
        assert_eq!(pair.server.is_free(&pair.client), !asked, "{text}");
    }
    let mut pair = pair();
    pair.up(&query("load 'auto_explain'; select 1 / 0")).unwrap();
    pair.down(&ended);
    assert!(pair.server.is_spoiled());
}

#[test]
fn a_refused_name_means_what_it_meant_behind_the_end_of_all_names_that_failed() {
    let (error, ready) = (message(b'E', b"SERROR\0C42P05\0Mno\0\0"), message(b'Z', b"I"));
    let parse = |name: &str, text: &str| message(b'P', format!("{name}\0{text}\0\0\0").as_bytes());
    let bind = |name: &str| message(b'B', format!("\0{name}\0\0\0\0\0\0\0").as_bytes());
    let (execute, sync) = (message(b'E', b"\0\0\0\0\0"), message(b'S', b""));
    let mut pair = pair();
    pair.up(&[parse("s1", "select 1"), sync.clone()].concat()).unwrap();
    pair.down(&[message(b'1', b""), ready.clone()].concat());
    // Both are under way before either is answered.
    pair.up(&[parse("s1", "select 2"), sync.clone()].concat()).unwrap();
    pair.up(&[parse("", "deallocate all"), bind(""), execute, sync].concat()).unwrap();
    pair.down(&[error.clone(), ready.clone()].concat());
    pair.down(&[message(b'1', b""), error, ready].concat());
    let sent = pair.up(&bind("s1")).unwrap();
    assert_eq!(&sent[..5], &message(b'C', b"Sdormouse_1\0")[..5], "renewed: it may have been deallocated");
    let text = String::from_utf8_lossy(&sent);
    assert!(text.contains("select 1") && !text.contains("select 2"), "{text}");
}

#[test]
fn nothing_of_ours_is_sent_into_the_middle_of_a_message() {
    let mut pair = pair();
    pair.up(&query("do $$ $$; copy t from stdin")).unwrap();
    pair.down(&message(b'G', &[0, 0, 0]));
    let data = message(b'd', &[b'x'; 100]);
    pair.up(&data[..50]).unwrap();
    // The COPY fails while the client is in the middle of its data, and something must be asked.
    pair.down(&[message(b'E', b"SERROR\0C22P04\0Mno\0\0"), message(b'Z', b"I")].concat());
    assert!(!pair.server.must_ask() && !pair.server.is_at_rest());
    assert_eq!(pair.up(&data[50..]).unwrap(), &data[50..], "the backend waits for the rest");
    assert!(pair.server.must_ask());
}

/// What PostgreSQL says of a plan that is older than its tables.
pub(super) fn stale() -> Vec<u8> {
    message(b'E', b"SERROR\0VERROR\0C0A000\0Mcached plan must not change result type\0\0")
}

#[test]
fn who_parses_does_not_see_that_the_plan_there_is_old() {
    let ready = message(b'Z', b"I");
    let done = message(b'C', b"SELECT 1\0");
    let ok = |tags: &str| tags.bytes().flat_map(|tag| message(tag, b"")).collect::<Vec<u8>>();
    let parse = message(b'P', b"s1\0select * from t\0\0\0");
    let (bind, execute) = (message(b'B', b"\0s1\0\0\0\0\0\0\0"), message(b'E', b"\0\0\0\0\0"));
    let sync = message(b'S', b"");
    let series = [&parse[..], &bind, &execute, &sync].concat();
    let mut pair = pair();
    pair.up(&series).unwrap();
    pair.down(&[&ok("12")[..], &done, &ready].concat());

    // Another client prepares the same; meanwhile the table was changed.
    pair.client = Client::new(Settings::default(), Reported::new(), false);
    pair.up(&series).unwrap();
    let got = pair.down(&stale());
    assert_eq!(got, ok("1"), "our answer is out already");
    assert_eq!(pair.down(&ready), b"", "the failure is not");
    assert!(pair.client.is_stalled() && !pair.server.is_free(&pair.client));
    let sent = pair.up(b"").unwrap();
    let tags: Vec<u8> = split(&sent).iter().map(|message| message[0]).collect();
    assert_eq!(tags, b"PBES", "as it was, under a number of its own");
    let got = pair.down(&[&ok("12")[..], &done, &ready].concat());
    assert_eq!(got, [&ok("2")[..], &done, &ready].concat());
    assert!(pair.server.is_free(&pair.client) && pair.client.prepared() == 1);

    // Not twice in a series; and not for who executes only.
    for (client_parses, hides) in [(true, 1), (false, 0)] {
        if client_parses {
            pair.client = Client::new(Settings::default(), Reported::new(), false);
        }
        let first = if client_parses { &series[..] } else { &series[parse.len()..] };
        pair.up(first).unwrap();
        let mut seen = pair.down(&[stale(), ready.clone()].concat());
        for _ in 0..hides {
            pair.up(b"").unwrap();
            seen = pair.down(&[stale(), ready.clone()].concat());
        }
        assert_eq!(seen, [stale(), ready.clone()].concat(), "parses: {client_parses}");
        assert!(pair.server.is_free(&pair.client));
        if client_parses {
            pair.up(&series).unwrap();
            pair.down(&[&ok("12")[..], &done, &ready].concat());
        }
    }
}

pub(super) fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while let Some((head, _)) = bytes.split_first_chunk::<5>() {
        let whole = 1 + u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        all.push(&bytes[..whole]);
        bytes = &bytes[whole..];
    }
    all
}

#[test]
fn a_flush_or_sync_with_a_body_is_refused() {
    for tag in [b'H', b'S'] {
        let mut pair = pair();
        let refused = pair.up(&[message(tag, b"x"), query("select 1")].concat());
        assert!(matches!(refused, Err(Violation::TooLong { len: 1, max: 0 })), "{refused:?}");
    }
    let mut pair = pair();
    let long = message(b'C', format!("S{}\0", "n".repeat(10_000)).as_bytes());
    assert!(matches!(pair.up(&long), Err(Violation::TooLong { .. })), "PostgreSQL would end the backend");
}

#[test]
fn who_waits_with_the_rest_of_a_long_message_has_it_counted_until_it_is_there() {
    const LEN: usize = 8 << 20;
    let long = query(&"x".repeat(LEN));
    let (begin, rest) = long.split_at(LEN);
    // More than a gigabyte in all, and never more than one message at a time.
    for round in 0..130 {
        let mut pair = pair();
        assert!(pair.up(begin).unwrap().is_empty());
        if round % 50 == 0 {
            assert_eq!(pair.up(rest).unwrap().len(), long.len());
        }
    }
}

#[test]
fn a_message_that_is_dropped_with_its_transaction_is_not_counted_any_more() {
    let mut pair = pair();
    pair.up(&query("begin")).unwrap();
    pair.down(&[message(b'C', b"BEGIN\0"), message(b'Z', b"T")].concat());
    let long = query(&"x".repeat(1 << 20));
    assert!(pair.up(&long[..1 << 19]).unwrap().is_empty());
    let counted = |pair: &Pair| pair.common.unfinished.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(counted(&pair), 1 << 19);
    let loss = after_loss(&mut pair.client, &mut pair.server, b"");
    let Loss::GoesOn { lost: Some(mut lost), .. } = loss else { panic!("{loss:?}") };
    assert!(lost.take(&mut pair.client, b"", &mut Vec::new()).is_some());
    assert_eq!(counted(&pair), 0);
}
