//! COPY data: when the backend waits for it, who waits for whom, and what becomes of a Sync.

use proptest::prelude::*;

use super::backend::message;
use super::pair::{pair, query};
use super::*;

fn copies(count: u32) -> Vec<u8> {
    message(b'C', format!("COPY {count}\0").as_bytes())
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

#[test]
fn a_backend_that_waits_for_data_is_not_waited_for() {
    let mut startup = Settings::default();
    startup.set("statement_timeout", "1h").unwrap();
    let (data, done) = (message(b'd', b"x\n"), message(b'c', b""));
    let waits = message(b'G', &[0, 0, 0]);
    for text in ["reset statement_timeout; copy t from stdin", "set work_mem to default; copy t from stdin"] {
        // The data may come before it is known that the backend waits for it, too.
        for early in [false, true] {
            let mut pair = pair();
            pair.client = Client::new(startup.clone(), Reported::new(), false);
            let (reset, rest) = (query(text), [&data[..], &done, &query("select 1")].concat());
            let first = if early { [reset.clone(), rest.clone()].concat() } else { reset.clone() };
            assert_eq!(pair.up(&first).unwrap(), reset, "{text}");
            pair.down(&[message(b'C', b"RESET\0"), waits.clone()].concat());
            let later = if early { &[][..] } else { &rest };
            assert_eq!(pair.up(later).unwrap(), [&data[..], &done].concat(), "{text}, early: {early}");
            // What follows does wait: for the settings that the client began with.
            assert!(pair.client.is_stalled());
            pair.down(&[copies(1), ready()].concat());
            assert_eq!(pair.up(b"").unwrap(), query("select 1"));
            assert!(!pair.client.is_stalled());
        }
    }
}

#[test]
fn a_sync_among_data_is_answered_if_the_copy_has_failed_before() {
    let error = message(b'E', b"SERROR\0C22P04\0Mno\0\0");
    let (data, sync, end) = (message(b'd', b"wrong\n"), message(b'S', b""), message(b'f', b"enough\0"));
    for answered in [false, true] {
        let mut pair = pair();
        pair.up(&query("copy t from stdin")).unwrap();
        pair.down(&message(b'G', &[0, 0, 0]));
        let said = [&data[..], &sync, &end].concat();
        assert_eq!(pair.up(&said).unwrap(), said);
        let told = pair.down(&[error.clone(), ready()].concat());
        assert_eq!(told, [error.clone(), ready()].concat());
        assert!(!pair.server.is_free(&pair.client), "one more may come");
        assert_eq!(pair.up(b"").unwrap(), query(""), "now that will be known");
        if answered {
            assert_eq!(pair.down(&ready()), ready());
        }
        assert_eq!(pair.down(&[message(b'I', b""), ready()].concat()), b"");
        assert!(pair.server.is_free(&pair.client));
    }
}

/// As tokio-postgres gives a COPY up, and closes its statement, while more is waiting already.
#[test]
fn what_follows_waits_until_it_is_known_how_the_data_was_read() {
    let sync = message(b'S', b"");
    let parse = |name: &str| message(b'P', format!("{name}\0copy t from stdin\0\0\0").as_bytes());
    let run = [message(b'B', b"\0s\0\0\0\0\0\0\0"), message(b'E', b"\0\0\0\0\0"), sync.clone()].concat();
    let close = [message(b'C', b"Ss\0"), sync.clone()].concat();
    let error = message(b'E', b"SERROR\0C57014\0Mno\0\0");
    let (parsed, closed) = (message(b'1', b""), message(b'3', b""));
    for later in [false, true] {
        let mut pair = pair();
        pair.up(&[parse("s"), sync.clone()].concat()).unwrap();
        pair.down(&[parsed.clone(), ready()].concat());
        pair.up(&run).unwrap();
        pair.down(&[message(b'2', b""), message(b'G', &[0, 0, 0])].concat());
        let fail = [message(b'f', b"enough\0"), sync.clone(), close.clone()].concat();
        let next = [message(b'P', b"t\0select 1\0\0\0"), sync.clone()].concat();
        let said = if later { fail.clone() } else { [fail.clone(), next.clone()].concat() };
        pair.up(&said).unwrap();
        let told = [error.clone(), ready()].concat();
        assert_eq!(pair.down(&told), told);
        assert_eq!(pair.up(b"").unwrap(), query(""));
        assert_eq!(pair.down(&[message(b'I', b""), ready()].concat()), b"");
        pair.up(b"").unwrap();
        if later {
            pair.up(&next).unwrap();
        }
        let rest = pair.down(&[ready(), parsed.clone(), ready()].concat());
        assert_eq!(rest, [closed.clone(), ready(), parsed.clone(), ready()].concat(), "later: {later}");
        assert!(pair.server.is_free(&pair.client));
    }
}

/// PostgreSQL would end the connection at the Close, of which this backend does not know.
#[test]
fn a_statement_closed_in_front_of_its_data_does_not_count_as_an_answer() {
    let sync = message(b'S', b"");
    let (waits, closed) = (message(b'G', &[0, 0, 0]), message(b'3', b""));
    for between in [false, true] {
        for fails in [false, true] {
            let mut pair = pair();
            pair.up(&[message(b'P', b"s\0copy t from stdin\0\0\0"), sync.clone()].concat()).unwrap();
            pair.down(&[message(b'1', b""), ready()].concat());
            pair.up(&[message(b'B', b"\0s\0\0\0\0\0\0\0"), message(b'E', b"\0\0\0\0\0")].concat()).unwrap();
            let syncs = if between { &sync[..] } else { &[] };
            let end = if fails { message(b'f', b"enough\0") } else { message(b'c', b"") };
            let next = [message(b'P', b"\0select 1\0\0\0"), sync.clone()].concat();
            let said = [syncs, &message(b'C', b"Ss\0"), &sync, &end, &next].concat();
            assert_eq!(pair.up(&said).unwrap(), [syncs, &sync, &end].concat());
            pair.down(&[message(b'2', b""), waits.clone()].concat());
            if fails {
                // Nobody reads the Parse, and the Sync behind it is answered.
                let error = message(b'E', b"SERROR\0C57014\0Mno\0\0");
                assert_eq!(pair.down(&error), error);
                assert!(pair.up(b"").unwrap().starts_with(&[&sync[..], &query("")].concat()));
                pair.down(&[ready(), message(b'I', b""), ready()].concat());
                assert_eq!(pair.up(b"").unwrap(), sync);
                assert_eq!(pair.down(&ready()), ready());
            } else {
                assert_eq!(pair.down(&copies(1)), [copies(1), closed.clone()].concat());
                assert_eq!(pair.up(b"").unwrap(), next);
            }
        }
    }
}

/// What ends a COPY, and what comes in between: d = data, b = data that is not right, Flush, Sync, c, f.
const DATA: [&str; 10] = ["c", "dc", "dHdc", "dbdc", "f", "dHf", "dSbc", "dSSdc", "ff", "dbcHf"];

/// One COPY with everything that belongs to it.
#[derive(Debug, Clone)]
struct Copy {
    simple: bool,
    /// PostgreSQL has something against it before it reads.
    refused: bool,
    /// Syncs before the data.
    syncs: usize,
    data: usize,
    /// A simple query comes before the Sync that ends it: of a COPY that has failed nobody reads it.
    between: bool,
    /// What follows at once: nothing, a statement, a simple query.
    then: u8,
}

fn encode_copy(copy: &Copy, who: usize) -> Vec<u8> {
    let text = if copy.refused { "copy view" } else { "copy" };
    let sync = message(b'S', b"");
    let mut out = if copy.simple {
        query(text)
    } else {
        let parse = message(b'P', format!("\0{text}\0\0\0").as_bytes());
        [parse, message(b'B', b"\0\0\0\0\0\0\0\0"), message(b'E', b"\0\0\0\0\0")].concat()
    };
    out.extend(sync.repeat(copy.syncs));
    for tag in DATA[copy.data].bytes() {
        out.extend(if tag == b'b' { message(b'd', b"bad") } else { message(tag, b"") });
    }
    if copy.between {
        out.extend(encode(&Say::Query(9), who));
    }
    if !copy.simple {
        out.extend(sync.clone());
    }
    match copy.then {
        0 => {}
        1 => out.extend(
            [Say::Parse(0, 7), Say::Bind(0), Say::Execute, Say::Sync].iter().flat_map(|say| encode(say, who)),
        ),
        _ => out.extend(encode(&Say::Query(8), who)),
    }
    out
}

fn any_copy() -> impl Strategy<Value = Copy> {
    (any::<bool>(), any::<bool>(), 0_usize..3, 0..DATA.len(), any::<bool>(), 0..3_u8).prop_map(
        |(simple, refused, syncs, data, between, then)| Copy { simple, refused, syncs, data, between, then },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_copy_ends_as_on_a_backend_of_ones_own(
        copies in prop::collection::vec(prop::collection::vec(any_copy(), 1..6), 1..4),
        backends in 1_usize..3,
        turns in prop::collection::vec((any::<bool>(), 0_usize..4, 1_usize..30), 0..200),
    ) {
        let sent: Vec<Vec<u8>> = copies
            .iter()
            .enumerate()
            .map(|(who, copies)| copies.iter().flat_map(|copy| encode_copy(copy, who)).collect())
            .collect();
        let mut world = World::new(&sent, backends);
        for (is_up, who, count) in turns {
            if is_up { world.up(who % sent.len(), count) } else { world.down(who % backends, count) }
        }
        world.must_end_as_alone(&sent)?;
    }
}
