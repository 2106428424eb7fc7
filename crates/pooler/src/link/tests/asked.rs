//! The questions about what a transaction left behind, and what becomes of their answers.

use super::super::*;
use super::backend::message;
use super::pair::{Pair, pair, query};
use crate::settings::{MAX_SETTINGS, Reported, Settings};

/// Simple queries, each with the tag and the status that end it.
fn says(pair: &mut Pair, texts: &[(&str, &str, u8)]) {
    for (text, tag, status) in texts {
        pair.up(&query(text)).unwrap();
        pair.down(&[message(b'C', format!("{tag}\0").as_bytes()), message(b'Z', &[*status])].concat());
    }
}

/// The same statement in a transaction: what it did is asked for.
fn in_transaction(pair: &mut Pair, text: &str) {
    says(pair, &[("begin", "BEGIN", b'T'), (text, "SET", b'T'), ("commit", "COMMIT", b'I')]);
}

/// The question that follows, answered with these rows of kind, name and value.
fn asked(pair: &mut Pair, rows: &[[&str; 3]]) -> String {
    assert!(pair.server.must_ask());
    let question = inspect(&pair.client, &mut pair.server);
    for row in rows {
        let mut body = vec![0, 3];
        for text in row {
            body.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
            body.extend_from_slice(text.as_bytes());
        }
        pair.down(&message(b'D', &body));
    }
    pair.down(&message(b'Z', b"I"));
    String::from_utf8(question[5..question.len() - 1].to_vec()).unwrap()
}

/// What the backend gets before the next client's statement.
fn next_client(pair: &mut Pair) -> Option<String> {
    assert!(pair.server.is_free(&pair.client) && !pair.server.is_spoiled());
    pair.client = Client::default();
    let sent = replay(&pair.client, &mut pair.server)?;
    pair.down(&message(b'Z', b"I"));
    Some(String::from_utf8(sent[5..sent.len() - 1].to_vec()).unwrap())
}

/// Another client may never have the backend.
fn must_be_kept(pair: &Pair, why: &str) {
    assert!(!pair.server.is_free(&pair.client), "{why}");
    assert!(pair.client.keeps() && pair.server.is_spoiled(), "{why}");
}

#[test]
fn much_of_one_kind_hides_nothing_of_another() {
    let mut pair = pair();
    in_transaction(&mut pair, "do $$begin end$$");
    let question = asked(&mut pair, &[]);
    let place = |part: &str| question.find(part).unwrap_or_else(|| panic!("{part}: {question}"));
    for one in ["pg_prepared_statements", "pg_cursors", "pg_locks", "pg_depend"] {
        assert!(question.contains(&format!("WHERE EXISTS (SELECT FROM pg_catalog.{one}")), "{question}");
        assert!(place("pg_settings") < place(one) && place(one) < place("pg_listening_channels"));
    }
}

#[test]
fn what_is_too_much_to_be_read_is_given_to_nobody() {
    for kind in ["a", "l"] {
        let mut pair = pair();
        let begin = ("begin", "BEGIN", b'T');
        let lock = ("select pg_advisory_lock(1)", "SELECT 1", b'T');
        says(&mut pair, &[begin, lock, ("set search_path = x", "SET", b'T'), ("commit", "COMMIT", b'I')]);
        let many = vec![[kind, "x", ""]; 1000];
        asked(&mut pair, &[&many[..], &[["s", "search_path", "x"]]].concat());
        says(&mut pair, &[("select pg_advisory_unlock_all()", "SELECT 1", b'I')]);
        if pair.server.must_ask() {
            asked(&mut pair, &[]);
        }
        must_be_kept(&pair, kind);
    }
}

#[test]
fn no_operator_is_looked_for_where_the_client_says() {
    let mut pair = pair();
    in_transaction(&mut pair, "do $$begin set my.a = 1; end$$");
    let question = asked(&mut pair, &[]);
    let bare = question.replace("OPERATOR(pg_catalog.=)", "").replace("OPERATOR(pg_catalog.<>)", "");
    assert!(!bare.contains(['=', '<', '>', '|', '~', '!']) && !bare.contains(" IN "), "{bare}");
    for (at, _) in bare.match_indices('(') {
        let name = bare[..at].rsplit([' ', '(', ',']).next().unwrap();
        let keyword = ["", "EXISTS", "ALL", "s"].contains(&name);
        assert!(keyword || name.starts_with("pg_catalog."), "{name}: {bare}");
    }
    for (at, _) in bare.match_indices("FROM ") {
        let rest = &bare[at + 5..];
        assert!(rest.starts_with("pg_catalog.") || rest.starts_with('('), "{rest}");
    }
}

#[test]
fn a_role_hides_no_setting() {
    let mut pair = pair();
    in_transaction(&mut pair, "set role x");
    let question = asked(&mut pair, &[["r", "x", ""], ["s", "dynamic_library_path", "/x"]]);
    let statements: Vec<_> = question.split("; ").collect();
    let [role, "SET LOCAL ROLE NONE", settings] = statements[..] else { panic!("{question}") };
    assert!(role.contains("current_setting('role')") && settings.contains("pg_settings"));
    assert_eq!(pair.client.wanted.get("role"), Some("x"));
    assert_eq!(next_client(&mut pair).as_deref(), Some("RESET ROLE; RESET \"dynamic_library_path\""));
    // What only keeps a backend is asked for as it is.
    says(&mut pair, &[("listen a", "LISTEN", b'I')]);
    assert!(asked(&mut pair, &[]).starts_with("SELECT 'l'"));
}

#[test]
fn what_the_answer_may_not_show_is_reset() {
    const SET: &str = "set dynamic_library_path = '/x'";
    // By who may set it and not see it.
    let mut allowed = pair();
    in_transaction(&mut allowed, SET);
    asked(&mut allowed, &[]);
    assert_eq!(next_client(&mut allowed).as_deref(), Some("RESET ALL"));
    // Before something else is asked for.
    let mut before = pair();
    says(&mut before, &[(SET, "SET", b'I')]);
    in_transaction(&mut before, "set jit = on");
    asked(&mut before, &[["s", "jit", "on"]]);
    assert_eq!(next_client(&mut before).as_deref(), Some("RESET ALL"));
    // As somebody else.
    let mut other = pair();
    in_transaction(&mut other, "set session authorization bob");
    asked(&mut other, &[["s", "session_authorization", "bob"]]);
    assert_eq!(next_client(&mut other).as_deref(), Some("RESET SESSION AUTHORIZATION; RESET ALL"));
    assert_eq!(next_client(&mut other), None);
}

#[test]
fn where_backends_begin_with_a_role_none_is_another() {
    for text in ["set role none", "select set_config('role', 'none', false)"] {
        let mut alone = pair();
        says(&mut alone, &[(text, "SET", b'I')]);
        let mut asked_for = pair();
        in_transaction(&mut asked_for, text);
        asked(&mut asked_for, &[["r", "none", "x"]]);
        for mut pair in [alone, asked_for] {
            assert_eq!(pair.client.wanted.get("role"), Some("none"), "{text}");
            assert_eq!(next_client(&mut pair).as_deref(), Some("RESET ROLE"), "{text}");
            pair.client.wanted.set("role", "none").unwrap();
            let sent = replay(&pair.client, &mut pair.server).unwrap();
            assert!(sent.ends_with(b"SET ROLE 'none'\0"));
        }
    }
    // What it begins with is not a setting of the session.
    let mut pair = pair();
    in_transaction(&mut pair, "reset role");
    asked(&mut pair, &[["r", "x", "x"]]);
    assert!(pair.client.wanted.is_empty() && next_client(&mut pair).is_none());
}

/// A client with as many settings as can be remembered, made in a transaction.
fn full(startup: Settings) -> Pair {
    let mut pair = pair();
    pair.client = Client::new(startup, Reported::new(), false);
    let names: Vec<_> = (0..MAX_SETTINGS).map(|i| format!("app.v{i}")).collect();
    let sets: Vec<_> = names.iter().map(|name| format!("set {name} = '1'")).collect();
    in_transaction(&mut pair, &sets.join("; "));
    let rows: Vec<_> = names.iter().map(|name| ["s", name, "1"]).collect();
    asked(&mut pair, &rows);
    pair
}

#[test]
fn a_setting_that_cannot_be_asked_for_is_left_to_nobody() {
    let mut set = full(Settings::new());
    assert!(set.server.is_free(&set.client) && !set.server.is_spoiled());
    in_transaction(&mut set, "set app.x = 'evil'");
    asked(&mut set, &[]);
    must_be_kept(&set, "by SET");
    let mut bound = full(Settings::new());
    let parse = message(b'P', b"\0select set_config($1, 'evil', false)\0\0\0");
    let bind = message(b'B', b"\0\0\0\0\0\x01\0\0\0\x05app.x\0\0");
    bound.up(&[parse, bind, message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat()).unwrap();
    let done = message(b'C', b"SELECT 1\0");
    bound.down(&[message(b'1', b""), message(b'2', b""), done, message(b'Z', b"I")].concat());
    asked(&mut bound, &[]);
    must_be_kept(&bound, "by a parameter");
    // What its session began with is not forgotten either.
    let mut startup = Settings::new();
    startup.set("work_mem", "9MB").unwrap();
    must_be_kept(&full(startup), "one too many");
}

#[test]
fn a_name_that_cannot_be_read_is_left_to_nobody() {
    for text in ["set u&\"app\".x = 'evil'", "set u&\"app.x\" = 'evil'"] {
        let mut hidden = pair();
        says(&mut hidden, &[(text, "SET", b'I')]);
        asked(&mut hidden, &[]);
        assert_eq!(next_client(&mut hidden).as_deref(), Some("RESET ALL"), "{text}");
    }
    // In another encoding.
    let text = message(b'Q', b"set app.\xe4 = 'evil'\0");
    for (begin, end) in [(None, None), (Some("begin"), Some("commit"))] {
        let mut strange = pair();
        let status = if begin.is_some() { b'T' } else { b'I' };
        begin.inspect(|begin| says(&mut strange, &[(begin, "BEGIN", b'T')]));
        strange.up(&text).unwrap();
        strange.down(&[message(b'C', b"SET\0"), message(b'Z', &[status])].concat());
        end.inspect(|end| says(&mut strange, &[(end, "COMMIT", b'I')]));
        if strange.server.must_ask() {
            asked(&mut strange, &[]);
        }
        must_be_kept(&strange, "its name is not UTF-8");
    }
    // UTF-8 by chance.
    let mut strange = pair();
    strange.down(&message(b'S', b"client_encoding\0LATIN1\0"));
    says(&mut strange, &[("set app.ü = 'evil'", "SET", b'I')]);
    must_be_kept(&strange, "PostgreSQL reads two letters");
    let mut strange = pair();
    in_transaction(&mut strange, "set search_path = x");
    asked(&mut strange, &[["s", "search_path", "\u{fffd}"]]);
    must_be_kept(&strange, "its value is not");
}

#[test]
fn a_custom_setting_that_was_reset_is_what_the_session_began_with() {
    let begun = || {
        let mut startup = Settings::new();
        startup.set("my.a", "mine").unwrap();
        let mut pair = pair();
        pair.server.applied = startup.clone();
        pair.client = Client::new(startup, Reported::new(), false);
        pair
    };
    // PostgreSQL leaves an empty text where it does not know what a session began with.
    for text in ["reset all", "reset my.a", "set my.a to default"] {
        let mut pair = begun();
        in_transaction(&mut pair, text);
        asked(&mut pair, &[["s", "my.a", ""]]);
        assert_eq!(pair.client.wanted.get("my.a"), Some("mine"), "{text}");
        let sent = replay(&pair.client, &mut pair.server).unwrap();
        assert!(String::from_utf8(sent).unwrap().contains("set_config('my.a','mine',false)"), "{text}");
    }
    // In one write with something that has to be asked about.
    let mut pair = begun();
    pair.up(&[query("do $$begin end$$"), query("reset all")].concat()).unwrap();
    pair.down(&[message(b'C', b"DO\0"), message(b'Z', b"I")].concat());
    pair.down(&[message(b'C', b"RESET\0"), message(b'Z', b"I")].concat());
    asked(&mut pair, &[["s", "my.a", ""]]);
    assert_eq!(pair.client.wanted.get("my.a"), Some("mine"));
    // It was no RESET this time.
    pair.down(&[]);
    replay(&pair.client, &mut pair.server).unwrap();
    pair.down(&message(b'Z', b"I"));
    in_transaction(&mut pair, "set my.a = ''");
    asked(&mut pair, &[["s", "my.a", ""]]);
    assert_eq!(pair.client.wanted.get("my.a"), Some(""));
}
