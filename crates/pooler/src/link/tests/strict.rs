//! Names as PgBouncer takes them.

use super::*;

fn strict(max_prepared: usize) -> (Client, Server, Common) {
    let common = Common { strict: true, ..Common::new(max_prepared) };
    (Client::default(), Server::new(TxStatus::Idle, Reported::new()), common)
}

fn sent((client, server, common): &mut (Client, Server, Common), say: &Say) -> Result<Sent, Violation> {
    up(client, server, common, &encode(say, 0), &mut Vec::new())
}

#[test]
fn what_was_not_prepared_does_not_exist_and_a_name_is_given_once() {
    for unknown in [Say::Bind(1), Say::DescribeStatement(1)] {
        assert_eq!(sent(&mut strict(10), &unknown), Err(Violation::Unknown));
    }
    let mut link = strict(10);
    assert!(sent(&mut link, &Say::Parse(1, 7)).is_ok() && sent(&mut link, &Say::Bind(1)).is_ok());
    // In a failed transaction it is PostgreSQL's to refuse, so it waits for what was sent before.
    assert!(sent(&mut link, &Say::Parse(1, 8)).is_ok() && link.0.is_stalled());
    let (client, server, common) = &mut link;
    down(client, server, common, b"1\0\0\0\x042\0\0\0\x04", &mut Vec::new()).unwrap();
    let again = up(client, server, common, &[], &mut Vec::new());
    assert_eq!(again, Err(Violation::Taken("s1".to_owned())));
    // The unnamed statement is PostgreSQL's business.
    assert!(sent(&mut strict(10), &Say::Bind(0)).is_ok());
}

#[test]
fn nothing_is_counted_when_it_is_turned_off() {
    for (max, counted) in [(10, 1), (0, 0)] {
        let mut link = strict(max);
        assert!(sent(&mut link, &Say::Parse(1, 7)).is_ok() && sent(&mut link, &Say::Bind(1)).is_ok());
        let counters = &link.2.counters;
        assert_eq!(
            (counters.client_parse_count, counters.server_parse_count, counters.bind_count),
            (counted, counted, counted)
        );
    }
}

#[test]
fn a_name_may_be_longer_than_postgresql_takes_because_it_never_sees_it() {
    let name = "n".repeat(16 << 10);
    let message = |tag: u8, body: &[&[u8]]| {
        let body = body.concat();
        [&[tag], u32::try_from(body.len() + 4).unwrap().to_be_bytes().as_slice(), &body].concat()
    };
    let messages = |name: &[u8]| {
        let parse = message(b'P', &[name, b"\0select 1\0\0\0"]);
        [parse, message(b'D', &[b"S", name, b"\0"]), message(b'C', &[b"S", name, b"\0"]), message(b'S', &[])]
            .concat()
    };
    let (mut client, mut server, mut common) = strict(10);
    let mut out = Vec::new();
    up(&mut client, &mut server, &mut common, &messages(name.as_bytes()), &mut out).unwrap();
    assert!(out.len() < 200, "the name is not passed on: {} bytes", out.len());
    let too_long = "n".repeat(65 << 10);
    let (mut client, mut server, mut common) = strict(10);
    let refused = up(&mut client, &mut server, &mut common, &messages(too_long.as_bytes()), &mut Vec::new());
    assert!(matches!(refused, Err(Violation::TooLong { .. })), "{refused:?}");
}

#[test]
fn simple_queries_are_refused_where_they_are_not_wanted() {
    let mut link = strict(10);
    let (client, server, common) = &mut link;
    let select = [b"Q\0\0\0\x0d".as_slice(), b"select 1\0"].concat();
    let mut ask = |common: &mut Common| up(client, server, common, &select, &mut Vec::new());
    assert_eq!(ask(common), Ok(Sent::AsItIs));
    common.no_simple = true;
    assert_eq!(ask(common), Err(Violation::Simple));
    assert_eq!(Violation::Simple.to_string(), "PQexec disallowed");
    link.1.expect.clear();
    assert!(sent(&mut link, &Say::Parse(1, 7)).is_ok(), "the extended protocol goes on");
}
