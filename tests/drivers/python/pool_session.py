"""psycopg 3 in session mode: what it prepares has its own names on the backend, whatever backend that is."""

import psycopg

from checks import dsn, expect
from pool_checks import PoolChecks

NAMES = "select name, from_sql from pg_prepared_statements where name <> '' order by 1"


def connect():
    return psycopg.connect(dsn(), autocommit=True, connect_timeout=30)


def one(connection, text, *values, prepare=False):
    return connection.execute(text, values or None, prepare=prepare).fetchone()[0]


def main():
    t = PoolChecks("session")
    a, b = connect(), connect()

    with t.check("SQL finds what the protocol prepared"):
        expect(one(a, "select %s::int + 1", 1, prepare=True), 2)
        b.execute("prepare _pg3_0 as select 'of b'")
        expect(a.execute(NAMES, prepare=False).fetchall(), [("_pg3_0", False)])
        expect(one(a, "execute _pg3_0(41)"), 42)
        expect(one(b, "execute _pg3_0"), "of b")

    with t.check("errors are PostgreSQL's"):
        try:
            a.execute("prepare _pg3_0 as select 1")
        except psycopg.errors.DuplicatePreparedStatement:
            pass
        else:
            raise AssertionError("one name, two statements")

    with t.check("what is deallocated is gone"):
        b.execute("deallocate _pg3_0")
        expect(b.execute(NAMES, prepare=False).fetchall(), [])

    with t.check("sleep"):
        t.wait_for_sleep()

    with t.check("after the sleep"):
        expect(a.execute(NAMES, prepare=False).fetchall(), [("_pg3_0", False)])
        expect(one(a, "execute _pg3_0(6)"), 7)
        expect(one(a, "select %s::int + 1", 9, prepare=True), 10)
        expect(b.execute(NAMES, prepare=False).fetchall(), [])

    for connection in (a, b):
        connection.close()
    t.finish()


main()
