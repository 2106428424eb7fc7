//! Settings, how they follow transactions, and how they are replayed.

use dormouse_pgwire::startup::Startup as Packet;
use proptest::prelude::*;

use super::*;
use crate::sql::classify;

fn settings(pairs: &[(&str, &str)]) -> Settings {
    let mut settings = Settings::new();
    for (name, value) in pairs {
        settings.set(name, value).unwrap();
    }
    settings
}

/// Statements that succeed one after another, each in its own message.
fn run(tracker: &mut Tracker, texts: &[&str]) -> Result<(), Uncertain> {
    let mut inside = false;
    for text in texts {
        let mut changes = Vec::new();
        classify(text.as_bytes(), &mut |effect| changes.extend(Change::of(&effect)));
        for change in changes {
            inside = match change {
                Change::Begin => true,
                Change::Commit | Change::Rollback => false,
                _ => inside,
            };
            tracker.apply(&change)?;
        }
        tracker.ready(if inside { b'T' } else { b'I' });
    }
    Ok(())
}

fn shown(settings: &Settings) -> String {
    settings.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_map_is_shared_until_it_is_changed() {
    let a = settings(&[("TimeZone", "UTC"), ("a", "1")]);
    let mut b = a.clone();
    assert_eq!(b.get("TIMEZONE"), Some("UTC"));
    assert!(!b.set("timezone", "UTC").unwrap());
    assert!(b.set("a", "2").unwrap());
    assert_ne!(a, b);
    assert_ne!(a.fingerprint(), b.fingerprint());
    b.set("a", "1").unwrap();
    assert_eq!(a, b);
    assert_eq!(a.fingerprint(), b.fingerprint());
    assert!(b.remove("a") && b.remove("timezone") && !b.remove("a"));
    assert_eq!(b, Settings::new());
    assert!(b.is_empty() && b.fingerprint() == 0);
    assert_eq!(format!("{a:?}"), r#"{"a", "timezone"}"#, "values are not for logs");
}

#[test]
fn a_map_has_limits() {
    let mut map = Settings::new();
    for i in 0..MAX_SETTINGS {
        map.set(&format!("a.n{i}"), "x").unwrap();
    }
    assert_eq!(map.set("one.more", "x"), Err(SettingsError::TooMany));
    assert_eq!(map.set("a.n1", "y"), Ok(true));
    let mut map = settings(&[("a", &"x".repeat(MAX_BYTES - 1))]);
    assert_eq!(map.set("b", ""), Err(SettingsError::TooLong));
    assert_eq!(map.set("a", "x"), Ok(true), "the old value makes room");
    assert_eq!(map.set("b", &"x".repeat(MAX_BYTES - 3)), Ok(true));
    assert_eq!(map.set("", "x"), Err(SettingsError::Invalid));
    assert_eq!(map.set("x", "a\0b"), Err(SettingsError::Invalid));
}

#[test]
fn a_tracker_follows_transactions() {
    let cases: &[(&[&str], &str)] = &[
        (&["set a = 1"], "a=1"),
        (&["set local a = 1"], ""),
        (&["begin", "set a = 1", "commit"], "a=1"),
        (&["begin", "set a = 1", "rollback"], ""),
        (&["set a = 0", "begin", "set a = 1", "savepoint s", "set a = 2", "rollback to s", "commit"], "a=1"),
        (
            &["begin", "savepoint s", "set a = 1", "savepoint s", "set a = 2", "rollback to s", "commit"],
            "a=1",
        ),
        (&["begin", "savepoint s", "set a = 1", "savepoint t", "rollback to s", "commit"], ""),
        (&["begin", "savepoint s", "set a = 1", "release s", "commit"], "a=1"),
        (&["begin", "savepoint s", "set a = 1", "release s", "rollback"], ""),
        (&["begin", "set a = 1", "savepoint s", "set a = 2", "commit"], "a=2"),
        (&["set a = 1", "set b = 2", "reset a"], "b=2"),
        (&["set a = 1", "set a to default"], ""),
        (&["set role x", "set a = 1", "reset all"], "role=x"),
        (&["set role x", "set a = 1", "discard all"], ""),
        (&["set role x", "set session authorization y"], "role=none session_authorization=y"),
        (&["set session authorization y", "reset session authorization"], ""),
        (&["set role x", "set role none"], "role=none"),
        (&["set role none", "reset role"], ""),
        (&["select set_config('A.b', 'c', false), set_config('d', 'e', true)"], "a.b=c"),
        (&["set transaction_isolation = serializable", "set seed = 0.5"], ""),
        (&["set session characteristics as transaction read only"], "default_transaction_read_only=on"),
        (&["set a = 1; begin; set b = 1", "rollback"], ""),
        (&["set a = 1; commit; set b = 1"], "a=1 b=1"),
    ];
    for (texts, expected) in cases {
        let mut tracker = Tracker::default();
        run(&mut tracker, texts).unwrap();
        assert_eq!(shown(tracker.current()), *expected, "{texts:?}");
        assert_eq!(tracker.current(), tracker.committed(), "{texts:?}");
    }
}

#[test]
fn reset_goes_back_to_what_was_asked_for_at_startup() {
    let mut tracker = Tracker::new(settings(&[("a", "1"), ("b", "1")]));
    run(&mut tracker, &["set a = 2", "set c = 3", "reset a"]).unwrap();
    assert_eq!(shown(tracker.current()), "a=1 b=1 c=3");
    run(&mut tracker, &["set a = 2", "reset all"]).unwrap();
    assert_eq!(tracker.current(), tracker.defaults());
}

#[test]
fn none_is_not_the_role_of_the_startup() {
    for text in ["set role none", "set role to 'none'", "select set_config('ROLE', 'none', false)"] {
        let mut tracker = Tracker::new(settings(&[("role", "x")]));
        run(&mut tracker, &[text, "reset all"]).unwrap();
        assert_eq!(shown(tracker.current()), "role=none", "{text}");
        run(&mut tracker, &["reset role"]).unwrap();
        assert_eq!(shown(tracker.current()), "role=x", "{text}");
        let mut tracker = Tracker::default();
        run(&mut tracker, &["set role y", text]).unwrap();
        assert_eq!(shown(tracker.current()), "role=none", "{text}: backends may begin with a role");
    }
    let mut tracker = Tracker::new(settings(&[("role", "x")]));
    run(&mut tracker, &["set session authorization y"]).unwrap();
    assert_eq!(shown(tracker.current()), "role=none session_authorization=y");
    run(&mut tracker, &["set session authorization default"]).unwrap();
    assert_eq!(shown(tracker.current()), "role=x");
}

#[test]
fn errors_take_changes_back() {
    let set = |name: &str| Change::Set { name: name.into(), value: "1".into() };
    let mut tracker = Tracker::default();
    // Two statements of one message, of which the second fails.
    tracker.apply(&set("a")).unwrap();
    assert_eq!((shown(tracker.current()), shown(tracker.committed())), ("a=1".into(), String::new()));
    tracker.failed();
    tracker.ready(b'I');
    assert_eq!(shown(tracker.current()), "");
    // A failed transaction that is committed.
    tracker.apply(&set("a")).unwrap();
    tracker.ready(b'T');
    tracker.failed();
    tracker.ready(b'E');
    tracker.apply(&Change::Commit).unwrap();
    tracker.ready(b'I');
    assert_eq!(shown(tracker.current()), "");
    // One that is saved by its savepoint.
    tracker.apply(&set("a")).unwrap();
    tracker.apply(&Change::Savepoint("s".into())).unwrap();
    tracker.apply(&set("b")).unwrap();
    tracker.failed();
    tracker.ready(b'E');
    tracker.apply(&Change::RollbackTo("s".into())).unwrap();
    tracker.ready(b'T');
    tracker.apply(&Change::Commit).unwrap();
    tracker.ready(b'I');
    assert_eq!(shown(tracker.current()), "a=1");
}

#[test]
fn what_cannot_be_followed_is_said() {
    let doubt = |text: &str| run(&mut Tracker::default(), &[text]).unwrap_err();
    assert_eq!(doubt("select set_config('a', $1, false)").name.as_deref(), Some("a"));
    assert_eq!(doubt("select set_config($1, $2, $3)").name, None);
    assert_eq!(doubt("set a from current").name.as_deref(), Some("a"));
    assert_eq!(doubt("update pg_settings set setting = 1").name, None);
    let long = format!("set a = '{}'", "x".repeat(MAX_BYTES));
    assert_eq!(doubt(&long).refused, Some(SettingsError::TooLong));
    let mut tracker = Tracker::default();
    for _ in 0..MAX_SAVEPOINTS {
        tracker.apply(&Change::Savepoint("s".into())).unwrap();
    }
    assert!(tracker.apply(&Change::Savepoint("s".into())).is_err());
}

#[test]
fn a_replay_has_the_difference_only() {
    let cases = [
        (settings(&[]), settings(&[]), None),
        (settings(&[("a", "1")]), settings(&[("a", "1")]), None),
        (settings(&[("a", "1")]), settings(&[]), Some(r#"RESET "a""#)),
        (settings(&[("a", "1"), ("b", "1")]), settings(&[]), Some("RESET ALL")),
        (
            settings(&[("a", "1"), ("b", "2"), ("c", "3")]),
            settings(&[("b", "2"), ("c", "it's"), ("d.e", r"a\b")]),
            Some(
                r#"RESET "a"; SELECT pg_catalog.set_config('c','it''s',false),pg_catalog.set_config('d.e',E'a\\b',false)"#,
            ),
        ),
        (
            settings(&[("ä.b", "1")]),
            settings(&[("c", "ä")]),
            Some(
                r"SELECT pg_catalog.set_config(E'\U000000e4.b',NULL,false),pg_catalog.set_config('c',E'\U000000e4',false)",
            ),
        ),
        (settings(&[("role", "a")]), settings(&[("role", "b")]), Some("RESET ROLE; SET ROLE 'b'")),
        (settings(&[("role", "a")]), settings(&[]), Some("RESET ROLE")),
        (
            settings(&[("a", "1"), ("role", "r")]),
            settings(&[("role", "r"), ("session_authorization", "s")]),
            Some(r#"RESET ROLE; RESET "a"; SET SESSION AUTHORIZATION 's'; SET ROLE 'r'"#),
        ),
        (settings(&[("session_authorization", "s")]), settings(&[]), Some("RESET SESSION AUTHORIZATION")),
        // What the one that logged in has set, another role may not: roles come last, also those that stay.
        (
            settings(&[]),
            settings(&[("log_statement", "all"), ("session_authorization", "s")]),
            Some("SELECT pg_catalog.set_config('log_statement','all',false); SET SESSION AUTHORIZATION 's'"),
        ),
        (
            settings(&[("role", "r"), ("session_authorization", "s")]),
            settings(&[("log_statement", "all"), ("role", "r"), ("session_authorization", "s")]),
            Some(
                "RESET ROLE; RESET SESSION AUTHORIZATION; \
                 SELECT pg_catalog.set_config('log_statement','all',false); \
                 SET SESSION AUTHORIZATION 's'; SET ROLE 'r'",
            ),
        ),
        // The time limit that is left is not this one's.
        (
            settings(&[("statement_timeout", "1ms")]),
            settings(&[]),
            Some(r#"SET LOCAL statement_timeout=0; RESET "statement_timeout""#),
        ),
        (
            settings(&[("statement_timeout", "1ms")]),
            settings(&[("a", "1"), ("statement_timeout", "1ms")]),
            Some("SET LOCAL statement_timeout=0; SELECT pg_catalog.set_config('a','1',false)"),
        ),
        // Half a style does not depend on what the backend had before.
        (
            settings(&[("datestyle", "German, DMY")]),
            settings(&[("datestyle", "ymd")]),
            Some(r#"RESET "datestyle"; SELECT pg_catalog.set_config('datestyle','ymd',false)"#),
        ),
        (
            settings(&[("datestyle", "SQL, DMY")]),
            settings(&[("datestyle", "iso, iso")]),
            Some(r#"RESET "datestyle"; SELECT pg_catalog.set_config('datestyle','iso, iso',false)"#),
        ),
    ];
    for (from, to, expected) in cases {
        assert_eq!(replay(&from, &to, &Reported::new()).as_deref(), expected);
    }
}

#[test]
fn a_role_that_the_session_authorization_may_not_play_is_set_by_the_one_that_logged_in() {
    let of = |role| settings(&[("role", role), ("session_authorization", "s")]);
    let (plain, by_another) = ("SET ROLE 'r'", "SET LOCAL SESSION AUTHORIZATION DEFAULT; SET ROLE 'r'");
    for (version, expected) in [
        ("", plain),
        ("15.9", plain),
        ("15.18 (Debian 15.18-0+deb12u1)", by_another),
        ("16.5", plain),
        ("17.2", by_another),
        ("18beta1", by_another),
        ("19devel", by_another),
    ] {
        let mut backend = Reported::new();
        backend.note("server_version", version);
        let text = |from: Settings, to: Settings| replay(&from, &to, &backend);
        assert_eq!(text(of("none"), of("r")).as_deref(), Some(&*format!("RESET ROLE; {expected}")));
        let whole = format!("SET SESSION AUTHORIZATION 's'; {expected}");
        assert_eq!(text(settings(&[]), of("r")), Some(whole), "{version}");
        let none = "SET SESSION AUTHORIZATION 's'; SET ROLE 'none'";
        assert_eq!(text(settings(&[]), of("none")).as_deref(), Some(none));
        assert_eq!(text(settings(&[]), settings(&[("role", "r")])).as_deref(), Some("SET ROLE 'r'"));
    }
}

#[test]
fn a_name_that_would_be_cut_is_reset_by_a_call() {
    let [fits, longer] = [59, 60].map(|len| format!("app.{}", "n".repeat(len)));
    let from = settings(&[(&fits, "1"), (&longer, "1")]);
    let to = settings(&[("a", "1")]);
    let call =
        format!("SELECT pg_catalog.set_config('{longer}',NULL,false),pg_catalog.set_config('a','1',false)");
    assert_eq!(replay(&from, &to, &Reported::new()), Some(format!("RESET \"{fits}\"; {call}")));
}

#[test]
fn a_server_without_an_encoding_gets_bytes() {
    let (mut to, mut backend) = (Settings::new(), Reported::new());
    to.set("application_name", "caf\u{e9}'").unwrap();
    backend.note("server_encoding", "SQL_ASCII");
    let call = r"SELECT pg_catalog.set_config('application_name',E'caf\xc3\xa9''',false)";
    assert_eq!(replay(&Settings::new(), &to, &backend).as_deref(), Some(call));
}

#[test]
fn a_startup_packet_is_settings() {
    let packet = Packet::new("alice")
        .and_then(|p| p.with("database", "shop"))
        .and_then(|p| p.with("statement_timeout", "5000"))
        .and_then(|p| p.with("client_encoding", "'utf-8'"))
        .and_then(|p| {
            p.with("options", r"-c a.b=1 -cDateStyle=ISO,\ MDY --work-mem=8MB -c statement_timeout=1")
        })
        .and_then(|p| p.with("_pq_.x", "1"))
        .and_then(|p| p.with("replication", "false"))
        .and_then(|p| p.with("pgbouncer", "true"))
        .and_then(|p| p.with("prepareThreshold", "0"))
        .unwrap();
    let startup = Startup::read(&packet.params).unwrap();
    assert_eq!(
        shown(&startup.settings),
        "a.b=1 client_encoding=UTF8 datestyle=ISO, MDY statement_timeout=5000 work_mem=8MB"
    );
    assert_eq!(startup.ignored, ["pgbouncer", "prepareThreshold"]);
    assert!(startup.notice().unwrap().contains("pgbouncer, prepareThreshold"));
    assert_eq!(Startup::read(&Packet::new("a").unwrap().params).unwrap().notice(), None);
}

#[test]
fn a_bad_startup_packet_is_refused() {
    let read = |name: &str, value: &[u8]| {
        Startup::read(&Packet::new("a").unwrap().with(name, value).unwrap().params).unwrap_err()
    };
    for options in ["-c", "-c a", "-c =1", "--a", "-e", "word", "--"] {
        assert!(matches!(read("options", options.as_bytes()), StartupError::Option { .. }), "{options}");
    }
    assert_eq!(read("x", b"\xff"), StartupError::Encoding { name: "x".into() });
    let long = read("x", &vec![b'x'; MAX_BYTES]);
    assert_eq!(long, StartupError::Limit { name: "x".into(), source: SettingsError::TooLong });
}

#[test]
fn a_client_is_told_what_is_news() {
    let mut pool = Reported::new();
    assert!(pool.note("TimeZone", "UTC") && pool.note("DateStyle", "ISO") && !pool.note("TimeZone", "UTC"));
    let mut client = pool.clone();
    assert_eq!(client.news(&pool).count(), 0);
    assert!(client.note("TimeZone", "CET"));
    assert_eq!(client.news(&pool).collect::<Vec<_>>(), [("TimeZone", "UTC")]);
    assert_eq!((pool.get("TimeZone"), pool.len()), (Some("UTC"), 2));
    for i in 0..MAX_REPORTED {
        client.note(&format!("x{i}"), "1");
    }
    assert_eq!(client.len(), MAX_REPORTED);
    assert!(client.note("y", "1") && client.get("y").is_none());
}

#[test]
fn a_capture_asks_for_custom_names_too() {
    let sql = capture_sql(&settings(&[("my.a", "1"), ("jit", "off")]), Some("Other.B"));
    assert!(
        sql.contains("current_setting('my.a', true)") && sql.contains("current_setting('other.b', true)")
    );
    assert!(!sql.contains("'jit'"));
}

proptest! {
    /// What a replay sets, read back by the classifier, is exactly the difference.
    #[test]
    fn a_replay_leads_where_it_should(
        from in proptest::collection::btree_map("[a-c](\\.[xyß])?", "[a'\\\\ä;\" ]{0,3}", 0..5),
        to in proptest::collection::btree_map("[a-c](\\.[xyß])?", "[a'\\\\;\" ]{0,3}", 0..5),
        roles in (proptest::option::of("[rs]"), proptest::option::of("[rs]")),
    ) {
        let make = |map: &std::collections::BTreeMap<String, String>, role: Option<&String>| {
            let mut made = Settings::new();
            for (name, value) in map {
                made.set(name, value).unwrap();
            }
            if let Some(role) = role {
                made.set(ROLE, role).unwrap();
            }
            made
        };
        // Names that are not ASCII are spelt by number, which the classifier leaves to PostgreSQL.
        let readable = from.keys().chain(to.keys()).all(|name| name.is_ascii());
        let (from, to) = (make(&from, roles.0.as_ref()), make(&to, roles.1.as_ref()));
        let mut tracker = Tracker::default();
        tracker.replace(from.clone());
        let text = replay(&from, &to, &Reported::new());
        prop_assert_eq!(text.is_none(), from == to);
        let text = text.unwrap_or_default();
        prop_assert!(text.is_ascii());
        if readable {
            run(&mut tracker, &[&text]).unwrap();
            prop_assert_eq!(shown(tracker.current()), shown(&to));
        }
    }
}
