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
    assert_eq!(sent(&mut link, &Say::Parse(1, 8)), Err(Violation::Taken("s1".to_owned())));
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
