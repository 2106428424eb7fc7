//! What a session can have of its own, beyond `my.a`: roles, reported settings, transactions, objects.
//!
//! Every player finds the same in PostgreSQL ([`GROUND`]), and leaves nothing there: what a phrase makes is its
//! session's, and so must never be seen by another client, nor be lost while its own client is there.

use crate::seed::Seed;

/// Made once: two roles, two schemas with the same names in them, and a procedure that ends transactions.
pub(super) const GROUND: &str = "
    create role r_one; create role r_two;
    create schema one; create schema two;
    create view one.which as select 'one'::text as v; create view two.which as select 'two'::text as v;
    create function one.whom() returns text language sql as $$ select 'one ' || current_user $$;
    create function two.whom() returns text language sql as $$ select 'two ' || current_user $$;
    create procedure one.settle(name text, value text) language plpgsql as $$ begin
        perform set_config(name, value, false); commit; perform set_config(name, 'local', true); end $$;
    grant usage on schema one, two to public;";

/// A text; `mark` is its client's, and `$1` may stand for a value.
pub(super) fn text(seed: &mut Seed, mark: &str) -> String {
    match seed.below(4) {
        0 => role(seed, mark),
        1 => setting(seed, mark),
        2 => transaction(seed),
        _ => object(seed, mark),
    }
}

/// Whose rights it has.
fn role(seed: &mut Seed, mark: &str) -> String {
    let role = *seed.one_of(&["r_one", "r_two", "none"]);
    match seed.below(12) {
        0 => format!("set role {role}"),
        1 => format!("set local role {role}"),
        2 => "reset role".into(),
        3 => format!("select set_config('role', '{role}', $1::text is null)"),
        4 => format!("set session authorization {}", seed.one_of(&["r_one", "default"])),
        5 => "reset session authorization".into(),
        6 => format!("do $$ begin set role {role}; end $$"),
        7 => format!("set role r_one; select '{mark}' as v; reset role"),
        8 => "select pg_has_role(current_user, 'pg_monitor', 'member') as v".into(),
        _ => "select current_user || ' ' || session_user || ' ' || current_setting('role') as v".into(),
    }
}

/// Settings that PostgreSQL knows, some of which it reports, and what depends on them.
fn setting(seed: &mut Seed, mark: &str) -> String {
    let (name, values): (&str, &[&str]) = *seed.one_of(&[
        ("timezone", &["'Asia/Tokyo'", "utc", "'America/New_York'"][..]),
        ("intervalstyle", &["iso_8601", "postgres"]),
        ("search_path", &["one", "two", "two, one", "''"]),
        ("standard_conforming_strings", &["on", "off"]),
        ("bytea_output", &["escape", "hex"]),
        ("client_encoding", &["latin1", "utf8"]),
        ("application_name", &["fuzz", "''"]),
        ("default_transaction_read_only", &["on", "off"]),
        ("default_transaction_isolation", &["serializable", "'repeatable read'"]),
        ("extra_float_digits", &["0", "1", "99"]),
        ("work_mem", &["'3MB'", "'nonsense'"]),
        ("my.a", &["on", "'x y'"]),
    ]);
    let value = *seed.one_of(values);
    match seed.below(15) {
        0..3 => format!("set {name} = {value}"),
        3 => format!("set local {name} to {value}"),
        4 => format!("reset {name}"),
        5 => format!("set {name} to default"),
        6 => format!("/* {mark} */ SeT\n SESSION {name}\t= {value} -- {mark}"),
        // NULL or empty: see docs/reference/direct-or-pooled.md.
        7 if name == "my.a" => "select coalesce(current_setting('my.a', true), '') as v".into(),
        // Which schemas there are has the name of a side in it.
        7 if name == "search_path" => "select current_schemas(true) && '{one,two}' as v".into(),
        7 => format!("show {name}"),
        8 => "select timestamptz '2001-02-03 04:05:06+00' + interval '1 year 2 hours' as v".into(),
        9 => "select v from which".into(),
        10 => "select whom() as v".into(),
        11 => format!("select 'it\\'s; set my.b = ''{mark}''; ' as v"),
        12 => r"select '\303\244'::bytea as v, chr(228) as w, 0.1::float4 + 0.2::float8 as x".into(),
        13 => format!("with s as (select set_config('my.b', '{mark}', false) as v) select v from s"),
        _ => format!("call one.settle('my.a', '{mark}')"),
    }
}

/// Beginnings and ends of every kind.
fn transaction(seed: &mut Seed) -> String {
    let name = *seed.one_of(&["a", "b"]);
    match seed.below(16) {
        0 => "begin read only".into(),
        1 => "start transaction read only".into(),
        2 => "set transaction read only".into(),
        3 => "set session characteristics as transaction read only".into(),
        4 => "set session characteristics as transaction read write".into(),
        5 => "commit and chain".into(),
        6 => "rollback and chain".into(),
        7 | 8 => format!("release savepoint {name}"),
        9 => format!("prepare transaction '{name}'"),
        10 => "do $$ begin set my.a = 'in do'; rollback; set my.b = 'in do'; commit; end $$".into(),
        11 => "abort".into(),
        12 => "end".into(),
        13 => "show transaction_read_only".into(),
        14 => "show transaction_isolation".into(),
        _ => "insert into t values ('transaction') returning v".into(),
    }
}

/// What is made in the session, and seen there only.
fn object(seed: &mut Seed, mark: &str) -> String {
    let name = *seed.one_of(&["a", "b"]);
    match seed.below(20) {
        0 => format!("create temp view tt_{name} as select '{mark}'::text as v"),
        1 => format!("create temp sequence sq_{name}"),
        2 => format!("select nextval('sq_{name}') as n"),
        3 => format!("drop sequence sq_{name}"),
        4 => format!("create temp table tt_{name} (v text) on commit drop"),
        5 => format!("select '{mark}'::text as v into temp tt_{name}"),
        6 => format!("create table pg_temp.tt_{name} as select '{mark}'::text as v"),
        7 => format!("create function pg_temp.f_{name}() returns text language sql as $$ select '{mark}' $$"),
        8 => format!("select pg_temp.f_{name}() as v"),
        9 => format!("drop view tt_{name}"),
        10 => format!("declare c_{name} cursor for select '{mark}' as v"),
        11 => format!("declare c_{name} scroll cursor with hold for select '{mark}' as v"),
        12 => format!("move backward in c_{name}"),
        13 => "close all".into(),
        14 => format!("discard {}", seed.one_of(&["temp", "plans", "sequences"])),
        15 => "unlisten news".into(),
        16 => "select pg_advisory_unlock_all()".into(),
        17 => "select pg_advisory_xact_lock_shared(4711)".into(),
        18 => format!("prepare q_{name}(text) as select '{mark}' || $1 as v"),
        _ => format!("execute q_{name}('by sql')"),
    }
}
