//! The scanner against single cases, and against a parser that keeps the whole stream and starts over each time.

use super::*;
use crate::backend::ReadyForQuery;
use crate::encode::{Encode, tagged};
use proptest::prelude::*;

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    tagged(&mut out, tag, |b| b.extend_from_slice(body));
    out
}

fn ready(status: TxStatus) -> Vec<u8> {
    ReadyForQuery(status).encode()
}

/// What can be asked of a scanner.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answers {
    at_rest: Option<TxStatus>,
    at_boundary: bool,
    replied: bool,
    fatal: bool,
    broken: bool,
}

fn ask(scan: &BackendScan) -> Answers {
    Answers {
        at_rest: scan.at_rest(),
        at_boundary: scan.at_boundary(),
        replied: scan.clone().take_first_reply(),
        fatal: scan.fatal_seen(),
        broken: scan.error().is_some(),
    }
}

/// The simple parser: cuts the whole stream into messages, then looks back over the list of tags.
fn reference(mut stream: &[u8]) -> Answers {
    let mut messages: Vec<(u8, &[u8])> = Vec::new();
    let mut answers = Answers::default();
    while stream.len() >= 5 {
        let len = i32::from_be_bytes(stream[1..5].try_into().unwrap());
        if len < 4 || (stream[0] == b'Z' && len != 5) {
            answers.broken = true;
            break;
        }
        let Some(body) = stream.get(5..len as usize + 1) else { break };
        if stream[0] == b'Z' && !b"ITE".contains(&body[0]) {
            answers.broken = true;
            break;
        }
        messages.push((stream[0], body));
        stream = &stream[len as usize + 1..];
    }
    answers.replied = messages.iter().any(|(tag, _)| b"DCIE".contains(tag));
    answers.at_boundary = stream.is_empty() && !answers.broken;
    if answers.at_boundary {
        match messages.iter().rev().find(|(tag, _)| !b"NSA".contains(tag)) {
            Some((b'Z', body)) => answers.at_rest = TxStatus::from_byte(body[0]),
            Some((b'E', _)) => answers.fatal = true,
            _ => (),
        }
    }
    answers
}

#[test]
fn rest_survives_asynchronous_messages_only() {
    let mut scan = BackendScan::new();
    assert_eq!(scan.at_rest(), None);
    scan.feed(&ready(TxStatus::Idle));
    assert_eq!(scan.at_rest(), Some(TxStatus::Idle));
    for tag in *b"NSA" {
        let bytes = message(tag, b"x\0y\0");
        scan.feed(&bytes[..3]);
        assert_eq!(scan.at_rest(), None, "half a message is pending");
        scan.feed(&bytes[3..]);
        assert_eq!(scan.at_rest(), Some(TxStatus::Idle));
    }
    scan.feed(&message(b'1', b""));
    assert_eq!(scan.at_rest(), None);
    assert!(scan.at_boundary());
    scan.feed(&ready(TxStatus::Failed));
    assert_eq!(scan.at_rest(), Some(TxStatus::Failed));
}

#[test]
fn a_scanner_can_start_after_the_handshake() {
    assert_eq!(BackendScan::after_ready(TxStatus::InTransaction).at_rest(), Some(TxStatus::InTransaction));
}

#[test]
fn first_reply_is_told_once() {
    for tag in *b"DCIE" {
        let mut scan = BackendScan::new();
        scan.feed(&[message(b'T', b"cols"), ready(TxStatus::Idle)].concat());
        assert!(!scan.take_first_reply());
        let bytes = message(tag, b"body");
        scan.feed(&bytes[..6]);
        assert!(!scan.take_first_reply());
        scan.feed(&bytes[6..]);
        assert!(scan.take_first_reply());
        assert!(!scan.take_first_reply());
        scan.feed(&bytes);
        assert!(!scan.take_first_reply());
    }
}

#[test]
fn an_error_is_last_until_something_follows() {
    let mut scan = BackendScan::new();
    scan.feed(&message(b'E', b"SFATAL\0\0"));
    assert!(scan.fatal_seen());
    scan.feed(b"Z");
    assert!(!scan.fatal_seen());
    scan.feed(&ready(TxStatus::Idle)[1..]);
    assert!(!scan.fatal_seen());
    assert_eq!(scan.at_rest(), Some(TxStatus::Idle));
}

#[test]
fn nonsense_is_sticky() {
    for bytes in [
        &b"D\x00\x00\x00\x03"[..],
        b"D\xff\xff\xff\xff",
        b"Z\x00\x00\x00\x04",
        b"Z\x00\x00\x00\x05x",
        b"HTTP/1.1 400",
    ] {
        let mut scan = BackendScan::after_ready(TxStatus::Idle);
        scan.feed(bytes);
        // "HTTP/" reads as the header of a body of over a gigabyte: wrong, but not impossible.
        if bytes[0] == b'H' {
            assert!(!scan.at_boundary());
            continue;
        }
        let error = scan.error();
        assert!(error.is_some(), "{bytes:?}");
        scan.feed(&ready(TxStatus::Idle));
        assert_eq!((scan.error(), scan.at_rest(), scan.at_boundary()), (error, None, false));
    }
}

#[test]
fn a_big_row_is_skipped_by_length() {
    let mut scan = BackendScan::new();
    scan.feed(b"D\x3f\xff\xff\xff");
    let chunk = vec![b'Z'; 1 << 20];
    let mut left = 0x3fff_ffff - 4;
    while left > 0 {
        let used = chunk.len().min(left);
        scan.feed(&chunk[..used]);
        left -= used;
    }
    assert!(scan.at_boundary() && scan.take_first_reply());
    assert!(std::mem::size_of::<BackendScan>() <= 64, "one per connection, and no buffer");
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let good =
        (proptest::sample::select(&b"DCIETNSA12nstKRGW"[..]), proptest::collection::vec(any::<u8>(), 0..12))
            .prop_map(|(tag, body)| message(tag, &body));
    let rest = proptest::sample::select(vec![TxStatus::Idle, TxStatus::InTransaction, TxStatus::Failed])
        .prop_map(ready);
    let bad = (any::<u8>(), -3_i32..8).prop_map(|(tag, len)| [&[tag][..], &len.to_be_bytes()].concat());
    let piece = prop_oneof![8 => good, 4 => rest, 1 => bad, 1 => Just(message(b'Z', b"?"))];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_answers_of_the_simple_parser(
        stream in stream(),
        cuts in proptest::collection::vec(1_usize..20, 1..30),
    ) {
        let mut scan = BackendScan::new();
        let mut fed = 0;
        let mut cuts = cuts.iter().cycle();
        prop_assert_eq!(ask(&scan), reference(&[]));
        while fed < stream.len() {
            let end = stream.len().min(fed + cuts.next().unwrap());
            scan.feed(&stream[fed..end]);
            fed = end;
            prop_assert_eq!(ask(&scan), reference(&stream[..fed]), "after {} bytes of {:?}", fed, stream);
        }
    }
}

#[test]
fn a_notice_from_a_running_statement_is_not_rest() {
    let mut scan = BackendScan::after_ready(TxStatus::Idle);
    assert_eq!(scan.at_rest(), Some(TxStatus::Idle));
    scan.client_sent(ClientScan::default().feed(&message(b'Q', b"select 1\0")));
    scan.feed(b"N\0\0\0\x05\0");
    assert_eq!(scan.at_rest(), None, "the statement that raised the notice still runs");
    scan.feed(b"Z\0\0\0\x05I");
    assert_eq!(scan.at_rest(), Some(TxStatus::Idle));
}

#[test]
fn rest_begins_with_the_last_answer() {
    let (mut client, mut scan) = (ClientScan::default(), BackendScan::after_ready(TxStatus::Idle));
    let mut say = |scan: &mut BackendScan, tags: &[u8]| {
        let said: Vec<u8> = tags.iter().flat_map(|tag| message(*tag, b"")).collect();
        scan.client_sent(client.feed(&said));
    };
    let idle = Some(TxStatus::Idle);
    say(&mut scan, b"PBESQF");
    for rest in [None, None, idle] {
        scan.feed(&ready(TxStatus::Idle));
        assert_eq!(scan.at_rest(), rest);
    }
    // A backend that waits for COPY data ignores a Sync; what fails has everything ignored up to the next.
    for (said, answers) in [(&b"PBESdcS"[..], &b"12GC"[..]), (b"PBEQQS", b"E"), (b"BFS", b"2")] {
        say(&mut scan, said);
        answers.iter().for_each(|tag| scan.feed(&message(*tag, b"x")));
        assert_eq!(scan.at_rest(), None);
        scan.feed(&ready(TxStatus::Idle));
        assert_eq!(scan.at_rest(), idle, "{said:?}");
    }
    // Answers that nobody seems to wait for.
    scan.feed(&ready(TxStatus::Idle));
    say(&mut scan, b"S");
    scan.feed(&ready(TxStatus::Idle));
    assert_eq!(scan.at_rest(), idle);
    say(&mut scan, b"dcfH");
    assert_eq!(scan.at_rest(), idle, "none of these is answered");
}

/// The simple parser of what a client says: its tags, and whether the stream ends between two of them.
fn client_tags(mut stream: &[u8]) -> (Vec<u8>, bool) {
    let mut tags = Vec::new();
    while let Some(tag) = stream.first() {
        tags.push(*tag);
        let len = stream
            .get(1..5)
            .map_or(usize::MAX - 1, |len| i32::from_be_bytes(len.try_into().unwrap()) as usize);
        let Some(rest) = stream.get(len + 1..) else { return (tags, false) };
        stream = rest;
    }
    (tags, true)
}

proptest! {
    #[test]
    fn any_split_of_what_a_client_says_means_the_same(
        messages in proptest::collection::vec(
            (proptest::sample::select(&b"QFSPBDECHdcfX"[..]), proptest::collection::vec(any::<u8>(), 0..12)),
            0..12,
        ),
        cuts in proptest::collection::vec(1_usize..20, 1..30),
    ) {
        let stream: Vec<u8> = messages.iter().flat_map(|(tag, body)| message(*tag, body)).collect();
        let (mut scan, mut fed, mut asks, mut doubtful) = (ClientScan::default(), 0, 0, false);
        let mut cuts = cuts.iter().cycle();
        while fed < stream.len() {
            let end = stream.len().min(fed + cuts.next().unwrap());
            let (before, said) = (client_tags(&stream[..fed]), scan.feed(&stream[fed..end]));
            let after = client_tags(&stream[..end]);
            let touched = &after.0[before.0.len() - usize::from(!before.1)..];
            prop_assert_eq!(said.mute, touched.iter().all(|tag| b"dcfH".contains(tag)));
            prop_assert_eq!(scan.at_boundary(), after.1);
            (asks, doubtful, fed) = (asks + said.asks, doubtful | said.doubtful, end);
        }
        let tags: Vec<u8> = messages.iter().map(|(tag, _)| *tag).collect();
        prop_assert_eq!(asks as usize, tags.iter().filter(|tag| b"QFS".contains(tag)).count());
        let steps = tags.split(|tag| *tag == b'S');
        let mixed = |step: &[u8]| step.iter().skip_while(|tag| !b"PBDEC".contains(tag)).any(|tag| b"QF".contains(tag));
        prop_assert_eq!(doubtful, steps.into_iter().any(mixed));
    }
}

#[test]
fn what_is_no_protocol_is_waited_for_once() {
    let mut client = ClientScan::default();
    client.feed(b"Q\0\0\0\0");
    let said = client.feed(b"S\0\0\0\x04");
    assert_eq!(said, Said { asks: 0, doubtful: true, mute: false });
    assert!(!client.at_boundary());
}

#[test]
fn a_change_of_roles_is_noticed_however_it_is_cut() {
    let change = [message(b'C', b"ALTER ROLE\0"), ready(TxStatus::InTransaction)].concat();
    let commit = [message(b'C', b"COMMIT\0"), ready(TxStatus::Idle)].concat();
    let rows =
        [message(b'D', b"ALTER ROLE\0"), message(b'C', b"SELECT 12345678\0"), ready(TxStatus::Idle)].concat();
    for size in 1..change.len() {
        let mut scan = BackendScan::new();
        let feed = |scan: &mut BackendScan, stream: &[u8]| {
            stream.chunks(size).for_each(|chunk| scan.feed(chunk));
            (scan.take_roles_changed(), scan.may_change_roles())
        };
        assert_eq!(feed(&mut scan, &rows), (false, false));
        assert_eq!(feed(&mut scan, &change), (true, true));
        assert!(!scan.take_roles_changed());
        assert_eq!(feed(&mut scan, &commit), (true, false));
        assert_eq!(feed(&mut scan, &commit), (false, false));
        // A block that committed and failed then.
        assert_eq!(feed(&mut scan, &message(b'E', b"SERROR\0\0")), (true, true));
        assert_eq!(feed(&mut scan, &ready(TxStatus::Idle)), (true, false));
        // Nobody knows what is under way.
        scan.client_sent(Said { asks: 1, doubtful: false, mute: false });
        assert!(scan.may_change_roles());
        assert_eq!(feed(&mut scan, &rows), (false, false));
    }
}
