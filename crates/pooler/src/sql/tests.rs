//! What texts do: a table, and properties that hold for every text.

use std::time::Duration;

use dormouse_base::clock::Mono;
use proptest::prelude::*;

use super::{Effect, Given, Shape, Value, classify};

/// Effects in short: `set a=b`, `temp`, … separated by ` · `.
fn show(text: &[u8]) -> String {
    let mut shown = Vec::new();
    classify(text, &mut |effect| shown.push(short(&effect)));
    shown.join(" · ")
}

fn short(effect: &Effect<'_>) -> String {
    let scope = |local: &bool| if *local { "local" } else { "set" };
    match effect {
        Effect::NextStatement => ";".into(),
        Effect::Set { name, value: Value::Plain(value), local } => format!("{} {name}={value}", scope(local)),
        Effect::Set { name, value: Value::Default, local } => format!("{} {name} default", scope(local)),
        Effect::Set { name, value: Value::Text(text), local } => format!("{} {name}? {text}", scope(local)),
        Effect::SetRole { value, local } => format!("{} role {value:?}", scope(local)),
        Effect::SetSessionAuthorization { value, local } => format!("{} auth {value:?}", scope(local)),
        Effect::SetConfig { name, value: Some(Given::Parameter(number)), local } => {
            format!("config {name:?} ${number} {local:?}")
        }
        Effect::SetConfig { name, value, local } => {
            format!("config {name:?} {:?} {local:?}", value.as_ref().and_then(Given::text))
        }
        Effect::Reset(name) => format!("reset {name}"),
        Effect::Prepare(name) => format!("prepare {name}"),
        Effect::Execute(name) => format!("execute {name}"),
        Effect::Deallocate(name) => format!("deallocate {name}"),
        Effect::Listen(name) => format!("listen {name}"),
        Effect::Unlisten(name) => format!("unlisten {name}"),
        Effect::Savepoint(name) => format!("savepoint {name}"),
        Effect::RollbackTo(name) => format!("back to {name}"),
        Effect::Release(name) => format!("release {name}"),
        Effect::CloseCursor(name) => format!("close {name:?}"),
        Effect::Discard(what) => format!("discard {what:?}"),
        other => format!("{other:?}"),
    }
}

/// Text and effects.
const CASES: &[(&str, &str)] = &[
    // Queries.
    ("", ""),
    (" ; ;; -- x", ""),
    ("SELECT 1", ""),
    ("select 'set a = b; begin'", ""),
    ("select $$ ; set a = b $$, $x$ $$ ; $x$ from t", ""),
    ("select E'\\'; set a = 1; --'", ""),
    ("select 'a\\'; set a = 1", "; · set a=1"),
    ("select e'x'\n'\\'; set a = 1; --'", ""),
    ("select \"a;\"\"b\"; set a = 1", "; · set a=1"),
    ("select a$1$ from t; set a = 1 -- $1$", "; · set a=1"),
    ("select /* ; /* set a = 1 */ ; */ 1; begin", "; · Begin"),
    ("with x as (insert into temp values (1) returning *) select * from x", ""),
    ("insert into temp values (1)", ""),
    ("merge into temp using s on true when matched then delete", ""),
    ("select template, config from conf", ""),
    ("table t", ""),
    ("show work_mem", ""),
    ("fetch forward 10 from c", "Fetch"),
    ("move all in c", "Fetch"),
    ("lock table t", ""),
    ("alter role r set work_mem = '1MB'", ""),
    ("alter system set work_mem = '1MB'", ""),
    ("alter database d set search_path = x", ""),
    ("vacuum", ""),
    ("drop table pg_temp.x", ""),
    ("SELECT", ""),
    // SET and what it is given.
    ("SET work_mem = '4MB'", "set work_mem=4MB"),
    ("set Work_Mem to 4096", "set work_mem=4096"),
    ("SET SESSION statement_timeout TO 0", "set statement_timeout=0"),
    ("SET LOCAL statement_timeout = 5000", "local statement_timeout=5000"),
    ("set a = 007", "set a=7"),
    ("set a = 000", "set a=0"),
    ("set a = -1.5e-3", "set a=-1.5e-3"),
    ("set a = + 5", "set a=5"),
    ("set a = ON", "set a=on"),
    ("set a = true", "set a=true"),
    ("set a to default", "set a default"),
    ("set local a = default", "local a default"),
    ("set a = 0x10", "set a? set a = 0x10"),
    ("set my.Var = 'X y'", "set my.var=X y"),
    ("set \"My\".\"Var\" = E'a\\nb\\'c'", "set My.Var=a\nb'c"),
    ("set a = E'\\x41'", "set a? set a = E'\\x41'"),
    ("set a = U&'\\0041'", "set a? set a = U&'\\0041'"),
    ("set a = 'it''s'", "set a=it's"),
    ("set a = $$it's$$", "set a=it's"),
    ("set a = 'x'\n'y'", "set a? set a = 'x'\n'y'"),
    ("set a = (select 1)", "set a? set a = (select 1)"),
    ("set a = b.c; begin", "set a? set a = b.c · ; · Begin"),
    ("set a from current", "set a? set a from current"),
    ("set search_path = a, \"B\", '$user'", "set search_path=a, \"B\", \"$user\""),
    ("set search_path to public", "set search_path=public"),
    ("SET SESSION search_path = 'a, b'", "set search_path=\"a, b\""),
    ("set search_path = ''", "set search_path=\"\""),
    ("set search_path = user", "set search_path=\"user\""),
    ("set search_path = A", "set search_path=a"),
    ("set search_path = a, 1", "set search_path=a, 1"),
    ("set schema 'App'", "set search_path=\"App\""),
    ("set datestyle = ISO, MDY", "set datestyle=iso, mdy"),
    ("SET DateStyle='ISO'", "set datestyle=ISO"),
    ("set time zone 'Europe/Berlin'", "set timezone=Europe/Berlin"),
    ("set session time zone UTC", "set timezone=utc"),
    ("set time zone -7", "set timezone=-7"),
    ("set time zone local", "set timezone default"),
    ("set local time zone default", "local timezone default"),
    ("set time zone interval '-08:00' hour to minute", "set timezone=INTERVAL '-08:00'"),
    (
        "set time zone interval '08:00:30' hour to minute",
        "set timezone? set time zone interval '08:00:30' hour to minute",
    ),
    ("set app.z = -0", "set app.z? set app.z = -0"),
    ("set app.z = 02147483648", "set app.z? set app.z = 02147483648"),
    ("set app.z = 007", "set app.z=7"),
    ("set local session characteristics as transaction read only", "local default_transaction_read_only=on"),
    (
        "select set_config(n, v, false) from (values ('app.user', 'x y')) t(n, v)",
        "config None None Some(false) · config Some(\"app.user\") None None",
    ),
    ("set time zone interval '8' hour", "set timezone? set time zone interval '8' hour"),
    ("set timezone = 'UTC'", "set timezone=UTC"),
    ("SET SESSION timezone TO 'UTC'", "set timezone=UTC"),
    ("set names 'utf8'", "set client_encoding=utf8"),
    ("set names", "set client_encoding default"),
    ("set names default", "set client_encoding default"),
    ("set names = 'x'", "set names=x"),
    ("set xml option document", "set xmloption=document"),
    ("set transaction isolation level serializable", ""),
    ("set local transaction read only", ""),
    ("set transaction snapshot '1-1'", ""),
    ("set constraints all deferred", ""),
    (
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY NOT DEFERRABLE",
        "set default_transaction_isolation=repeatable read · set default_transaction_read_only=on · set \
         default_transaction_deferrable=off",
    ),
    ("set session characteristics as transaction read write", "set default_transaction_read_only=off"),
    (
        "set session characteristics as transaction isolation level read uncommitted",
        "set default_transaction_isolation=read uncommitted",
    ),
    ("set session characteristics as transaction x", "set ? set session characteristics as transaction x"),
    ("SET client_min_messages TO 'warning'", "set client_min_messages=warning"),
    ("SET standard_conforming_strings = on", "set standard_conforming_strings=on"),
    ("SET intervalstyle = iso_8601", "set intervalstyle=iso_8601"),
    ("SET extra_float_digits = 3", "set extra_float_digits=3"),
    ("SET application_name = 'PostgreSQL JDBC Driver'", "set application_name=PostgreSQL JDBC Driver"),
    ("/* app='x' */ SET a = 1 /*traceparent='00;'*/", "set a=1"),
    ("set", "set ? set"),
    ("set a", "set a? set a"),
    ("set session = 1", "set session=1"),
    // Roles.
    ("set role app", "set role Some(\"app\")"),
    ("set local role 'App'", "local role Some(\"App\")"),
    ("set session role \"A\"\"b\"", "set role Some(\"A\\\"b\")"),
    ("set role none", "set role Some(\"none\")"),
    ("set role = 'app'", "set role Some(\"app\")"),
    ("set role to none", "set role Some(\"none\")"),
    ("set role to default", "set role None"),
    ("reset role", "set role None"),
    ("set session authorization bob", "set auth Some(\"bob\")"),
    ("set local session authorization 'Bob'", "local auth Some(\"Bob\")"),
    ("set session session authorization default", "set auth None"),
    ("set session_authorization = bob", "set auth Some(\"bob\")"),
    ("reset session authorization", "set auth None"),
    // RESET, DISCARD.
    ("reset Work_mem", "reset work_mem"),
    ("reset my.var", "reset my.var"),
    ("reset time zone", "reset timezone"),
    ("reset transaction isolation level", ""),
    ("RESET ALL", "ResetAll"),
    ("DISCARD ALL;", "DiscardAll"),
    ("discard plans", "discard Plans"),
    ("discard sequences", "discard Sequences"),
    ("discard temporary; discard temp", "discard Temp · ; · discard Temp"),
    // Statements, channels, cursors.
    ("prepare p as select $1 as x, pg_sleep(1)", "prepare p"),
    ("prepare P (int) as select pg_advisory_lock($1)", "prepare p · Latent"),
    ("prepare p as (select set_config('a', 'b', false)); begin", "prepare p · Latent · ; · Begin"),
    ("prepare p as update pg_settings set setting = $1", "prepare p · Latent"),
    ("prepare p as delete from t where x = $1", "prepare p"),
    ("execute \"P\"(1)", "execute P"),
    (
        "execute p(set_config('a', 'b', false), pg_advisory_lock(1))",
        "execute p · config Some(\"a\") None Some(false) · AdvisoryLock",
    ),
    ("explain analyze execute p", "execute p"),
    ("explain execute p", "execute p"),
    ("create table t as execute p (1)", "execute p"),
    ("deallocate a1", "deallocate a1"),
    ("deallocate prepare \"_pg3_0\"", "deallocate _pg3_0"),
    ("deallocate all", "DeallocateAll"),
    ("deallocate prepare all", "DeallocateAll"),
    ("deallocate prepare", "deallocate prepare"),
    ("listen Ch", "listen ch"),
    ("unlisten ch", "unlisten ch"),
    ("unlisten *", "UnlistenAll"),
    ("notify ch, 'x'", "Notify"),
    ("select pg_notify('a', 'b')", ""),
    ("declare c cursor with hold for select 1", "HoldCursor"),
    ("DECLARE \"c\" NO SCROLL CURSOR WITH HOLD FOR select 1", "HoldCursor"),
    ("declare c cursor without hold for select 1", ""),
    ("declare c cursor for select 1 with hold", ""),
    ("close c", "close Some(\"c\")"),
    ("close all", "close None"),
    (
        "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;",
        "AdvisoryUnlockAll · ; · close None · ; · UnlistenAll · ; · ResetAll",
    ),
    // Temporary objects.
    ("create temp table t (a int)", "TempObject"),
    ("CREATE LOCAL TEMPORARY TABLE t AS SELECT 1", "TempObject"),
    ("create or replace temp view v as select 1", "TempObject"),
    ("create global temp sequence s", "TempObject"),
    ("create table if not exists pg_temp.x (a int)", "TempObject"),
    ("create table \"pg_temp\" . x (a int)", "TempObject"),
    ("create function pg_temp.f() returns int language sql as 'select 1'", "TempObject"),
    ("create table temp (a int)", ""),
    ("create table t (temporary int)", ""),
    ("select 1 as a into temp t", "TempObject"),
    ("select 1 as a Into Local Temporary Table t", "TempObject"),
    ("select 1 as a into pg_temp.t", "TempObject"),
    ("select 1 as a into t", ""),
    ("explain analyze select 1 into temp t", "TempObject"),
    ("explain select 1 into temp t", ""),
    // Locks.
    ("SELECT pg_advisory_lock(72707369)", "AdvisoryLock"),
    ("select pg_catalog.pg_advisory_lock_shared($1, $2)", "AdvisoryLock"),
    ("SELECT pg_try_advisory_lock(5266391792647755420)", "AdvisoryLock"),
    ("select pg_try_advisory_lock_shared (1)", "AdvisoryLock"),
    ("select \"pg_advisory_lock\"(1)", "AdvisoryLock"),
    ("select u&\"pg\\005fadvisory_lock\"(1)", "Do"),
    ("listen u&\"ch\"; select 1", "Do · ;"),
    ("select U&\"set!005fconfig\" UESCAPE '!'('a', 'b', false)", "Do"),
    // What only seems to be a literal, or to happen once.
    ("select set_config('role', 'x', yes) from (values (false)) v(yes)", "config Some(\"role\") None None"),
    (
        "select set_config('a', 'b', true), set_config('c', 'd', 't') as x",
        "config Some(\"a\") Some(\"b\") Some(true) · config Some(\"c\") Some(\"d\") Some(true)",
    ),
    ("select set_config('a', 'b', false) fetch first 0 rows only", "config Some(\"a\") None Some(false)"),
    ("select generate_series(1, 0), set_config('a', 'b', false)", "config Some(\"a\") None Some(false)"),
    ("select null::text || set_config('a', 'b', false)", "config Some(\"a\") None Some(false)"),
    ("update t set a = set_config('a', 'b', false)", "config Some(\"a\") None Some(false)"),
    ("explain (analyze 0) select set_config('a', 'b', false)", "config Some(\"a\") None Some(false)"),
    ("explain (\"analyze\") select pg_advisory_lock(1)", "AdvisoryLock"),
    ("create table d(a text default set_config('a', 'b', false))", "config Some(\"a\") None Some(false)"),
    ("table t union all select pg_advisory_lock(77)::text", "AdvisoryLock"),
    (
        "alter table x alter a type text using set_config('a', 'b', false)",
        "config Some(\"a\") None Some(false)",
    ),
    ("with x as (select 1) update only (pg_settings) set setting = 1", "config None None Some(false)"),
    ("update db.pg_catalog.pg_settings set setting = 1", "config None None Some(false)"),
    ("select * from pg_settings", ""),
    ("reset session.user_id", "reset session.user_id"),
    ("reset time.x", "reset time.x"),
    ("select 1 as a into table db.pg_temp.x", "TempObject"),
    ("create table pg_temp_3.x(a int)", "TempObject"),
    ("import foreign schema s from server x into pg_temp", "TempObject"),
    (
        "create function f() returns text language sql begin atomic select a as begin, b as case from t; end; set a = 1",
        "; · set a=1",
    ),
    ("create function f() returns text language sql begin atomic select case 1; set a = 1", "Do"),
    ("SELECT PG_ADVISORY_UNLOCK(1)", "AdvisoryUnlock"),
    ("select pg_advisory_unlock_shared(1)", "AdvisoryUnlock"),
    ("select pg_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(2)", ""),
    ("select 'pg_advisory_lock(1)'", ""),
    ("select pg_advisory_lock from t", ""),
    ("select (select pg_advisory_lock(1)), 2", "AdvisoryLock"),
    ("with x as (select pg_advisory_lock(1)) select * from x", "AdvisoryLock"),
    ("insert into t select pg_advisory_lock(1)", "AdvisoryLock"),
    ("explain (analyze, buffers) select pg_advisory_lock(1)", "AdvisoryLock"),
    ("explain (analyze off) select pg_advisory_lock(1)", ""),
    ("explain select pg_advisory_lock(1)", ""),
    ("explain analyze ((explain analyze select pg_advisory_lock(1)))", ""),
    ("create table t as select pg_advisory_lock(1)", "AdvisoryLock"),
    ("create view v as select pg_advisory_lock(1)", ""),
    ("copy (select pg_advisory_lock(1)) to stdout", "Copy · AdvisoryLock"),
    // set_config.
    ("select set_config('jit', 'off', false)", "config Some(\"jit\") Some(\"off\") Some(false)"),
    (
        "SELECT current_setting('jit') AS cur, pg_catalog.set_config('jit', 'off', false) AS new",
        "config Some(\"jit\") Some(\"off\") Some(false)",
    ),
    ("select set_config('jit', $1, 'f')", "config Some(\"jit\") $1 Some(false)"),
    ("select set_config($1, $2, $3)", "config None $2 None"),
    ("select set_config('a'::text, 'b'::text, true::bool)", "config Some(\"a\") Some(\"b\") Some(true)"),
    ("select set_config('a', 'b' || 'c', false)", "config Some(\"a\") None Some(false)"),
    ("select set_config('a', f(1, 2), false)", "config Some(\"a\") None Some(false)"),
    ("select set_config('a', 'b', false) where x", "config Some(\"a\") None Some(false)"),
    (
        "select set_config('a','1',true), set_config('b','2',false)",
        "config Some(\"a\") Some(\"1\") Some(true) · config Some(\"b\") Some(\"2\") Some(false)",
    ),
    (
        "select set_config('a', set_config('b', '1', false), false)",
        "config Some(\"a\") None Some(false) · config Some(\"b\") None None",
    ),
    (
        "select set_config(set_config('a'||'b', '1', false), 'c', false)",
        "config None Some(\"c\") Some(false) · config None None None",
    ),
    (
        "SELECT pg_catalog.set_config('search_path', '', false);",
        "config Some(\"search_path\") Some(\"\") Some(false)",
    ),
    ("update pg_settings set setting = 'off' where name = 'jit'", "config None None Some(false)"),
    ("update pg_catalog . PG_SETTINGS set setting = 'off'", "config None None Some(false)"),
    // Transactions.
    ("BEGIN", "Begin"),
    ("begin isolation level serializable", "Begin"),
    ("start transaction read only", "Begin"),
    ("COMMIT", "Commit"),
    ("end work", "Commit"),
    ("commit and chain", "Commit"),
    ("ROLLBACK", "Rollback"),
    ("abort transaction", "Rollback"),
    ("savepoint S1", "savepoint s1"),
    ("rollback to s1", "back to s1"),
    ("ROLLBACK TRANSACTION TO SAVEPOINT \"S1\"", "back to S1"),
    ("release savepoint s1", "release s1"),
    ("release savepoint", "release savepoint"),
    ("prepare transaction 'x'", "Commit"),
    ("commit prepared 'x'", ""),
    ("rollback prepared 'x'", ""),
    ("begin; set a = 1; select 2; commit", "Begin · ; · set a=1 · ; · ; · Commit"),
    // The rest.
    ("copy t (a, b) from stdin with (format csv)", "Copy"),
    ("COPY t TO STDOUT", "Copy"),
    ("copy (select 1 from t) to stdout", "Copy"),
    ("copy t from '/x'", ""),
    ("copy t to program 'cat'", ""),
    ("load 'auto_explain'", "Load"),
    ("do $$ begin perform 1; end $$", "Do"),
    (
        "do $x$ begin perform set_config('my.a', 'b', true); end $x$ language plpgsql; listen y",
        "Do · config Some(\"my.a\") None None · ; · listen y",
    ),
    ("deallocate s xyz", ""),
    ("deallocate all xyz", ""),
    ("discard all xyz; deallocate s", "; · deallocate s"),
    ("call p(1)", "Call"),
    (
        "call p('my.a', 'x@y.z', '3.14', 'a.', name => 'My.b'); listen y",
        "Call · config Some(\"my.a\") None None · config Some(\"My.b\") None None · ; · listen y",
    ),
    ("create rule r as on insert to t do also (delete from u; notify x); listen y", "; · listen y"),
    (
        "create function f() returns int begin atomic select case when true then 1 end; select 2; end; listen y",
        "; · listen y",
    ),
    ("create function f() returns int language sql as $$ begin; set a = 1 $$; listen y", "; · listen y"),
];

#[test]
fn texts_do_what_the_table_says() {
    assert!(CASES.len() >= 120);
    for (text, expected) in CASES {
        assert_eq!(&show(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn comments_white_space_and_a_semicolon_change_nothing() {
    for (text, expected) in CASES.iter().filter(|(_, expected)| !expected.contains('?')) {
        for text in [
            format!("/* a;b 'c /* d */ \" */ \n\t{text}"),
            format!("-- it's\n{text}\n-- it's"),
            format!("{text} /*traceparent='00-0af7',db=\"x;\"*/ ; \r\n"),
        ] {
            assert_eq!(&show(text.as_bytes()), expected, "{text}");
        }
    }
}

#[test]
fn shapes_count_statements_and_know_transaction_control() {
    let shape = |text: &str| classify(text.as_bytes(), &mut |_| {});
    let of = |statements, transaction_control| Shape { statements, transaction_control, defines: false };
    assert_eq!(shape(""), of(0, false));
    assert_eq!(shape(" /* nothing */ ;;"), of(0, false));
    assert_eq!(shape("select 1;"), of(1, false));
    assert_eq!(shape("select 1; select ';'; vacuum"), of(3, false));
    assert_eq!(shape("begin; select 1"), of(2, true));
    assert_eq!(shape("rollback prepared 'x'"), of(1, false));
    assert_eq!(shape("prepare transaction 'x'"), of(1, true));
}

#[test]
fn names_are_cut_as_postgresql_cuts_them() {
    let long = format!("listen {}ä{}", "a".repeat(62), "b".repeat(20));
    assert_eq!(show(long.as_bytes()), format!("listen {}", "a".repeat(62)));
}

#[test]
fn texts_that_are_not_utf8_are_left_to_postgresql() {
    assert_eq!(show(b"set a = 'x\xff'"), "set a? set a = 'x\u{fffd}'");
    assert_eq!(show(b"select set_config('a', '\xff', false)"), "config Some(\"a\") None Some(false)");
}

/// Each would take minutes, or more stack than there is, if anything were read again for each piece.
#[test]
fn long_texts_take_as_long_as_they_are_long() {
    const PIECES: usize = 100_000;
    for (piece, end) in [
        ("explain analyze ", "select pg_advisory_lock(1)"),
        ("explain (analyze) (", "select 1"),
        ("select set_config('a', ", ""),
        ("select set_config('a', '1', false), (", ""),
        ("set_config(", ""),
        ("set a.", "b = 1"),
        ("do $$ set a.b; $$ ", ""),
        ("create table pg_temp.", ""),
        ("a.", "a"),
        ("into.", "a"),
        ("into a.", "a"),
    ] {
        for first in ["", "select ", "set ", "explain analyze ", "create view ", "create table ", "import "] {
            let text = format!("{first}{}{end}", piece.repeat(PIECES));
            let began = Mono::now();
            classify(text.as_bytes(), &mut |_| {});
            assert!(began.elapsed() < Duration::from_secs(5), "{first}{piece}: {:?}", began.elapsed());
        }
    }
    let dotted = format!("set a{} = 1", ".a".repeat(PIECES));
    let began = Mono::now();
    assert!(show(dotted.as_bytes()).len() > 2 * PIECES);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        show(&text);
    }

    #[test]
    fn anything_like_sql_is_read_without_a_panic(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("set "), Just("reset "), Just("select "), Just("set_config("), Just("'"), Just("\""), Just("$$"),
                Just("$a$"), Just("e'"), Just("u&\""), Just("\\"), Just("("), Just(")"), Just(","), Just(";"), Just("/*"),
                Just("*/"), Just("--"), Just("\n"), Just("session "), Just("time zone "), Just("local "), Just("= "),
                Just("create "), Just("function "), Just("begin atomic "), Just("end "), Just("explain "), Just("ä"),
                Just("pg_temp."), Just("copy "), Just("characteristics as transaction "), Just("1e"), Just("-"),
            ],
            0..24,
        ),
    ) {
        show(parts.concat().as_bytes());
    }

    /// What is between tokens may be any blank: the effects are the same.
    #[test]
    fn blanks_between_words_do_not_matter(
        case in 0..CASES.len(),
        blank in prop_oneof![Just("\n"), Just("\t \r\n"), Just("/**/"), Just("/* ' */"), Just(" -- \"\n"), Just("\x0c")],
    ) {
        let (text, expected) = CASES[case];
        let simple = !text.contains(['\'', '"', '$', '-', '\\', '/']) && !expected.contains('?');
        if simple {
            prop_assert_eq!(show(text.replace(' ', blank).as_bytes()), expected);
        }
    }

    /// The quick way never hides what the careful way would have found.
    #[test]
    fn the_quick_way_agrees_with_the_careful_one(case in 0..CASES.len()) {
        let (text, expected) = CASES[case];
        // A second statement sends the first down the careful way.
        let both = show(format!("{};table t", text.split(';').next().unwrap_or_default()).as_bytes());
        if !text.contains(';') && !text.contains("--") {
            let expected = if expected.is_empty() { String::new() } else { format!("{expected} · ") };
            let empty = text.trim().is_empty();
            prop_assert_eq!(both, format!("{expected}{}", if empty { "" } else { ";" }));
        }
    }
}
