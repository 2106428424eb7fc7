//! Commands, columns, and conversations in both protocols.

use std::time::Duration;

use dormouse_base::clock::Mono;
use proptest::prelude::*;

use super::*;
use crate::config::{Limits, PoolMode, Settings};
use crate::pool::Books;
use crate::stats::{Averages, Counters};

#[test]
fn commands_are_read_as_pgbouncer_reads_them() {
    let db = |name: &str| Some(name.to_owned());
    let cases = [
        ("SHOW POOLS", Command::Show(Show::Pools)),
        (" show  stats_totals ; ", Command::Show(Show::StatsTotals)),
        ("select version", Command::Show(Show::Version)),
        ("SHOW \"pools\"", Command::Show(Show::Pools)),
        ("show TimeZone", Command::ShowParameter { name: "timezone", value: "GMT" }),
        ("PAUSE", Command::Pause(None)),
        ("pause my_db;", Command::Pause(db("my_db"))),
        ("RESUME \"a \"\"b\"\"-c\"", Command::Resume(db("a \"b\"-c"))),
        ("reconnect", Command::Reconnect(None)),
        ("KILL db1", Command::Kill(db("db1"))),
        ("WAIT_CLOSE", Command::WaitClose(None)),
        ("DISABLE x", Command::Disable(String::from("x"))),
        ("KILL_CLIENT 42", Command::KillClient(42)),
        ("shutdown wait_for_clients", Command::Shutdown(ShutdownMode::WaitForClients)),
        ("SHUTDOWN", Command::Shutdown(ShutdownMode::Immediate)),
        ("", Command::Empty),
        (" ; -- ping", Command::Empty),
        ("-- ping\nSUSPEND", Command::Suspend),
        ("SET default_pool_size=5", set("default_pool_size", "5")),
        ("set pool_mode TO 'session' ;", set("pool_mode", "session")),
        ("SET server_reset_query = 'a ''b'' c'", set("server_reset_query", "a 'b' c")),
        ("SET client_encoding TO 'UTF8'", Command::SetIgnored),
        ("TAKEOVER", Command::Takeover { clients: false }),
        ("takeover clients;", Command::Takeover { clients: true }),
        ("SELECT pg_catalog.set_config('a','b',false)", Command::SetIgnored),
        ("discard all", Command::SetIgnored),
    ];
    for (text, command) in cases {
        assert_eq!(parse(text), Ok(command), "{text}");
    }
}

fn set(name: &str, value: &str) -> Command {
    Command::Set { name: name.to_owned(), value: value.to_owned() }
}

#[test]
fn what_is_no_command() {
    for text in [
        "SHOW",
        "SHOW NOTHING",
        "BEGIN",
        "SELECT 1, 2",
        "PAUSE a b",
        "RELOAD now",
        "SET x",
        "SET x 5",
        "SHUTDOWN later",
        "SHOW POOLS; SHOW POOLS",
        "PAUSE \"open",
        "show-pools",
        "drop table x",
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.to_string(), format!("invalid command '{text}', use SHOW HELP;"));
    }
    assert_eq!(parse("ENABLE").unwrap_err().to_string(), "a database is required");
    assert_eq!(parse("KILL_CLIENT x").unwrap_err(), AdminError::InvalidClient);
    assert_eq!(AdminError::NoSuchDatabase(String::from("x")).client_error().code.as_str(), "08P01");
}

#[test]
fn columns_and_letters_match() {
    for show in Show::ALL {
        assert_eq!(Show::named(&show.word().to_uppercase()), Some(*show));
        let Some(columns) = show.columns() else { continue };
        assert_eq!(columns.kinds.len(), columns.names.len(), "{show:?}");
    }
}

/// One table of each kind that has rows.
fn tables() -> Vec<(Show, Table)> {
    let books: Books<(), ()> = Books::default();
    let mut counts = books.counts(Mono::now(), &Limits::default());
    (counts.sv_active, counts.cl_active, counts.maxwait) = (5, 9, Duration::from_micros(2_000_007));
    let pool = show::Pool {
        database: String::from("app"),
        user: String::from("alice"),
        counts,
        cancels_active: 0,
        cancels_waiting: 0,
        being_canceled: 0,
        tested: 1,
        pool_mode: PoolMode::Transaction,
        load_balance_hosts: None,
    };
    let totals = Counters { xact_count: 11, sent: u64::MAX, ..Counters::default() };
    let averages = Averages(Counters { query_time: 70_000, ..Counters::default() });
    let stats = [show::Stats { database: String::from("app"), totals, averages }];
    let user = show::User { name: String::from("bob"), pool_size: Some(7), ..show::User::default() };
    vec![
        (Show::Pools, show::pools(&[pool])),
        (Show::Stats, show::stats(&stats)),
        (Show::StatsTotals, show::stats_totals(&stats)),
        (Show::StatsAverages, show::stats_averages(&stats)),
        (Show::Totals, show::totals(&totals, &averages)),
        (Show::Users, show::users(&[user])),
        (Show::Databases, show::databases(&[show::Database::default()])),
        (Show::Lists, show::lists(&show::Lists { pools: 3, ..show::Lists::default() })),
        (Show::Config, show::config(&Settings::default(), false)),
        (Show::State, show::state(true, false)),
        (Show::Mem, show::mem([("client_cache", 100, 2, 1)])),
        (Show::Version, show::one(Show::Version, "PgBouncer 1.25.2")),
        (Show::Clients, show::clients(&[socket(show::Side::Client), socket(show::Side::Server)])),
        (Show::Servers, show::servers(&[socket(show::Side::Server)])),
        (Show::Sockets, show::sockets(&[socket(show::Side::Client)])),
        (Show::Peers, show::peers(&[show::Peer { id: 1, host: String::new(), port: 1, pool_size: 1 }])),
        (
            Show::PeerPools,
            show::peer_pools(&[show::PeerPool { id: 1, active: 0, waiting: 0, servers: 0, login: 0 }]),
        ),
    ]
}

fn socket(side: show::Side) -> show::Socket {
    let at = dormouse_base::clock::Timestamp::UNIX_EPOCH;
    show::Socket {
        side,
        user: None,
        database: Some(String::from("app")),
        replication: "none",
        state: "active",
        addr: (String::from("::1"), 5),
        local_addr: (String::from("::1"), 6),
        connect_time: at,
        request_time: at,
        wait: Duration::ZERO,
        close_needed: true,
        link: None,
        remote_pid: 0,
        tls: String::new(),
        application_name: String::from("psql"),
        prepared_statements: 0,
        id: 255,
        pinned: String::new(),
        buffers: show::Buffers::default(),
    }
}

#[test]
fn rows_fit_their_columns() {
    for (show, table) in tables() {
        assert_eq!(Some(table.columns), show.columns(), "{show:?}");
        assert!(!table.rows.is_empty(), "{show:?}");
        for row in &table.rows {
            assert_eq!(row.len(), table.columns.names.len(), "{show:?}");
            for (cell, kind) in row.iter().zip(table.columns.kinds.bytes()) {
                let number = cell.as_ref().is_none_or(|text| text.parse::<u64>().is_ok());
                assert!(number || !matches!(kind, b'i' | b'q' | b'N'), "{show:?}: {cell:?}");
            }
        }
    }
}

/// A named cell of the first row.
fn value<'a>(tables: &'a [(Show, Table)], show: Show, column: &str) -> Option<&'a str> {
    let table = &tables.iter().find(|(known, _)| *known == show).unwrap().1;
    let place = table.columns.names.iter().position(|name| *name == column).unwrap();
    table.rows[0][place].as_deref()
}

#[test]
fn values_stand_in_their_columns() {
    let tables = tables();
    let cell = |show, column| value(&tables, show, column).unwrap_or("null");
    assert_eq!((cell(Show::Pools, "maxwait"), cell(Show::Pools, "maxwait_us")), ("2", "7"));
    assert_eq!((cell(Show::Pools, "sv_active"), cell(Show::Pools, "sv_tested")), ("4", "1"));
    assert_eq!((cell(Show::Stats, "total_xact_count"), cell(Show::Stats, "avg_query_time")), ("11", "70000"));
    assert_eq!(cell(Show::Stats, "total_sent"), "18446744073709551615");
    assert_eq!((cell(Show::Users, "pool_size"), cell(Show::Users, "pool_mode")), ("        7", "null"));
    assert_eq!((cell(Show::Clients, "state"), cell(Show::Clients, "user")), ("idle", "(nouser)"));
    assert_eq!((cell(Show::Clients, "ptr"), cell(Show::Clients, "id")), ("0x00000000000000ff", "255"));
    assert_eq!(cell(Show::Clients, "connect_time"), "1970-01-01 00:00:00 UTC");
    assert_eq!(cell(Show::Mem, "memtotal"), "300");
}

/// Tags and bodies.
fn split(mut bytes: &[u8]) -> Vec<(char, Vec<u8>)> {
    let mut out = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<5>() {
        let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize - 4;
        out.push((head[0] as char, rest[..len].to_vec()));
        bytes = &rest[len..];
    }
    assert!(bytes.is_empty());
    out
}

fn tags(bytes: &[u8]) -> String {
    split(bytes).into_iter().map(|(tag, _)| tag).collect()
}

#[test]
fn a_simple_query() {
    let (mut console, mut out) = (Console::new(true, Width::Ours), Vec::new());
    assert_eq!(console.message(b'Q', b"SHOW POOLS\0", &mut out), Ok(Action::Run(Command::Show(Show::Pools))));
    assert!(out.is_empty());
    console.answer(Ok(Reply::Table(tables().remove(0).1)), &mut out);
    let messages = split(&out);
    assert_eq!(tags(&out), "TDCZ");
    // 17 columns; the third is an int4.
    assert_eq!(messages[0].1[..2], [0, 17]);
    assert!(
        messages[0]
            .1
            .windows(21)
            .any(|part| part == b"cl_active\0\0\0\0\0\0\0\0\0\0\x17\0\x04"[..21].as_ref())
    );
    assert_eq!(messages[2].1, b"SHOW\0");

    out.clear();
    assert_eq!(console.message(b'Q', b"SET verbose=1\0", &mut out), Ok(Action::Run(set("verbose", "1"))));
    console.answer(Ok(Reply::Done), &mut out);
    assert_eq!(split(&out)[0].1, b"SET verbose=1\0");

    for (query, answer) in [("SHOW HELP", "NCZ"), ("", "IZ"), ("SHOW datestyle", "TDCZ"), ("NO", "EZ")] {
        out.clear();
        assert_eq!(console.message(b'Q', format!("{query}\0").as_bytes(), &mut out), Ok(Action::None));
        assert_eq!(tags(&out), answer, "{query}");
    }
    assert_eq!(console.message(b'X', b"", &mut out), Ok(Action::Close));
    assert!(console.message(b'Q', b"no end", &mut out).is_err());
}

#[test]
fn what_only_dormouse_has_stands_in_its_own_database() {
    let clients = || tables().into_iter().find(|(show, _)| *show == Show::Clients).unwrap().1;
    for (width, columns) in [(Width::Theirs, 21_u16), (Width::Ours, 22)] {
        let (mut console, mut out) = (Console::new(true, width), Vec::new());
        console.message(b'Q', b"SHOW CLIENTS\0", &mut out).unwrap();
        console.answer(Ok(Reply::Table(clients())), &mut out);
        console.message(b'P', b"\0SHOW CLIENTS\0\0\0", &mut out).unwrap();
        console.message(b'D', b"S\0", &mut out).unwrap();
        let messages: Vec<_> = split(&out).into_iter().filter(|it| matches!(it.0, 'T' | 'D')).collect();
        assert_eq!(messages.len(), 3, "{}", tags(&out));
        assert!(messages.iter().all(|(_, body)| body[..2] == columns.to_be_bytes()), "{width:?}");
    }
}

#[test]
fn who_may_only_look() {
    let (mut console, mut out) = (Console::new(false, Width::Ours), Vec::new());
    assert_eq!(console.message(b'Q', b"PAUSE\0", &mut out), Ok(Action::None));
    assert!(String::from_utf8_lossy(&out).contains("admin access needed"));
    assert_eq!(tags(&out), "EZ");
    assert_eq!(console.message(b'Q', b"SHOW LISTS\0", &mut out), Ok(Action::Run(Command::Show(Show::Lists))));
}

#[test]
fn the_extended_protocol() {
    let (mut console, mut out) = (Console::new(true, Width::Ours), Vec::new());
    let mut send = |console: &mut Console, tag, body: &[u8]| {
        let action = console.message(tag, body, &mut out).unwrap();
        (action, std::mem::take(&mut out))
    };
    let quiet = |(action, out): (Action, Vec<u8>)| (action == Action::None).then(|| tags(&out)).unwrap();
    assert_eq!(quiet(send(&mut console, b'P', b"s\0SHOW STATS_TOTALS\0\0\0")), "1");
    assert_eq!(quiet(send(&mut console, b'D', b"Ss\0")), "tT");
    // All results in binary.
    assert_eq!(quiet(send(&mut console, b'B', b"\0s\0\0\0\0\0\0\x01\0\x01")), "2");
    let (action, _) = send(&mut console, b'E', b"\0\0\0\0\0");
    assert_eq!(action, Action::Run(Command::Show(Show::StatsTotals)));
    let mut rows = Vec::new();
    console.answer(Ok(Reply::Table(tables().remove(2).1)), &mut rows);
    let messages = split(&rows);
    assert_eq!(tags(&rows), "DC");
    // The third column, xact_count, is 11 as a numeric: one group, power 0, positive, no digits after the point.
    assert!(messages[0].1.windows(14).any(|part| part == [0, 0, 0, 10, 0, 1, 0, 0, 0, 0, 0, 0, 0, 11]));
    assert_eq!(quiet(send(&mut console, b'S', b"")), "Z");

    // An error skips up to Sync.
    assert_eq!(quiet(send(&mut console, b'P', b"\0nonsense\0\0\0")), "E");
    assert_eq!(quiet(send(&mut console, b'B', b"\0s\0\0\0\0\0\0\0")), "");
    assert_eq!(quiet(send(&mut console, b'S', b"")), "Z");
    assert_eq!(quiet(send(&mut console, b'B', b"\0s\0\0\0\0\x01\0\0\0\x01x\0\0")), "E");
    assert_eq!(quiet(send(&mut console, b'S', b"")), "Z");
    assert_eq!(quiet(send(&mut console, b'C', b"Ss\0")), "3");
    assert_eq!(quiet(send(&mut console, b'D', b"Ss\0")), "E");
}

#[test]
fn statements_have_a_limit() {
    let (mut console, mut out) = (Console::new(true, Width::Ours), Vec::new());
    for n in 0..=MAX_PREPARED {
        out.clear();
        console.message(b'P', format!("s{n}\0SHOW POOLS\0\0\0").as_bytes(), &mut out).unwrap();
    }
    assert_eq!(tags(&out), "E");
}

proptest! {
    #[test]
    fn any_bytes_are_safe(tag in any::<u8>(), body in proptest::collection::vec(any::<u8>(), 0..64), text in ".{0,40}") {
        let (mut console, mut out) = (Console::new(true, Width::Ours), Vec::new());
        let _ = console.message(tag, &body, &mut out);
        let _ = parse(&text);
        let _ = parse(&format!("set {text}"));
    }
}
