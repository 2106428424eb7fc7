"""The pool matrix for Python drivers: what every driver must be able to do through a transaction pool.

A driver's program wraps its connection in an `Adapter` and calls `everything`;
then it adds what only that driver does (pipelines, COPY, migrations...), and
ends with `sleep`. The same program passes against a plain PostgreSQL, so a
failure through the pool is the pool's.

    --survives yes   the address is a pool: statements of one connection move
                     between backends (that is checked), and the connection
                     outlives a sleep of the endpoint
    --survives no    the address is PostgreSQL itself

Before the sleep the program prints `SLEEP` and waits for a line: whoever runs
it suspends the endpoint in between.
"""

import argparse
import contextlib
import random
import re
import sys

from checks import Checks, expect, unique_name

# Clients that share the backends. At most OPEN of them hold one at a time.
CROWD = 20
OPEN = 3
ROUNDS = 200
# One row that no buffer of a proxy holds at once. Bytes.
BIG = 5 * 1024 * 1024

DEFAULTS = ("search_path", "TimeZone", "statement_timeout", "application_name", "DateStyle")


class Adapter:
    """One connection, in autocommit. Texts have $1, $2 ... once each and in order."""

    def rows(self, text, *values):
        """Runs one statement with parameters; a list of tuples, [] for statements without rows."""
        raise NotImplementedError

    def plain(self, text):
        """Runs statements without parameters by the driver's plainest way."""
        raise NotImplementedError

    def state(self, error):
        """The SQLSTATE of this driver's exception."""
        return getattr(error, "sqlstate", None)

    def close(self):
        raise NotImplementedError

    # What follows needs no other driver.

    def one(self, text, *values):
        return self.rows(text, *values)[0][0]

    def setting(self, name):
        return self.one("select current_setting($1)", name)


def percent(text):
    """$1 to the %s of the DB-API."""
    return re.sub(r"\$\d+", "%s", text.replace("%", "%%"))


class PoolChecks(Checks):
    def __init__(self, driver):
        super().__init__(f"pool_{driver}")
        parser = argparse.ArgumentParser()
        parser.add_argument("--survives", choices=("yes", "no"), required=True)
        self.pooled = parser.parse_args().survives == "yes"

    def wait_for_sleep(self):
        print("SLEEP", flush=True)
        if not sys.stdin.readline():
            raise AssertionError("nobody suspended the endpoint")

    @contextlib.contextmanager
    def refused(self, adapter, state):
        """The block must fail with this SQLSTATE."""
        try:
            yield
        except AssertionError:
            raise
        except Exception as error:  # noqa: BLE001  (each driver has its own)
            expect(adapter.state(error), state, f"SQLSTATE of {error!r:.200}")
            return
        raise AssertionError(f"it succeeded, wanted {state}")


@contextlib.contextmanager
def elsewhere(other):
    """While this is open, `other` holds the backend that was free last, so that the next statement
    of anybody else runs on another one."""
    other.plain("begin")
    try:
        other.one("select 1 + $1::int", 1)
        yield
    finally:
        other.plain("rollback")


def everything(t, connect):
    """All common checks. `connect()` returns a new Adapter. Returns two connections for `sleep`."""
    with t.check("connect"):
        a, b = connect(), connect()
        expect((a.one("select 40 + $1::int", 2), b.one("select 40 + $1::int", 3)), (42, 43))
    moves(t, a, b)
    errors(t, a, b)
    transactions(t, a, b)
    settings(t, a, b)
    literals(t, a, b)
    session_state(t, connect)
    discard(t, connect)
    big(t, a)
    crowd(t, connect)
    return a, b


def moves(t, a, b):
    with t.check("one connection, many backends"):
        seen = set()
        for _ in range(4):
            seen.add(a.one("select pg_backend_pid()"))
            with elsewhere(b):
                seen.add(a.one("select pg_backend_pid()"))
        expect(len(seen) > 1, t.pooled, f"moved between {seen}")

    with t.check("prepared statements follow the connection"):
        for i in range(12):
            expect(a.rows("select $1::int * 2, $2::text", i, f"t{i}"), [(i * 2, f"t{i}")])
            with elsewhere(b):
                expect(a.rows("select $1::int * 2, $2::text", i, f"u{i}"), [(i * 2, f"u{i}")])
            # The other one has prepared the same text and others, under names of its own.
            expect(b.rows("select $1::int * 3, $2::text", i, f"b{i}"), [(i * 3, f"b{i}")])
            expect(b.rows("select $1::int * 2, $2::text", i, f"b{i}"), [(i * 2, f"b{i}")])


def errors(t, a, b):
    with t.check("an error outside of a transaction"):
        for i in range(8):
            with t.refused(a, "22012"):
                a.one("select 1 / $1::int", 0)
            with elsewhere(b):
                with t.refused(a, "42P01"):
                    a.one("select * from there_is_no_such_table where id = $1::int", i)
                expect(a.one("select 1 / $1::int", 1), 1)

    with t.check("an error inside of a transaction"):
        for _ in range(3):
            a.plain("begin")
            with t.refused(a, "22012"):
                a.one("select 1 / $1::int", 0)
            with elsewhere(b):
                with t.refused(a, "25P02"):
                    a.one("select 1 / $1::int", 1)
            a.plain("rollback")
            with elsewhere(b):
                expect(a.one("select 1 / $1::int", 1), 1)


def transactions(t, a, b):
    table = unique_name("pool_tx")
    with t.check("transactions"):
        a.plain(f"create table {table} (id int primary key, v text)")
        a.plain("begin")
        a.rows(f"insert into {table} values ($1::int, $2::text)", 1, "kept")
        expect(b.one(f"select count(*)::int from {table}"), 0, "seen before the commit")
        with elsewhere(b):
            a.rows(f"insert into {table} values ($1::int, $2::text)", 2, "kept")
        a.plain("commit")
        expect(b.one(f"select count(*)::int from {table}"), 2, "seen after the commit")
        a.plain("begin")
        a.rows(f"insert into {table} values ($1::int, $2::text)", 3, "dropped")
        a.plain("savepoint s")
        with t.refused(a, "23505"):
            a.rows(f"insert into {table} values ($1::int, $2::text)", 1, "twice")
        a.plain("rollback to savepoint s")
        expect(a.one(f"select count(*)::int from {table}"), 3, "after the savepoint")
        a.plain("rollback")
        expect(b.one(f"select count(*)::int from {table}"), 2, "after the rollback")
        a.plain(f"drop table {table}")


def settings(t, a, b):
    fresh = {name: b.setting(name) for name in DEFAULTS}

    def kept(connection, wanted):
        expect({name: connection.setting(name) for name in wanted}, wanted)

    with t.check("settings stay with their connection"):
        mine = {"TimeZone": "Pacific/Auckland", "statement_timeout": "54321ms", "application_name": "mine",
                "search_path": "pg_catalog, public"}
        a.plain("set time zone 'Pacific/Auckland'")
        a.plain("set statement_timeout = 54321")
        a.plain("set session application_name to 'mine'")
        a.plain("set search_path = pg_catalog, public")
        for _ in range(3):
            kept(b, fresh)
            with elsewhere(b):
                kept(a, mine)
            kept(a, mine)
            kept(b, fresh)

    with t.check("settings of a transaction"):
        a.plain("begin")
        a.plain("set local statement_timeout = 1111")
        a.plain("set time zone 'Asia/Tokyo'")
        a.one("select set_config('application_name', $1, true)", "only here")
        kept(a, {"statement_timeout": "1111ms", "TimeZone": "Asia/Tokyo", "application_name": "only here"})
        a.plain("rollback")
        with elsewhere(b):
            kept(a, mine)
        kept(b, fresh)
        a.plain("begin")
        a.plain("set time zone 'Asia/Tokyo'")
        a.plain("commit")
        with elsewhere(b):
            kept(a, {**mine, "TimeZone": "Asia/Tokyo"})

    with t.check("set_config and custom settings"):
        a.one("select set_config($1, $2, false)", "application_name", "by function")
        a.one("select set_config('my.tenant', $1, false)", "tenant a")
        with elsewhere(b):
            kept(a, {"application_name": "by function", "my.tenant": "tenant a"})
            expect(b.one("select coalesce(current_setting('my.tenant', true), '')"), "")
        kept(a, {"application_name": "by function", "my.tenant": "tenant a"})

    with t.check("RESET"):
        a.plain("reset time zone")
        with elsewhere(b):
            kept(a, {"TimeZone": fresh["TimeZone"], "statement_timeout": "54321ms"})
        a.plain("reset all")
        with elsewhere(b):
            kept(a, {name: fresh[name] for name in ("TimeZone", "statement_timeout", "search_path", "DateStyle")})


def literals(t, a, b):
    with t.check("a literal means what it means to its own connection"):
        midnight = {"Asia/Tokyo": 1717167600, "UTC": 1717200000}
        text = "select extract(epoch from timestamptz '2024-06-01')::int8 + $1::int8"
        for connection, zone in ((a, "Asia/Tokyo"), (b, "UTC")):
            connection.plain(f"set time zone '{zone}'")
        for i in range(8):
            expect(a.one(text, i), midnight["Asia/Tokyo"] + i)
            expect(b.one(text, i), midnight["UTC"] + i)
        for connection in (a, b):
            connection.plain("reset time zone")


def session_state(t, connect):
    """What only one backend can have: the pool must keep the connection there, and nobody else."""
    a, b = connect(), connect()
    with t.check("advisory locks of a session"):
        key = random.getrandbits(31)
        a.one("select pg_advisory_lock($1::bigint)::text", key)
        for _ in range(2):
            expect(b.one("select pg_try_advisory_lock($1::bigint)", key), False, "the lock is taken")
            with elsewhere(b):
                expect(a.one("select 1"), 1)
        expect(a.one("select pg_advisory_unlock($1::bigint)", key), True, "the holder unlocks")
        expect(b.one("select pg_try_advisory_lock($1::bigint)", key), True, "the lock is free")
        expect(b.one("select pg_advisory_unlock($1::bigint)", key), True)

    with t.check("temporary tables"):
        name = unique_name("pool_temp")
        a.plain(f"create temp table {name} (v text)")
        for i in range(3):
            a.rows(f"insert into {name} values ($1::text)", str(i))
            with t.refused(b, "42P01"):
                b.one(f"select count(*) from {name} where v = $1::text", "x")
            with elsewhere(b):
                expect(a.one(f"select count(*)::int from {name}"), i + 1)
        a.plain(f"drop table {name}")

    with t.check("PREPARE and EXECUTE by text"):
        a.plain("prepare plan_of_a(int) as select $1 * 10")
        b.plain("prepare plan_of_a(int) as select $1 * 20")
        for _ in range(2):
            with elsewhere(b):
                expect(a.one("execute plan_of_a(4)"), 40)
            expect(b.one("execute plan_of_a(4)"), 80)
        a.plain("deallocate plan_of_a")
        b.plain("deallocate plan_of_a")

    with t.check("a cursor WITH HOLD"):
        a.plain("declare held cursor with hold for select g from generate_series(1, 30) g")
        for i in range(3):
            with elsewhere(b):
                expect([r[0] for r in a.rows("fetch 10 from held")], list(range(i * 10 + 1, i * 10 + 11)))
        a.plain("close held")
    a.close()
    b.close()


def discard(t, connect):
    with t.check("DISCARD ALL"):
        a, b = connect(), connect()
        before = {name: a.setting(name) for name in DEFAULTS}
        name = unique_name("pool_discard")
        a.plain("set time zone 'Asia/Tokyo'")
        a.plain("set search_path = pg_catalog")
        a.plain(f"create temp table {name} (v int)")
        a.plain("discard all")
        # A statement that this connection has not prepared yet: DISCARD ALL took the others away,
        # and not every driver notices.
        a.close()
        a = connect()
        expect({name: a.setting(name) for name in DEFAULTS}, before)
        a.plain("set time zone 'Asia/Tokyo'")
        a.plain("discard all")
        with elsewhere(b):
            zone = a.one("select current_setting('TimeZone') /* after discard */")
            expect(zone, before["TimeZone"])
        a.close()
        # Whoever gets these backends next finds nothing of it.
        c = connect()
        expect({name: c.setting(name) for name in DEFAULTS}, before)
        c.close()
        b.close()


def big(t, a):
    with t.check("a row of 5 MB there and back"):
        text = "0123456789abcdef" * (BIG // 16)
        got = a.one("select $1::text", text)
        expect(got == text, True, "same text")
        expect(a.one("select md5(repeat('0123456789abcdef', $1::int)) = md5($2::text)", BIG // 16, text), True)


def crowd(t, connect):
    """Clients with equal statements and different search paths, in random order; some in transactions."""
    prefix = unique_name("pool")
    dice = random.Random(20)
    with t.check(f"{CROWD} clients, each with its own world"):
        clients = [connect() for _ in range(CROWD)]
        for i, client in enumerate(clients):
            client.plain(f"create schema {prefix}_{i}")
            client.plain(f"set search_path = {prefix}_{i}")
            client.plain(f"set application_name = 'client {i}'")
            client.plain("create table t (tag text, n int)")
            client.rows("insert into t values ($1::text, $2::int)", f"tag {i}", 0)
        open_ones, counts = [], [0] * CROWD
        for turn in range(ROUNDS):
            i = dice.randrange(CROWD)
            client = clients[i]
            if dice.random() < 0.3 and i not in open_ones and len(open_ones) < OPEN:
                client.plain("begin")
                open_ones.append(i)
            row = client.rows("select tag, n, current_setting('application_name'), $1::int from t", turn)
            expect(row, [(f"tag {i}", counts[i], f"client {i}", turn)], f"turn {turn}")
            if dice.random() < 0.2 and i not in open_ones:
                with t.refused(client, "22012"):
                    client.one("select n / $1::int from t", 0)
            client.rows("update t set n = n + $1::int", 1)
            counts[i] += 1
            if open_ones and dice.random() < 0.4:
                clients[open_ones.pop(dice.randrange(len(open_ones)))].plain("commit")
        for i in open_ones:
            clients[i].plain("commit")
        for i, client in enumerate(clients):
            expect(client.one("select n from t"), counts[i])
            client.plain(f"drop schema {prefix}_{i} cascade")
            client.close()


def sleep(t, connect, a, b):
    """The endpoint is suspended under two idle connections; then everything ends."""
    with t.check("before the sleep"):
        a.plain("set time zone 'Asia/Tokyo'")
        a.plain("set application_name = 'sleeper'")
        for i in range(8):
            expect(a.one("select $1::int + 7", i), i + 7)
            expect(b.one("select $1::int + 7", i), i + 7)

    with t.check("sleep"):
        t.wait_for_sleep()

    with t.check("after the sleep"):
        if not t.pooled:
            for connection in (a, b):
                try:
                    connection.one("select $1::int + 7", 1)
                except Exception:  # noqa: BLE001  (57P01, or whatever the driver makes of the end)
                    continue
                raise AssertionError("a direct connection has outlived the sleep")
            a, b = connect(), connect()
            a.plain("set time zone 'Asia/Tokyo'")
            a.plain("set application_name = 'sleeper'")
        for i in range(8):
            expect(a.one("select $1::int + 7", i), i + 7)
            with elsewhere(b):
                expect((a.setting("TimeZone"), a.setting("application_name")), ("Asia/Tokyo", "sleeper"))
            expect(b.one("select $1::int + 7", i), i + 7)
        a.close()
        b.close()
    t.finish()
