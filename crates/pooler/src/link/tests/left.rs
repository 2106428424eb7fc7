//! What is left on a backend when it is given away: whatever the text did not tell is asked about, or reset.

use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_pgwire::backend::TxStatus;

use super::super::*;
use super::backend::message;
use crate::settings::{Reported, Settings};

struct Pair {
    client: Client,
    server: Server,
    common: Common,
}

fn pair() -> Pair {
    Pair {
        client: Client::new(Settings::default(), Reported::new(), false),
        server: Server::new(TxStatus::Idle, Reported::new()),
        common: Common::new(10),
    }
}

impl Pair {
    fn up(&mut self, bytes: &[u8]) {
        up(&mut self.client, &mut self.server, &mut self.common, bytes, &mut Vec::new()).unwrap();
    }

    fn down(&mut self, bytes: &[u8]) {
        down(&mut self.client, &mut self.server, &mut self.common, bytes, &mut Vec::new()).unwrap();
    }

    /// A simple query that is answered with this.
    fn simple(&mut self, text: &str, tag: &str) {
        self.up(&query(text));
        self.down(&[complete(tag), ready(b'I')].concat());
    }

    /// The question that follows, and a row for each kind that is found.
    fn asked(&mut self, found: &[&str]) -> String {
        assert!(self.server.must_ask());
        let question = inspect(&self.client, &mut self.server);
        for kind in found {
            let texts = [*kind, "x", ""];
            let mut row = vec![0, 3];
            for text in texts {
                row.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
                row.extend_from_slice(text.as_bytes());
            }
            self.down(&message(b'D', &row));
        }
        self.down(&ready(b'I'));
        String::from_utf8(question[5..question.len() - 1].to_vec()).unwrap()
    }

    /// What the next client's statement waits for.
    fn next_client(&mut self) -> Option<String> {
        assert!(self.server.is_free(&self.client), "it is not free");
        self.client = Client::new(Settings::default(), Reported::new(), false);
        let sent = replay(&self.client, &mut self.server)?;
        self.down(&ready(b'I'));
        Some(String::from_utf8(sent[5..sent.len() - 1].to_vec()).unwrap())
    }
}

fn query(text: &str) -> Vec<u8> {
    message(b'Q', format!("{text}\0").as_bytes())
}

/// Parse, Bind and Execute of one row at most.
fn one_row(text: &str) -> Vec<u8> {
    let parse = message(b'P', format!("\0{text}\0\0\0").as_bytes());
    [parse, bind(""), message(b'E', b"\0\0\0\0\x01")].concat()
}

fn bind(statement: &str) -> Vec<u8> {
    message(b'B', format!("\0{statement}\0\0\0\0\0\0\0").as_bytes())
}

fn sync() -> Vec<u8> {
    message(b'S', b"")
}

fn complete(tag: &str) -> Vec<u8> {
    message(b'C', format!("{tag}\0").as_bytes())
}

fn ready(status: u8) -> Vec<u8> {
    message(b'Z', &[status])
}

fn bound() -> Vec<u8> {
    [message(b'1', b""), message(b'2', b"")].concat()
}

fn error() -> Vec<u8> {
    message(b'E', b"SERROR\0VERROR\0CP0001\0Mno\0\0")
}

#[test]
fn an_execution_that_stops_at_its_limit_has_done_something() {
    for (text, part) in [
        ("select pg_try_advisory_lock(1)", "pg_locks"),
        ("select set_config('jit','on',false)", "pg_settings"),
    ] {
        let mut pair = pair();
        pair.up(&[one_row(text), sync()].concat());
        pair.down(&[bound(), message(b's', b""), ready(b'I')].concat());
        assert!(pair.asked(&[]).contains(part), "{text}");
    }
}

#[test]
fn a_portal_outlives_the_end_of_an_earlier_series() {
    let mut pair = pair();
    pair.up(&[one_row("select 1"), sync()].concat());
    let mut second = one_row("select pg_advisory_lock(1)");
    let execute = second.split_off(second.len() - 10);
    pair.up(&second);
    pair.down(&[bound(), complete("SELECT 1"), ready(b'I')].concat());
    pair.up(&[execute, sync()].concat());
    pair.down(&[bound(), complete("SELECT 1"), ready(b'I')].concat());
    assert!(pair.asked(&[]).contains("pg_locks"));
}

#[test]
fn what_survives_an_error_is_asked_about() {
    let locks = "select pg_try_advisory_lock(n) from t";
    let code = "do $$begin set my.a = 1; commit; raise 'x'; end$$";
    for (text, parts) in [
        (locks, &["pg_locks"][..]),
        (code, &["pg_locks", "pg_depend", "pg_settings", "'my.a'"]),
        ("call p()", &["pg_locks", "pg_depend", "pg_settings"]),
    ] {
        for extended in [false, true] {
            let mut pair = pair();
            if extended {
                pair.up(&[one_row(text), sync()].concat());
                pair.down(&[bound(), error(), ready(b'I')].concat());
            } else {
                pair.up(&query(text));
                pair.down(&[error(), ready(b'I')].concat());
            }
            let question = pair.asked(&[]);
            assert!(parts.iter().all(|part| question.contains(part)), "{text}: {question}");
        }
    }
    // A setting does not survive, and nobody has to be asked.
    let mut pair = pair();
    pair.up(&[one_row("set jit = on"), sync()].concat());
    pair.down(&[bound(), error(), ready(b'I')].concat());
    assert!(!pair.server.must_ask() && pair.next_client().is_none());
}

#[test]
fn the_end_of_a_transaction_is_no_answer() {
    for (left, part) in [("set search_path = x", "pg_settings"), ("select pg_advisory_lock(1)", "pg_locks")] {
        let mut pair = pair();
        // Its client goes before the backend was asked, in the next transaction.
        pair.up(&["begin", left, "commit", "begin"].map(query).concat());
        for (tag, status) in [("BEGIN", b'T'), ("SET", b'T'), ("COMMIT", b'I'), ("BEGIN", b'T')] {
            pair.down(&[complete(tag), ready(status)].concat());
        }
        roll_back(&mut pair.server);
        pair.down(&[complete("ROLLBACK"), ready(b'I')].concat());
        assert!(pair.server.is_tainted() && !pair.server.is_free(&pair.client), "{left}");
        assert!(pair.asked(&[]).contains(part), "{left}");
    }
}

#[test]
fn discard_all_that_is_refused_takes_nothing_away() {
    // PostgreSQL refuses it in a transaction, and in a text that has more than that.
    for (text, status) in
        [("rollback; discard all", b'I'), ("begin; discard all", b'I'), ("discard all", b'E')]
    {
        let mut pair = pair();
        pair.simple("set search_path = x", "SET");
        if status == b'E' {
            pair.up(&query("begin"));
            pair.down(&[complete("BEGIN"), ready(b'T')].concat());
        }
        pair.up(&query(text));
        pair.down(&[error(), ready(status)].concat());
        if status == b'E' {
            pair.simple("rollback", "ROLLBACK");
        }
        assert!(pair.asked(&["s"]).contains("pg_settings"), "{text}");
        assert!(pair.next_client().is_some(), "{text}: the next one must not have it");
    }
}

#[test]
fn what_is_made_where_nobody_knows_may_be_temporary() {
    let mut pair = pair();
    pair.up(&query("begin"));
    pair.down(&[complete("BEGIN"), ready(b'T')].concat());
    pair.up(&query("select set_config('search_path', 'pg_' || 'temp', true)"));
    pair.down(&[complete("SELECT 1"), ready(b'T')].concat());
    pair.up(&query("create table x (a int)"));
    pair.down(&[complete("CREATE TABLE"), ready(b'T')].concat());
    pair.simple("commit", "COMMIT");
    assert!(pair.asked(&[]).contains("pg_my_temp_schema"));
}

#[test]
fn only_discard_all_takes_everything_away() {
    let text = "s\0select 1\0\0\0";
    let prepared = || {
        let mut pair = pair();
        pair.up(&[message(b'P', text.as_bytes()), sync()].concat());
        pair.down(&[message(b'1', b""), ready(b'I')].concat());
        pair.simple("set role anna", "SET");
        pair
    };
    for (query, all) in
        [("RESET ALL", false), ("SELECT pg_advisory_unlock_all()", false), ("DISCARD ALL", true)]
    {
        let mut pair = prepared();
        reset(&mut pair.server, query);
        pair.down(&[complete(query), ready(b'I')].concat());
        assert_eq!(pair.server.must_ask(), !all, "{query}");
        if !all {
            let question = pair.asked(&["s"]);
            assert!(["pg_locks", "pg_settings", "pg_depend"].iter().all(|part| question.contains(part)));
        }
        assert_eq!(pair.next_client().as_deref(), (!all).then_some("RESET ALL"), "{query}");
        let mut sent = Vec::new();
        let parse = message(b'P', text.as_bytes());
        up(&mut pair.client, &mut pair.server, &mut pair.common, &parse, &mut sent).unwrap();
        let there = message(b'C', b"Sdormouse_0\0");
        assert_eq!(sent.starts_with(&there), !all, "{query}: it may be there");
    }
    // What the session had beside settings keeps others away.
    let mut locked = prepared();
    reset(&mut locked.server, "RESET ALL");
    locked.down(&[complete("RESET"), ready(b'I')].concat());
    locked.asked(&["a"]);
    assert!(!locked.server.is_free(&Client::default()));
}

#[test]
fn what_was_certain_is_not_when_the_transaction_fails_in_the_end() {
    let mut pair = pair();
    pair.up(&[one_row("set jit = on"), sync()].concat());
    pair.down(&[bound(), complete("SET")].concat());
    pair.down(&[error(), ready(b'I')].concat());
    assert!(pair.asked(&[]).contains("pg_settings"));
    assert_eq!(pair.next_client(), None, "it was found not to be set");
}

#[test]
fn settings_that_nobody_can_name_are_reset_for_the_next() {
    for text in ["call p()", "do $$begin perform p(); end$$", "select set_config('my.' || 'a', 'b', false)"] {
        let mut pair = pair();
        pair.simple(text, "SELECT 1");
        pair.asked(&[]);
        assert_eq!(pair.next_client().as_deref(), Some("RESET ALL"), "{text}");
        assert_eq!(pair.next_client(), None, "once is enough");
    }
    // Who has the backend for itself keeps them.
    let mut pair = pair();
    pair.simple("create temp table t ()", "CREATE TABLE");
    pair.asked(&["t"]);
    pair.simple("call p()", "CALL");
    pair.asked(&["t"]);
    assert_eq!(replay(&pair.client, &mut pair.server), None);
    pair.simple("drop table t", "DROP TABLE");
    pair.asked(&[]);
    assert_eq!(pair.next_client().as_deref(), Some("RESET ALL"));
}

#[test]
fn the_next_client_has_its_own_settings_after_that() {
    let mut pair = pair();
    pair.simple("call p()", "CALL");
    pair.asked(&[]);
    let mut settings = Settings::new();
    settings.set("timezone", "UTC").unwrap();
    let client = Client::new(settings, Reported::new(), true);
    let sent = replay(&client, &mut pair.server).unwrap();
    let wanted = b"RESET ALL; SELECT pg_catalog.set_config('timezone','UTC',false)";
    assert_eq!(&sent[5..sent.len() - 1], wanted);
}

#[test]
fn what_sql_has_prepared_is_asked_about_when_it_is_executed() {
    let prepare = |text: &str| {
        let mut pair = pair();
        pair.simple(&format!("prepare p as {text}"), "PREPARE");
        pair.asked(&["p"]);
        pair
    };
    let mut plain = prepare("select 1");
    plain.simple("execute p", "SELECT 1");
    assert!(!plain.server.must_ask(), "it leaves nothing behind");
    let mut locks = prepare("select pg_advisory_lock(1)");
    locks.simple("execute p", "SELECT 1");
    assert!(locks.asked(&["p", "a"]).contains("pg_locks"));
    locks.simple("deallocate p", "DEALLOCATE");
    locks.asked(&["a"]);
    assert!(!locks.server.is_free(&locks.client), "the lock is there");
    // By a message.
    let mut bound = prepare("select set_config('my.a', 'b', false)");
    bound.up(&[bind("p"), message(b'E', b"\0\0\0\0\0"), sync()].concat());
    bound.down(&[message(b'2', b""), complete("SELECT 1"), ready(b'I')].concat());
    assert!(bound.asked(&["p"]).contains("pg_settings"));
    bound.simple("deallocate p", "DEALLOCATE");
    bound.asked(&[]);
    assert_eq!(bound.next_client().as_deref(), Some("RESET ALL"));
    // In one text.
    let mut all = pair();
    all.simple("prepare p as select pg_advisory_lock(1); execute p; deallocate p", "DEALLOCATE");
    assert!(all.asked(&["a"]).contains("pg_locks"));
}

#[test]
fn the_session_authorization_is_always_asked_for() {
    let mut pair = pair();
    pair.up(&[query("begin"), query("set session authorization bob"), query("commit")].concat());
    pair.down(&[complete("BEGIN"), ready(b'T'), complete("SET"), ready(b'T')].concat());
    pair.down(&[complete("COMMIT"), ready(b'I')].concat());
    assert!(pair.asked(&[]).contains("current_setting('session_authorization')"));
}

fn parameter(name: &str, value: &str) -> Vec<u8> {
    message(b'S', format!("{name}\0{value}\0").as_bytes())
}

#[test]
fn while_literals_are_read_in_another_way_no_text_is_believed() {
    const STRINGS: &str = "standard_conforming_strings";
    let mut reported = Reported::new();
    reported.note(STRINGS, "off");
    let mut strange = pair();
    strange.server = Server::new(TxStatus::Idle, reported);
    for text in ["select 'a\\''; set search_path to x; --'", "set jit = on", "select 1"] {
        strange.simple(text, "SELECT 1");
        let question = strange.asked(&[]);
        assert!(question.contains("pg_settings") && question.contains("pg_locks"), "{text}");
    }
    // Texts of the transaction in which that changes may have been read either way.
    let mut changes = pair();
    changes.up(&[query("begin"), query("set local x = 1"), query("commit")].concat());
    changes.down(&[complete("BEGIN"), ready(b'T')].concat());
    changes.down(&[complete("SET"), parameter(STRINGS, "off"), ready(b'T')].concat());
    changes.down(&[complete("COMMIT"), parameter(STRINGS, "on"), ready(b'I')].concat());
    changes.asked(&[]);
    assert_eq!(changes.next_client().as_deref(), Some("RESET ALL"));
    changes.simple("select 1", "SELECT 1");
    assert!(!changes.server.must_ask(), "it is over");
}

#[test]
fn where_characters_have_bytes_of_others_no_text_is_believed() {
    const ENCODING: &str = "client_encoding";
    let mut reported = Reported::new();
    reported.note(ENCODING, "SJIS");
    let mut strange = pair();
    strange.server = Server::new(TxStatus::Idle, reported);
    for text in [
        &b"SELECT $\x83\x5c$ ' $\x83\x5c$; SET search_path=x; --'"[..],
        b"SELECT E'\x83\x5c'; SET search_path=x; --'",
        b"select 1",
    ] {
        strange.up(&message(b'Q', &[text, b"\0"].concat()));
        strange.down(&[complete("SELECT 1"), ready(b'I')].concat());
        assert!(strange.asked(&[]).contains("pg_settings"), "{}", text.escape_ascii());
    }
    // Up to here nobody knows in which of the two.
    let mut changes = pair();
    changes.up(&query("set client_encoding = 'win932'"));
    changes.down(&[complete("SET"), parameter(ENCODING, "SJIS"), ready(b'I')].concat());
    changes.asked(&[]);
    changes.up(&query("set client_encoding = 'UTF8'"));
    changes.down(&[complete("SET"), parameter(ENCODING, "UTF8"), ready(b'I')].concat());
    changes.asked(&[]);
    changes.simple("select 1", "SELECT 1");
    assert!(!changes.server.must_ask(), "it is over");
    // From one that is read as any other to another nothing happens.
    changes.up(&query("set client_encoding = 'LATIN1'"));
    changes.down(&[complete("SET"), parameter(ENCODING, "LATIN1"), ready(b'I')].concat());
    assert!(!changes.server.must_ask());
}

#[test]
fn where_tables_are_temporary_by_themselves_they_are_asked_for() {
    let mut pair = pair();
    pair.simple("set search_path = pg_temp", "SET");
    pair.asked(&[]);
    pair.simple("create table x ()", "CREATE TABLE");
    assert!(pair.asked(&["t"]).contains("pg_depend"));
    assert!(!pair.server.is_free(&pair.client));
}

fn timezone(value: &str) -> Vec<u8> {
    message(b'S', format!("TimeZone\0{value}\0").as_bytes())
}

#[test]
fn what_a_function_sets_is_asked_for_where_postgresql_reports_it() {
    let mut pair = pair();
    pair.server.reported.note("TimeZone", "UTC");
    pair.up(&query("select f()"));
    pair.down(&[timezone("Asia/Tokyo"), complete("SELECT 1"), ready(b'I')].concat());
    assert!(pair.asked(&["s"]).contains("'s', name, setting"), "the next client has its own again");
    // By the extended protocol, of a statement that leaves nothing behind as far as its text tells.
    pair.up(&[one_row("select g()"), sync()].concat());
    // Since PostgreSQL 14 in front of ReadyForQuery.
    let done = [message(b'1', b""), message(b'2', b""), complete("SELECT 1"), timezone("Asia/Seoul")];
    pair.down(&[done.concat(), ready(b'I')].concat());
    assert!(pair.server.must_ask());
    pair.asked(&[]);
    // It is over with its transaction, or was told by a text.
    pair.up(&query("begin"));
    pair.down(&[complete("BEGIN"), ready(b'T')].concat());
    pair.up(&query("set local timezone = 'x'"));
    pair.down(&[timezone("x"), complete("SET"), ready(b'T')].concat());
    pair.up(&query("commit"));
    pair.down(&[timezone("Asia/Seoul"), complete("COMMIT"), ready(b'I')].concat());
    assert!(!pair.server.must_ask(), "a local change costs no question");
    pair.up(&query("set timezone = 'y'"));
    pair.down(&[timezone("y"), complete("SET"), ready(b'I')].concat());
    assert!(!pair.server.must_ask(), "its text tells all of it");
    assert_eq!(pair.client.wanted.get("timezone"), Some("y"));
    let set = message(b'P', b"\0set timezone = 'z'\0\0\0");
    pair.up(&[set, bind(""), message(b'E', b"\0\0\0\0\0"), sync()].concat());
    let done = [message(b'1', b""), message(b'2', b""), complete("SET"), timezone("z")];
    pair.down(&[done.concat(), ready(b'I')].concat());
    assert!(!pair.server.must_ask(), "by the extended protocol as well");
    assert_eq!(pair.client.wanted.get("timezone"), Some("z"));
}

#[test]
fn what_a_function_sets_beside_texts_that_set_something_is_asked_for_too() {
    let done = |tags: &[&str]| [tags.iter().flat_map(|tag| complete(tag)).collect(), ready(b'I')].concat();
    // In one text, in one series, and beside a RESET of everything.
    let mut one = pair();
    one.up(&query("set work_mem = '1MB'; select f()"));
    one.down(&[complete("SET"), timezone("Asia/Tokyo"), done(&["SELECT 1"])].concat());
    assert!(one.server.must_ask());
    let mut series = pair();
    let set = message(b'P', b"s\0set work_mem = '1MB'\0\0\0");
    let run = |name| [bind(name), message(b'E', b"\0\0\0\0\0")].concat();
    let call = message(b'P', b"\0select f()\0\0\0");
    series.up(&[call, run(""), set, run("s"), sync()].concat());
    let parsed = [message(b'1', b""), message(b'2', b"")].concat();
    let got = [&parsed[..], &complete("SELECT 1"), &parsed, &complete("SET"), &timezone("x"), &ready(b'I')];
    series.down(&got.concat());
    assert!(series.server.must_ask());
    let mut reset = pair();
    reset.up(&query("reset all; select f()"));
    reset.down(&[complete("RESET"), timezone("Asia/Tokyo"), done(&["SELECT 1"])].concat());
    assert!(reset.server.must_ask());
    reset.asked(&[]);
    reset.up(&query("reset all"));
    reset.down(&[complete("RESET"), timezone("UTC"), ready(b'I')].concat());
    assert!(!reset.server.must_ask(), "alone it tells all");
}

#[test]
fn what_a_function_has_set_is_asked_for_when_its_client_has_left() {
    // What is committed stays, and the text that comes next is of another client.
    for (text, tags, set) in [
        ("begin; set work_mem = '1MB'", &["BEGIN", "SET"][..], true),
        ("begin; select f(); commit and chain", &["BEGIN", "SELECT 1", "COMMIT"], false),
    ] {
        let mut pair = pair();
        pair.up(&query(text));
        pair.down(
            &[timezone("Asia/Tokyo"), tags.iter().flat_map(|tag| complete(tag)).collect(), ready(b'T')]
                .concat(),
        );
        let _rollback = roll_back(&mut pair.server);
        pair.down(&[complete("ROLLBACK"), ready(b'I')].concat());
        assert!(pair.server.must_ask(), "{text}");
        if set {
            pair.asked(&[]);
            pair.client = Client::default();
            pair.up(&query("select f()"));
            pair.down(&[timezone("UTC"), complete("SELECT 1"), ready(b'I')].concat());
            assert!(pair.server.must_ask(), "nothing of the one before explains it");
        }
    }
}

#[test]
fn a_statement_that_a_function_has_ended_is_parsed_again() {
    let mut pair = pair();
    let parse = message(b'P', b"s\0select 42\0\0\0");
    let run = || [bind("s"), message(b'E', b"\0\0\0\0\0"), sync()].concat();
    pair.up(&[parse, run()].concat());
    let ran = [message(b'2', b""), complete("SELECT 1"), ready(b'I')].concat();
    pair.down(&[message(b'1', b""), ran.clone()].concat());
    pair.up(&run());
    let gone =
        message(b'E', b"SERROR\0VERROR\0C26000\0Mprepared statement \"dormouse_0\" does not exist\0\0");
    pair.down(&[gone, ready(b'I')].concat());
    let mut sent = Vec::new();
    up(&mut pair.client, &mut pair.server, &mut pair.common, &run(), &mut sent).unwrap();
    assert!(sent.windows(9).any(|text| text == b"select 42"), "said again");
}

#[test]
fn what_is_made_in_an_unknown_place_may_be_temporary_however_it_is_made() {
    for text in ["create table leak as select 1", "create materialized view leak as select 1"] {
        let mut pair = pair();
        pair.up(&query("begin; select set_config('search_path', 'pg_' || 'temp', true)"));
        pair.down(&[complete("BEGIN"), complete("SELECT 1"), ready(b'T')].concat());
        pair.up(&query(text));
        pair.down(&[complete("SELECT 1"), ready(b'T')].concat());
        pair.up(&query("commit"));
        pair.down(&[complete("COMMIT"), ready(b'I')].concat());
        assert!(pair.asked(&[]).contains("pg_my_temp_schema"), "{text}");
    }
}

#[test]
fn a_setting_that_was_not_asked_for_yet_is_lost_with_its_backend() {
    let mut pair = pair();
    pair.up(&query("begin; set role limited; commit"));
    pair.down(&[complete("BEGIN"), complete("SET"), complete("COMMIT"), ready(b'I')].concat());
    assert!(pair.server.must_ask() && !pair.server.can_be_rebuilt());
    let _question = inspect(&pair.client, &mut pair.server);
    let loss = after_loss(&mut pair.client, &mut pair.server, b"");
    assert!(matches!(loss, Loss::Ends), "it would go on with another role, and nobody told it: {loss:?}");
}

#[test]
fn a_text_of_many_settings_is_followed_up_to_a_limit() {
    let mut pair = pair();
    let text = |count: usize| (0..count).map(|n| format!("set a.b = {n};")).collect::<String>();
    let tags = |count: usize| [complete("SET").repeat(count), ready(b'I')].concat();
    pair.up(&query(&text(1000)));
    pair.down(&tags(1000));
    assert!(!pair.server.must_ask());
    assert_eq!(pair.client.wanted.get("a.b"), Some("999"));
    pair.up(&query(&text(1001)));
    pair.down(&tags(1001));
    assert!(pair.asked(&[]).contains("'s', name, setting"), "the backend knows");
}

#[test]
fn a_text_is_read_once_however_many_statements_it_has() {
    const STATEMENTS: usize = 20_000;
    let mut pair = pair();
    pair.client.verbatim = true;
    let began = Mono::now();
    for (text, tags) in [
        ("create schema x;drop schema x;", [complete("CREATE SCHEMA"), complete("DROP SCHEMA")]),
        ("prepare a as select 1;deallocate a;", [complete("PREPARE"), complete("DEALLOCATE")]),
    ] {
        pair.up(&query(&format!("set a.b = 1;{}", text.repeat(STATEMENTS))));
        pair.down(&[complete("SET"), tags.concat().repeat(STATEMENTS), ready(b'I')].concat());
        pair.server.ask = Stateful::default();
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
