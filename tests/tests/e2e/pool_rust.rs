//! What Rust's drivers must be able to do through a transaction pool. `tests/drivers/python/pool_checks.py`
//! is the longer form of the same checks and says why each is there.
//!
//! A driver implements [`Driver`] for one connection and calls [`everything`]; what only it can do is in
//! its own file.

use crate::pool_house::{House, pooled};

/// Clients that share the backends; at most `OPEN` of them hold one at the same time.
const CROWD: usize = 20;
const OPEN: usize = 3;
const ROUNDS: usize = 200;

/// Bytes of one row.
const BIG: usize = 5 * 1024 * 1024;

/// One connection, in autocommit.
pub(crate) trait Driver {
    /// Runs a statement with one parameter `$1::int`, whose single row has a single text column `v`.
    ///
    /// # Errors
    /// The SQLSTATE, or the driver's text where there is none.
    fn ask(&mut self, text: &str, n: i32) -> Result<String, String>;

    /// Runs statements without parameters.
    ///
    /// # Errors
    /// The same.
    fn plain(&mut self, text: &str) -> Result<(), String>;
}

fn say(driver: &mut impl Driver, text: &str) {
    driver.plain(text).unwrap_or_else(|why| panic!("{text}: {why}"));
}

pub(crate) fn setting(driver: &mut impl Driver, name: &str) -> String {
    driver.ask(&format!("select current_setting('{name}') as v where $1::int = 1"), 1).unwrap()
}

/// Does something while `other` holds the backend that was free last.
pub(crate) fn elsewhere<D: Driver, R>(other: &mut D, body: impl FnOnce() -> R) -> R {
    say(other, "begin");
    other.ask("select $1::int::text as v", 1).unwrap();
    let done = body();
    say(other, "rollback");
    done
}

/// All checks, from an endpoint that is asleep to one that was woken again.
pub(crate) fn everything<D: Driver>(house: &House, mut connect: impl FnMut() -> D) {
    let (mut a, mut b) = (connect(), connect());
    moves(&mut a, &mut b);
    errors(&mut a, &mut b);
    settings(&mut a, &mut b);
    session_state(&mut connect);
    let big = a.ask(&format!("select repeat('x', $1::int * {BIG} / 5) as v"), 5).unwrap();
    assert_eq!(big.len(), BIG);
    crowd(&mut connect);
    sleep(house, a, b, connect);
}

fn moves<D: Driver>(a: &mut D, b: &mut D) {
    let pid = "select pg_backend_pid()::text as v where $1::int = 1";
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..4 {
        seen.insert(a.ask(pid, 1).unwrap());
        seen.insert(elsewhere(b, || a.ask(pid, 1).unwrap()));
    }
    assert_eq!(seen.len() > 1, pooled(), "backends of one connection: {seen:?}");
    for i in 0..12 {
        let twice = "select ($1::int * 2)::text as v";
        assert_eq!(a.ask(twice, i).unwrap(), (i * 2).to_string());
        assert_eq!(elsewhere(b, || a.ask(twice, i).unwrap()), (i * 2).to_string());
        assert_eq!(b.ask("select ($1::int * 3)::text as v", i).unwrap(), (i * 3).to_string());
        assert_eq!(b.ask(twice, i).unwrap(), (i * 2).to_string());
    }
}

fn errors<D: Driver>(a: &mut D, b: &mut D) {
    let part = "select (1 / $1::int)::text as v";
    for _ in 0..6 {
        assert_eq!(a.ask(part, 0).unwrap_err(), "22012");
        elsewhere(b, || {
            assert_eq!(
                a.ask("select x::text as v from no_such_table where i = $1::int", 1).unwrap_err(),
                "42P01"
            );
            assert_eq!(a.ask(part, 1).unwrap(), "1");
        });
    }
    say(a, "begin");
    assert_eq!(a.ask(part, 0).unwrap_err(), "22012");
    assert_eq!(elsewhere(b, || a.ask(part, 1).unwrap_err()), "25P02");
    say(a, "rollback");
    say(a, "begin");
    say(a, "create table pool_rust_tx (i int primary key)");
    say(a, "insert into pool_rust_tx values (1); savepoint s");
    assert_eq!(a.plain("insert into pool_rust_tx values (1)").unwrap_err(), "23505");
    say(a, "rollback to s");
    assert_eq!(a.ask("select count(*)::text as v from pool_rust_tx where i = $1::int", 1).unwrap(), "1");
    assert_eq!(b.ask("select i::text as v from pool_rust_tx where i = $1::int", 1).unwrap_err(), "42P01");
    say(a, "rollback");
    assert_eq!(elsewhere(b, || a.ask(part, 1).unwrap()), "1");
}

fn settings<D: Driver>(a: &mut D, b: &mut D) {
    let names = ["TimeZone", "statement_timeout", "application_name", "search_path"];
    let fresh: Vec<String> = names.iter().map(|name| setting(b, name)).collect();
    let mine = ["Pacific/Auckland", "54321ms", "mine", "pg_catalog, public"];
    let kept = |d: &mut D, wanted: &[&str]| {
        for (name, wanted) in names.iter().zip(wanted) {
            assert_eq!(setting(d, name), *wanted, "{name}");
        }
    };
    say(a, "set time zone 'Pacific/Auckland'");
    say(a, "set statement_timeout = 54321; set application_name = 'mine'");
    say(a, "set search_path = pg_catalog, public");
    let fresh: Vec<&str> = fresh.iter().map(String::as_str).collect();
    for _ in 0..2 {
        kept(b, &fresh);
        elsewhere(b, || kept(a, &mine));
        kept(a, &mine);
    }
    say(a, "begin");
    say(a, "set time zone 'Asia/Tokyo'");
    say(a, "set local statement_timeout = 1");
    say(a, "rollback");
    elsewhere(b, || kept(a, &mine));
    for (name, value) in names.iter().zip(&fresh) {
        say(a, &format!("select set_config('{name}', '{}', false)", value.replace('\'', "''")));
    }
    elsewhere(b, || kept(a, &fresh));
}

fn session_state<D: Driver>(connect: &mut impl FnMut() -> D) {
    let (mut a, mut b) = (connect(), connect());
    let take = "select pg_try_advisory_lock($1::int)::text as v";
    let give = "select pg_advisory_unlock($1::int)::text as v";
    assert_eq!(a.ask(take, 77).unwrap(), "true");
    assert_eq!(b.ask(take, 77).unwrap(), "false");
    assert_eq!(elsewhere(&mut b, || a.ask(give, 77).unwrap()), "true");
    assert_eq!(b.ask(take, 77).unwrap(), "true");
    assert_eq!(b.ask(give, 77).unwrap(), "true");
    say(&mut a, "create temp table pool_rust_temp (i int)");
    for i in 0..3 {
        say(&mut a, "insert into pool_rust_temp values (1)");
        assert!(b.plain("insert into pool_rust_temp values (1)").is_err(), "another's temporary table");
        let count = "select count(*)::text as v from pool_rust_temp where i = $1::int";
        assert_eq!(elsewhere(&mut b, || a.ask(count, 1).unwrap()), (i + 1).to_string());
    }
    say(&mut a, "set time zone 'Asia/Tokyo'");
    say(&mut a, "discard all");
    drop(a);
    let mut c = connect();
    assert_ne!(setting(&mut c, "TimeZone"), "Asia/Tokyo");
    assert!(c.plain("insert into pool_rust_temp values (1)").is_err(), "DISCARD ALL left a table behind");
}

/// Equal statements, different search paths; some clients in transactions.
fn crowd<D: Driver>(connect: &mut impl FnMut() -> D) {
    let mut clients: Vec<D> = (0..CROWD).map(|_| connect()).collect();
    for (i, c) in clients.iter_mut().enumerate() {
        say(c, &format!("create schema pool_rust_{i}"));
        say(c, &format!("set search_path = pool_rust_{i}"));
        say(c, &format!("create table t (tag text, n int); insert into t values ('tag {i}', 0)"));
    }
    let (mut counts, mut open) = ([0u32; CROWD], Vec::new());
    let mut dice: u64 = 20;
    let mut roll = |sides: usize| {
        // A linear congruence is random enough to mix clients, and the same each time.
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(dice >> 33).unwrap() % sides
    };
    for _ in 0..ROUNDS {
        let i = roll(CROWD);
        if open.len() < OPEN && !open.contains(&i) && roll(3) == 0 {
            say(&mut clients[i], "begin");
            open.push(i);
        }
        let found = clients[i].ask("select tag || n as v from t where $1::int = 1", 1).unwrap();
        assert_eq!(found, format!("tag {i}{}", counts[i]));
        if !open.contains(&i) && roll(4) == 0 {
            assert_eq!(clients[i].ask("select (n / $1::int)::text as v from t", 0).unwrap_err(), "22012");
        }
        clients[i].ask("update t set n = n + $1::int returning n::text as v", 1).unwrap();
        counts[i] += 1;
        if !open.is_empty() && roll(2) == 0 {
            let i = open.remove(roll(open.len()));
            say(&mut clients[i], "commit");
        }
    }
    for i in open {
        say(&mut clients[i], "commit");
    }
    for (i, c) in clients.iter_mut().enumerate() {
        assert_eq!(c.ask("select n::text as v from t where $1::int = 1", 1).unwrap(), counts[i].to_string());
        say(c, &format!("drop schema pool_rust_{i} cascade"));
    }
}

fn sleep<D: Driver>(house: &House, mut a: D, mut b: D, mut connect: impl FnMut() -> D) {
    let twice = "select ($1::int * 2)::text as v";
    say(&mut a, "set time zone 'Asia/Tokyo'");
    for _ in 0..8 {
        assert_eq!((a.ask(twice, 4).unwrap(), b.ask(twice, 5).unwrap()), ("8".to_owned(), "10".to_owned()));
    }
    house.suspend();
    if !pooled() {
        assert!(a.ask(twice, 1).is_err() && b.ask(twice, 1).is_err(), "direct connections end");
        (a, b) = (connect(), connect());
        say(&mut a, "set time zone 'Asia/Tokyo'");
    }
    for _ in 0..8 {
        assert_eq!((a.ask(twice, 4).unwrap(), b.ask(twice, 5).unwrap()), ("8".to_owned(), "10".to_owned()));
        assert_eq!(elsewhere(&mut b, || setting(&mut a, "TimeZone")), "Asia/Tokyo");
    }
}
