"""psycopg 3 (libpq) against one database. See checks.py for the rules."""

import threading
import time

import psycopg
from psycopg.types.json import Jsonb

from checks import (ARRAY, BYTES, CANCEL_LIMIT, JSON, MEGABYTE, ROWS, Checks, asks_for_tls, dsn, expect,
                    expect_within, unique_name)


def main():
    t = Checks("psycopg")
    schema = unique_name("drv_psycopg")

    with t.check("connect"):
        conn = psycopg.connect(dsn(), autocommit=True, connect_timeout=30)
        if asks_for_tls(dsn()):
            expect(conn.pgconn.ssl_in_use, True, "TLS in use")
    conn.execute(f"create schema {schema}")
    basics(t, conn, schema)
    values(t, conn)
    bulk(t, conn, schema)
    notifications(t, conn)
    cancel(t, conn)
    with t.check("clean up and close"):
        conn.execute(f"drop schema {schema} cascade")
        conn.close()
    t.finish()


def basics(t, conn, schema):
    with t.check("unprepared parameters"):
        expect(conn.execute("select %s::int + %s::int", (40, 2)).fetchone(), (42,))

    with t.check("prepared statement 10 times"):
        for i in range(10):
            row = conn.execute("select %s::int * 2, %s::text", (i, f"t{i}"), prepare=True).fetchone()
            expect(row, (i * 2, f"t{i}"))

    with t.check("many statements of one simple query"):
        cur = conn.execute("select 1; select 2; select 3")
        got = [cur.fetchone()[0]]
        while cur.nextset():
            got.append(cur.fetchone()[0])
        expect(got, [1, 2, 3])

    conn.execute(f"create table {schema}.t (id int primary key, v text)")
    with t.check("commit"):
        with conn.transaction():
            conn.execute(f"insert into {schema}.t values (1, 'kept')")
        expect(conn.execute(f"select count(*) from {schema}.t").fetchone(), (1,))

    with t.check("rollback"):
        with conn.transaction(force_rollback=True):
            conn.execute(f"insert into {schema}.t values (2, 'dropped')")
            expect(conn.execute(f"select count(*) from {schema}.t").fetchone(), (2,), "count inside")
        expect(conn.execute(f"select count(*) from {schema}.t").fetchone(), (1,), "count after")

    with t.check("savepoint after an error"):
        with conn.transaction():
            try:
                with conn.transaction():
                    conn.execute(f"insert into {schema}.t values (1, 'twice')")
                raise AssertionError("duplicate key was accepted")
            except psycopg.errors.UniqueViolation as error:
                expect(error.sqlstate, "23505")
            conn.execute(f"insert into {schema}.t values (3, 'after')")
        expect(conn.execute(f"select count(*) from {schema}.t").fetchone(), (2,))

    with t.check("error 22012 and the connection still works"):
        try:
            conn.execute("select 1 / %s::int", (0,))
            raise AssertionError("division by zero was accepted")
        except psycopg.errors.DivisionByZero as error:
            expect(error.sqlstate, "22012")
        expect(conn.execute("select 1").fetchone(), (1,))

    with t.check("pipeline"):
        with conn.pipeline():
            cursors = [conn.execute("select %s::int", (i,)) for i in range(50)]
            expect([c.fetchone()[0] for c in cursors], list(range(50)))


def values(t, conn):
    with t.check("1 MB text there and back"):
        expect(conn.execute("select %s::text", (MEGABYTE,)).fetchone()[0] == MEGABYTE, True, "same text")

    for binary in (False, True):
        with t.check(f"array, json, bytea, null ({'binary' if binary else 'text'})"):
            cur = conn.cursor(binary=binary)
            cur.execute("select %s::text[], %s::jsonb, %s::bytea, %s::int", (ARRAY, Jsonb(JSON), BYTES, None))
            expect(cur.fetchone(), (ARRAY, JSON, BYTES, None))


def bulk(t, conn, schema):
    conn.execute(f"create table {schema}.c (id int, v text)")
    with t.check("COPY in"):
        with conn.cursor().copy(f"copy {schema}.c from stdin") as copy:
            for i in range(ROWS):
                copy.write_row((i, None if i % 10 == 0 else f"row\t{i}\n"))
        expect(conn.execute(f"select count(*), count(v), sum(id) from {schema}.c").fetchone(),
               (ROWS, ROWS * 9 // 10, ROWS * (ROWS - 1) // 2))

    with t.check("COPY out"):
        with conn.cursor().copy(f"copy {schema}.c to stdout") as copy:
            copy.set_types(["int4", "text"])
            rows = list(copy.rows())
        expect(len(rows), ROWS, "rows")
        expect((rows[0], rows[9]), ((0, None), (9, "row\t9\n")))

    with t.check("COPY that fails in the middle"):
        try:
            with conn.cursor().copy(f"copy {schema}.c from stdin") as copy:
                copy.write("1\tfine\nnot-a-number\tbad\n")
            raise AssertionError("bad COPY data was accepted")
        except psycopg.errors.InvalidTextRepresentation as error:
            expect(error.sqlstate, "22P02")
        expect(conn.execute(f"select count(*) from {schema}.c").fetchone(), (ROWS,))

    with t.check("10,000 rows"):
        rows = conn.execute("select g, repeat('x', 100) from generate_series(1, %s) g", (ROWS,)).fetchall()
        expect((len(rows), rows[-1][0]), (ROWS, ROWS))

    with t.check("server-side cursor"):
        with conn.transaction(), conn.cursor("c1") as cur:
            cur.itersize = 500
            cur.execute("select g from generate_series(1, %s) g", (ROWS,))
            expect(sum(row[0] for row in cur), ROWS * (ROWS + 1) // 2)


def notifications(t, conn):
    channel = unique_name("ch")
    with t.check("NOTIFY to itself"):
        conn.execute(f"listen {channel}")
        conn.execute("select pg_notify(%s, %s)", (channel, "self"))
        expect([n.payload for n in conn.notifies(timeout=10, stop_after=1)], ["self"])

    with t.check("NOTIFY from another connection while idle"):
        with psycopg.connect(dsn(), autocommit=True, connect_timeout=30) as other:
            other.execute("select pg_notify(%s, %s)", (channel, "other"))
        expect([n.payload for n in conn.notifies(timeout=10, stop_after=1)], ["other"])
        conn.execute(f"unlisten {channel}")


def cancel(t, conn):
    failures = []

    def send_cancel():
        time.sleep(0.5)
        try:
            conn.cancel_safe(timeout=10)
        except psycopg.Error as error:
            failures.append(str(error))

    with t.check("cancel a running statement"):
        thread = threading.Thread(target=send_cancel)
        started = time.monotonic()
        thread.start()
        try:
            conn.execute("select pg_sleep(30)")
            raise AssertionError(f"pg_sleep was not cancelled {failures}")
        except psycopg.errors.QueryCanceled as error:
            expect(error.sqlstate, "57014")
        expect_within(started, CANCEL_LIMIT, "the cancel")
        thread.join()
        expect(failures, [])
        expect(conn.execute("select 1").fetchone(), (1,))


main()
