"""libpq itself (through psycopg.pq) through a pool: what drivers in C do with it.

Statements prepared under equal names with different texts, pipelines with
Flush and no Sync, single row mode, COPY, cancel, startup options. See
pool_checks.py for the switches.
"""

import threading
import time

from psycopg import pq

from checks import Checks, dsn, expect, unique_name
from pool_checks import PoolChecks

FATAL, TUPLES = pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.TUPLES_OK


def connect(more=""):
    connection = pq.PGconn.connect((dsn() + more).encode())
    if connection.status != pq.ConnStatus.OK:
        raise AssertionError(connection.error_message.decode())
    return connection


def state(result):
    return (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()


def value(result, row=0, column=0):
    if result.status != TUPLES:
        raise AssertionError(f"{pq.ExecStatus(result.status).name}: {result.error_message.decode()}")
    return result.get_value(row, column).decode()


def one(connection, text):
    return value(connection.exec_(text.encode()))


def results(connection):
    """Everything up to the next end of a result list."""
    got = []
    while (result := connection.get_result()) is not None:
        got.append(result)
    return got


def names(t, clients):
    with t.check("equal names, different texts"):
        for i, c in enumerate(clients):
            result = c.prepare(b"same_name", b"select $1::int + %d" % (1000 * i))
            expect(result.status, pq.ExecStatus.COMMAND_OK)
        for turn in range(5):
            for i, c in enumerate(clients):
                clients[i - 1].exec_(b"begin")
                expect(value(c.exec_prepared(b"same_name", [b"%d" % turn])), str(1000 * i + turn))
                clients[i - 1].exec_(b"commit")
        for i, c in enumerate(clients):
            described = c.describe_prepared(b"same_name")
            expect((described.nparams, described.nfields, described.param_type(0)), (1, 1, 23))
    with t.check("DEALLOCATE is for one client only"):
        clients[0].exec_(b"deallocate same_name")
        expect(state(clients[0].exec_prepared(b"same_name", [b"1"])), "26000")
        expect(value(clients[1].exec_prepared(b"same_name", [b"1"])), "1001")
        clients[1].exec_(b"deallocate all")
        expect(state(clients[1].exec_prepared(b"same_name", [b"1"])), "26000")
        expect(value(clients[2].exec_prepared(b"same_name", [b"1"])), "2001")
        expect(state(clients[2].prepare(b"same_name", b"select 1")), "42P05", )
        expect(value(clients[2].exec_prepared(b"same_name", [b"2"])), "2002")
    with t.check("the unnamed statement stays"):
        for i, c in enumerate(clients):
            c.prepare(b"", b"select $1::text || '-%d'" % i)
        for i, c in enumerate(clients):
            expect(value(c.exec_prepared(b"", [b"x"])), f"x-{i}")


def pipelines(t, a, b):
    with t.check("a pipeline without Sync until the end"):
        a.enter_pipeline_mode()
        for i in range(40):
            a.send_query_params(b"select %d + $1::int" % i, [b"5"])
            if i % 10 == 9:
                a.send_flush_request()
                a.flush()
                for j in range(i - 9, i + 1):
                    expect(value(a.get_result()), str(j + 5))
                    expect(a.get_result(), None)
                expect(one(b, "select 7"), "7")
        a.pipeline_sync()
        expect(a.get_result().status, pq.ExecStatus.PIPELINE_SYNC)
        a.exit_pipeline_mode()

    with t.check("an error skips to the next Sync"):
        a.enter_pipeline_mode()
        for text in (b"select 1", b"select 1/0", b"select 2"):
            a.send_query_params(text, [])
        a.pipeline_sync()
        a.send_query_params(b"select 3", [])
        a.pipeline_sync()
        seen = []
        while len(seen) < 6:
            result = a.get_result()
            if result is not None:
                seen.append(pq.ExecStatus(result.status).name)
        expect(seen, ["TUPLES_OK", "FATAL_ERROR", "PIPELINE_ABORTED", "PIPELINE_SYNC", "TUPLES_OK", "PIPELINE_SYNC"])
        a.get_result()
        a.exit_pipeline_mode()


def rows_one_by_one(t, a, b):
    with t.check("single row mode, left in the middle"):
        a.send_query(b"select g, repeat('x', 1000) from generate_series(1, 5000) g")
        a.set_single_row_mode()
        for i in range(10):
            expect(a.get_result().get_value(0, 0).decode(), str(i + 1))
        expect(one(b, "select 'meanwhile'"), "meanwhile")
        expect(len(results(a)), 5000 - 10 + 1)
        expect(one(a, "select 1"), "1")


def copies(t, a, b):
    with t.check("COPY in and out, and COPY that the client gives up"):
        name = unique_name("pool_copy").encode()
        a.exec_(b"create table %s (i int)" % name)
        a.exec_(b"copy %s from stdin" % name)
        for i in range(2000):
            a.put_copy_data(b"%d\n" % i)
        expect(one(b, f"select count(*) from {name.decode()}"), "0")
        a.put_copy_end()
        results(a)
        expect(one(b, f"select count(*) from {name.decode()}"), "2000")
        a.exec_(b"copy %s from stdin" % name)
        a.put_copy_data(b"1\n")
        a.put_copy_end(b"given up")
        expect([state(r) for r in results(a)], ["57014"])
        a.exec_(b"copy %s to stdout" % name)
        total = 0
        while True:
            size, data = a.get_copy_data(0)
            if size <= 0:
                break
            total += 1
        results(a)
        expect(total, 2000)
        a.exec_(b"drop table %s" % name)


def cancel(t, a, b):
    with t.check("cancel meets the right statement"):
        for _ in range(3):
            a.send_query(b"select pg_sleep(20)")
            b.send_query(b"select pg_sleep(0.6), 'unharmed'")
            time.sleep(0.2)
            a.get_cancel().cancel()
            expect([state(r) for r in results(a)], ["57014"])
            expect(value(results(b)[0], 0, 1), "unharmed")
        # One that comes too late hits nobody.
        a.get_cancel().cancel()
        expect((one(b, "select 1"), one(a, "select 1")), ("1", "1"))


def startup(t):
    with t.check("settings of the startup packet"):
        asked = "&application_name=from%20startup&client_encoding=LATIN1"
        c = connect(asked)
        for _ in range(2):
            expect(one(c, "show application_name"), "from startup")
            expect(c.parameter_status(b"client_encoding"), b"LATIN1")
            expect(c.exec_("select 'ä'::text".encode("latin1")).get_value(0, 0), "ä".encode("latin1"))
        plain = connect()
        expect(plain.parameter_status(b"client_encoding"), b"UTF8")
        expect(plain.exec_("select 'ä'::text".encode()).get_value(0, 0), "ä".encode())
        c.exec_(b"set client_encoding = 'UTF8'")
        expect(c.parameter_status(b"client_encoding"), b"UTF8")
        c.exec_(b"set application_name = 'changed'")
        expect(c.parameter_status(b"application_name"), b"changed")
        expect(plain.parameter_status(b"application_name") == b"changed", False)
        c.finish()
        plain.finish()


def sleep(t, a, b):
    with t.check("sleep"):
        a.prepare(b"over_night", b"select $1::int * 3, current_setting('DateStyle')")
        a.exec_(b"set datestyle = 'German'")
        t.wait_for_sleep()
        result = a.exec_prepared(b"over_night", [b"4"])
        if t.pooled:
            expect((value(result), value(result, 0, 1)), ("12", "German, DMY"))
            expect(a.parameter_status(b"DateStyle"), b"German, DMY")
            expect(one(b, "select 8"), "8")
        else:
            expect(result.status, FATAL)
            expect(one(connect(), "select 8"), "8")


def main():
    t = PoolChecks("libpq")
    with t.check("connect"):
        clients = [connect() for _ in range(8)]
    names(t, clients)
    a, b = clients[0], clients[1]
    pipelines(t, a, b)
    rows_one_by_one(t, a, b)
    copies(t, a, b)
    cancel(t, a, b)
    startup(t)
    sleep(t, a, b)
    t.finish()


main()
