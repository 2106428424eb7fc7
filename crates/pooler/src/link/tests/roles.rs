//! Whether it is noticed that roles may have changed, however the answers are cut.

use dormouse_pgwire::backend::TxStatus;

use super::super::*;
use super::backend::message;
use crate::settings::{Reported, Settings};

/// Whether it is told with these answers to a simple query, in two pieces, and whether a change is under way then.
fn told(before: &str, answers: &[(u8, &[u8])], cut: usize) -> (bool, bool) {
    let mut client = Client::new(Settings::default(), Reported::new(), false);
    let mut server = Server::new(TxStatus::Idle, Reported::new());
    let mut common = Common::new(10);
    let query = message(b'Q', format!("{before}\0").as_bytes());
    up(&mut client, &mut server, &mut common, &query, &mut Vec::new()).unwrap();
    let stream: Vec<u8> = answers.iter().flat_map(|(tag, body)| message(*tag, body)).collect();
    let cut = cut.min(stream.len());
    let mut changed = false;
    for piece in [&stream[..cut], &stream[cut..]] {
        let got = down(&mut client, &mut server, &mut common, piece, &mut Vec::new()).unwrap();
        changed |= got.roles_changed;
    }
    (changed, server.may_change_roles())
}

#[test]
fn it_is_told_before_the_client_is() {
    let idle: (u8, &[u8]) = (b'Z', b"I");
    for cut in 0..40 {
        assert_eq!(told("select f()", &[(b'C', b"SELECT 1\0"), idle], cut), (false, false));
        assert_eq!(told("begin", &[(b'C', b"BEGIN\0"), (b'Z', b"T")], cut), (false, true));
        assert_eq!(told("alter role a login", &[(b'C', b"ALTER ROLE\0"), idle], cut), (true, false));
        assert_eq!(told("alter role a login", &[(b'C', b"ALTER ROLE\0"), (b'Z', b"T")], cut), (true, true));
        let failed: (u8, &[u8]) = (b'E', b"SERROR\0VERROR\0CP0001\0Mno\0\0");
        assert_eq!(told("do 'begin … commit; raise …'", &[failed, idle], cut), (true, false));
        assert_eq!(told("select f()", &[], cut), (false, true));
        let both = [(b'C', &b"ALTER ROLE\0"[..]), (b'C', b"SELECT 1\0"), idle];
        assert_eq!(told("alter role a login; select 1", &both, cut), (true, false));
    }
}
