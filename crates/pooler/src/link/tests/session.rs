//! Session mode: a client's names are its own on the backend, too, whatever backend that is.

use super::pair::{Pair, query};
use super::*;

/// Texts by number: SQL that means the protocol's names among them.
fn text(number: u8) -> String {
    match number {
        0 => "begin".into(),
        1 => "rollback".into(),
        2 => "deallocate all".into(),
        3 => "err run".into(),
        4 => "errparse".into(),
        5 => "deallocate s1".into(),
        6 => "execute s1".into(),
        7 => "execute s2".into(),
        n => format!("select {n}"),
    }
}

fn says() -> impl Strategy<Value = Say> {
    prop_oneof![
        3 => (0..9_u8).prop_map(Say::Query),
        5 => (0..3_u8, 0..10_u8).prop_map(|(s, n)| Say::Parse(s, n)),
        6 => (0..3_u8).prop_map(Say::Bind),
        2 => (0..3_u8).prop_map(Say::DescribeStatement),
        5 => Just(Say::Execute),
        2 => (0..3_u8).prop_map(Say::CloseStatement),
        1 => Just(Say::Flush),
        6 => Just(Say::Sync),
    ]
}

/// A client of session mode, and the backend that it has at the moment.
struct Session {
    pair: Pair,
    fake: Fake,
    wire: Vec<u8>,
    got: Vec<u8>,
}

impl Session {
    fn new() -> Self {
        let pair = Pair {
            client: Client::new(Settings::default(), Reported::new(), true),
            server: Server::new(TxStatus::Idle, Reported::new()),
            common: Common::new(1),
        };
        Self { pair, fake: Fake::default(), wire: Vec::new(), got: Vec::new() }
    }

    /// A query of our own: nothing of it reaches the client.
    fn own(&mut self, sent: &[u8]) {
        let answer = self.fake.answer(sent);
        assert_eq!(self.pair.down(&answer), b"", "our own business");
        assert!(self.pair.server.is_at_rest());
    }

    fn up(&mut self, bytes: &[u8]) {
        while self.pair.server.is_idle() {
            if self.pair.server.must_ask() {
                let question = inspect(&self.pair.client, &mut self.pair.server);
                self.own(&question);
            }
            match replay(&self.pair.client, &mut self.pair.server) {
                Some(sql) => self.own(&sql),
                None => break,
            }
        }
        let sent = self.pair.up(bytes).unwrap();
        self.wire.extend(self.fake.answer(&sent));
        answers(&mut self.pair.client, &mut self.pair.server, &mut self.got);
    }

    fn down(&mut self, count: usize) {
        let count = count.min(self.wire.len());
        let chunk: Vec<u8> = self.wire.drain(..count).collect();
        let told = self.pair.down(&chunk);
        self.got.extend(told);
        if self.pair.client.is_stalled() {
            self.up(b"");
        }
    }

    /// On a backend that has nothing of it: what is sent so that it has its statements.
    fn restored(&mut self) -> Vec<u8> {
        self.pair.server = Server::new(TxStatus::Idle, Reported::new());
        let first = replay(&self.pair.client, &mut self.pair.server).unwrap();
        assert_eq!(first, query("SELECT pg_catalog.set_config('lock_timeout','10ms',false)"));
        self.pair.down(&message(b'Z', b"I"));
        replay(&self.pair.client, &mut self.pair.server).unwrap()
    }

    /// They were answered: its settings are its own again.
    fn has_all(&mut self) {
        let last = replay(&self.pair.client, &mut self.pair.server).unwrap();
        assert_eq!(last, query("RESET \"lock_timeout\""));
        self.pair.down(&message(b'Z', b"I"));
        assert_eq!(replay(&self.pair.client, &mut self.pair.server), None);
    }

    /// Its backend goes, and takes along whatever it has; the next one has something of a pool.
    fn moves(&mut self) {
        let rests = self.wire.is_empty() && self.pair.client.is_between() && self.pair.server.is_idle();
        if !rests || self.pair.server.must_ask() {
            return;
        }
        assert!(self.pair.server.can_be_rebuilt());
        self.pair.server = Server::new(TxStatus::Idle, Reported::new());
        self.fake = Fake::default();
        let mut other = Client::new(Settings::default(), Reported::new(), false);
        assert_eq!(replay(&other, &mut self.pair.server), None);
        let parse = [message(b'P', b"s1\0select of another\0\0\0"), message(b'S', b"")].concat();
        let mut out = Vec::new();
        up(&mut other, &mut self.pair.server, &mut self.pair.common, &parse, &mut out).unwrap();
        let answer = self.fake.answer(&out);
        down(&mut other, &mut self.pair.server, &mut self.pair.common, &answer, &mut Vec::new()).unwrap();
        assert!(self.fake.names()[0].starts_with("dormouse_"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_session_looks_like_a_backend_of_ones_own_on_whatever_backend(
        script in prop::collection::vec(says(), 1..30),
        turns in prop::collection::vec((0_u8..10, 1_usize..40), 0..150),
    ) {
        let end = [Say::Sync, Say::Query(1)];
        let bytes: Vec<u8> = script.iter().chain(&end).flat_map(|say| encode_as(say, &text)).collect();
        let mut session = Session::new();
        let mut to_send = &bytes[..];
        for (turn, count) in turns {
            match turn {
                0..5 if !session.pair.client.is_stalled() => {
                    let (now, later) = to_send.split_at(count.min(to_send.len()));
                    to_send = later;
                    if !now.is_empty() { session.up(now) }
                }
                0..8 => session.down(count),
                _ => session.moves(),
            }
        }
        for _ in 0..200 {
            session.down(usize::MAX);
            if !session.pair.client.is_stalled() && !to_send.is_empty() {
                session.up(std::mem::take(&mut to_send));
            }
        }
        let mut alone = Fake::default();
        prop_assert_eq!(replies(&session.got), replies(&alone.answer(&bytes)));
        session.up(b"");
        prop_assert_eq!(session.fake.names(), alone.names());
        prop_assert_eq!(session.pair.server.prepared(), alone.names().len(), "what is gone is not remembered");
    }
}

#[test]
fn the_unnamed_statement_outlives_an_error_of_another() {
    let mut session = Session::new();
    let sync = message(b'S', b"");
    let parse = [message(b'P', b"\0select 1\0\0\0"), sync.clone()].concat();
    for bytes in [query("begin"), parse, uses(), b"".to_vec()] {
        session.up(&bytes);
        session.down(usize::MAX);
    }
    assert!(session.got.ends_with(&message(b'Z', b"E")));
    let unnamed = message(b'B', b"\0\0\0\0\0\0\0\0");
    assert_eq!(
        session.pair.up(&unnamed).unwrap(),
        unnamed,
        "the transaction has failed: it could not be parsed again"
    );
}

#[test]
fn the_unnamed_statement_is_parsed_again_where_an_error_kept_that_from_happening() {
    let (mut session, mut alone) = (Session::new(), Fake::default());
    let parse = [message(b'P', b"\0select 1\0\0\0"), message(b'S', b"")].concat();
    // The first series fails before it comes to the statement; the second is sent before that is known.
    let fails = [message(b'B', b"\0s2\0\0\0\0\0\0\0"), message(b'D', b"S\0"), message(b'S', b"")].concat();
    let asks = [message(b'D', b"S\0"), message(b'S', b"")].concat();
    let both = [fails, asks].concat();
    session.up(&parse);
    session.down(usize::MAX);
    session.moves();
    session.up(&both);
    for _ in 0..5 {
        session.down(usize::MAX);
    }
    let answers = [alone.answer(&parse), alone.answer(&both)].concat();
    assert_eq!(replies(&session.got), replies(&answers));
}

/// A statement that its client has asked about, and what it was told.
fn told(session: &mut Session) {
    let asks = [message(b'P', b"s1\0select 1\0\0\0"), message(b'D', b"Ss1\0"), message(b'S', b"")].concat();
    session.up(&asks);
    session.down(usize::MAX);
    assert!(session.got.ends_with(&message(b'Z', b"I")));
    session.got.clear();
}

const USE: &[u8] = b"\0s1\0\0\0\0\0\0\0";

fn uses() -> Vec<u8> {
    [message(b'B', USE), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat()
}

#[test]
fn everything_passes_as_it_is() {
    let mut session = Session::new();
    assert_eq!(replay(&session.pair.client, &mut session.pair.server), None);
    let all = [
        message(b'P', b"dormouse_1\0select 1\0\0\0"),
        message(b'B', b"\0dormouse_1\0\0\0\0\0\0\0"),
        message(b'P', b"\0select 1\0\0\0"),
        message(b'P', b"\0select 1\0\0\0"),
        message(b'B', b"\0\0\0\0\0\0\0\0"),
        message(b'B', b"\0dormouse_none\0\0\0\0\0\0\0"),
        message(b'C', b"Sdormouse_1\0"),
        message(b'S', b""),
        query("deallocate s9"),
    ]
    .concat();
    let Pair { client, server, common } = &mut session.pair;
    let rest = all.len() - query("deallocate s9").len();
    let sent = up(client, server, common, &all[..rest], &mut Vec::new()).unwrap();
    assert_eq!(sent, Sent::AsItIs);
}

#[test]
fn names_that_pass_are_postgresqls_to_judge_even_when_names_are_strict() {
    let mut session = Session::new();
    session.pair.common.strict = true;
    told(&mut session);
    session.up(&[message(b'P', b"s1\0select 2\0\0\0"), message(b'B', USE), message(b'S', b"")].concat());
    session.down(usize::MAX);
    assert_eq!(session.got[0], b'E');
    session.up(&[message(b'D', b"Snone\0"), message(b'S', b"")].concat());
    session.down(usize::MAX);
    session.got.clear();
    session.up(&uses());
    session.down(usize::MAX);
    assert!(session.got.windows(8).any(|row| row == b"select 1"), "it is what it was");
}

#[test]
fn one_that_cannot_be_parsed_any_more_does_not_keep_the_others_away() {
    let mut session = Session::new();
    told(&mut session);
    let parse = [message(b'P', b"s2\0select of t\0\0\0"), message(b'S', b"")].concat();
    session.up(&parse);
    session.down(usize::MAX);
    session.restored();
    let error = message(b'E', b"SERROR\0VERROR\0C42P01\0Mno\0\0");
    let ready = message(b'Z', b"I");
    let good =
        [&message(b'1', b"")[..], &message(b't', b"\0\0"), &message(b'T', b"select 1"), &ready].concat();
    let bad = [&error[..], &ready].concat();
    assert_eq!(session.pair.down(&[good, bad].concat()), b"");
    assert_eq!((session.pair.server.own_error(), session.pair.server.prepared()), (None, 1));
    session.has_all();
    assert_eq!(session.pair.up(&uses()).unwrap(), uses());
    session.pair.down(&[&message(b'2', b"")[..], &message(b'C', b"SELECT 1\0"), &ready].concat());
    let bind = message(b'B', b"\0s2\0\0\0\0\0\0\0");
    let missing = [message(b'P', b"s2\0select of t\0\0\0"), bind.clone()].concat();
    assert_eq!(session.pair.up(&bind).unwrap(), missing, "said again where it is used");
    session.pair.up(&message(b'S', b"")).unwrap();
    assert_eq!(session.pair.down(&[&error[..], &ready].concat()), [&error[..], &ready].concat());
}

#[test]
fn they_come_back_in_the_order_in_which_they_were_prepared() {
    let mut session = Session::new();
    let parse = |name| {
        let body = format!("{name}\0select 1\0\0\0");
        [message(b'P', body.as_bytes()), message(b'S', b"")].concat()
    };
    let names = ["s3", "a", "s1", "b", "s2", "c"];
    for name in names {
        session.up(&parse(name));
        session.down(usize::MAX);
    }
    assert_eq!(session.restored(), names.map(parse).concat());
}

/// The same by its portal, as libpq and pgjdbc ask.
fn told_by_portal(session: &mut Session) {
    let parse = [message(b'P', b"s1\0select 1\0\0\0"), message(b'S', b"")].concat();
    session.up(&parse);
    session.down(usize::MAX);
    let uses = [message(b'B', USE), message(b'D', b"P\0"), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")];
    session.up(&uses.concat());
    session.down(usize::MAX);
    session.got.clear();
}

#[test]
fn who_was_told_what_it_returns_is_not_given_anything_else() {
    for told in [told, told_by_portal] {
        is_not_given_anything_else(told);
    }
}

fn is_not_given_anything_else(told: fn(&mut Session)) {
    let mut session = Session::new();
    told(&mut session);
    let sent = session.restored();
    assert!(sent.windows(5).any(|bytes| bytes == b"Ss1\0S"), "asked again");
    let other = [b"\0\x01a\0".as_slice(), &[0; 18]].concat();
    let reply =
        [message(b'1', b""), message(b't', b"\0\0"), message(b'T', &other), message(b'Z', b"I")].concat();
    for piece in reply.chunks(3) {
        assert_eq!(session.pair.down(piece), b"");
    }
    session.has_all();
    let sent = session.pair.up(&uses()).unwrap();
    assert!(sent.windows(13).any(|name| name == b"dormouse_none"));
    let error = message(b'E', b"SERROR\0VERROR\0C26000\0Mno\0\0");
    let got = session.pair.down(&[error, message(b'Z', b"I")].concat());
    assert!(got.windows(39).any(|text| text == b"cached plan must not change result type"));
}

#[test]
fn who_comes_next_meets_no_name_whatever_the_reset_query_is() {
    for (reset_query, left) in [("DISCARD ALL", false), ("select 1", true), ("", true)] {
        let mut session = Session::new();
        told(&mut session);
        let nobody = Client::default();
        assert!(session.pair.server.must_forget() && !session.pair.server.is_free(&nobody));
        if !reset_query.is_empty() {
            let sent = reset(&mut session.pair.server, reset_query);
            session.own(&sent);
        }
        assert_eq!(session.pair.server.must_forget(), left, "{reset_query}");
        if left {
            let sent = forget(&mut session.pair.server);
            session.own(&sent);
            assert!(session.fake.names().is_empty());
            assert!(session.pair.server.must_ask(), "whatever else there is");
        }
        if session.pair.server.must_ask() {
            let question = inspect(&nobody, &mut session.pair.server);
            session.own(&question);
        }
        assert!(session.pair.server.is_free(&nobody), "{reset_query}");
        session.pair.client = Client::new(Settings::default(), Reported::new(), true);
        assert_eq!(session.pair.server.prepared(), 0);
        let sent = replay(&session.pair.client, &mut session.pair.server).unwrap_or_default();
        let resets = sent.windows(9).any(|text| text == b"RESET ALL");
        assert_eq!(resets, left, "{reset_query}: custom settings are listed to nobody");
    }
}

#[test]
fn what_its_own_statement_may_leave_behind_is_asked_when_sql_executes_it() {
    let mut session = Session::new();
    let parse = message(b'P', b"s1\0select pg_advisory_lock(1)\0\0\0");
    session.up(&[parse, message(b'S', b"")].concat());
    session.down(usize::MAX);
    assert!(!session.pair.server.must_ask());
    session.up(&query("execute s1"));
    session.down(usize::MAX);
    assert!(session.pair.server.must_ask());
}
