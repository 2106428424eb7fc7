"""psycopg2 through a pool: everything is a simple query. See pool_checks.py."""

import io
import select

import psycopg2
import psycopg2.extensions

from checks import dsn, expect, unique_name
from pool_checks import Adapter, PoolChecks, elsewhere, everything, percent, sleep


class Psycopg2(Adapter):
    def __init__(self):
        self.raw = psycopg2.connect(dsn(), connect_timeout=30)
        self.raw.autocommit = True

    def rows(self, text, *values):
        with self.raw.cursor() as cursor:
            cursor.execute(percent(text), values) if values else cursor.execute(text)
            return cursor.fetchall() if cursor.description else []

    def plain(self, text):
        self.rows(text)

    def state(self, error):
        return getattr(error, "pgcode", None)

    def close(self):
        self.raw.close()


def own_transactions(t, a, b):
    with t.check("the driver's own transactions, and a server cursor"):
        a.raw.autocommit = False
        a.raw.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with a.raw, a.raw.cursor("c1") as cursor:
            cursor.itersize = 100
            cursor.execute("select g from generate_series(1, %s) g", (1000,))
            with elsewhere(b):
                expect(sum(row[0] for row in cursor), 500_500)
            expect(a.setting("transaction_isolation"), "repeatable read")
        a.raw.reset()
        a.raw.set_session(isolation_level="DEFAULT", readonly="DEFAULT")
        a.raw.autocommit = True
        expect(a.setting("transaction_isolation"), "read committed")
        # set_session in autocommit is a setting of the session.
        a.raw.set_session(readonly=True)
        with elsewhere(b), t.refused(a, "25006"):
            a.plain("create table there_will_be_none (i int)")
        a.raw.set_session(readonly=False)


def copies(t, a, b):
    with t.check("COPY both ways"):
        name = unique_name("pool_copy")
        a.plain(f"create table {name} (i int, v text)")
        source = io.StringIO("".join(f"{i}\t{'v' * 100}\n" for i in range(5000)))
        with a.raw.cursor() as cursor:
            cursor.copy_expert(f"copy {name} from stdin", source)
            out = io.StringIO()
            with elsewhere(b):
                cursor.copy_expert(f"copy {name} to stdout", out)
            expect(len(out.getvalue().splitlines()), 5000)
            with t.refused(a, "22P02"):
                cursor.copy_expert(f"copy {name} from stdin", io.StringIO("x\ty\n"))
        expect(a.one(f"select count(*)::int from {name}"), 5000)
        a.plain(f"drop table {name}")


def listening(t):
    with t.check("LISTEN and NOTIFY"):
        listener, teller = Psycopg2(), Psycopg2()
        channel = unique_name("ch")
        listener.plain(f"listen {channel}")
        for i in range(3):
            teller.rows("select pg_notify($1, $2)", channel, str(i))
            select.select([listener.raw], [], [], 10)
            listener.raw.poll()
            expect([n.payload for n in listener.raw.notifies], [str(i)])
            listener.raw.notifies.clear()
        listener.plain("unlisten *")
        listener.close()
        teller.close()


def many_statements(t, a, b):
    with t.check("many statements of one text"):
        name = unique_name("pool_many")
        a.plain(f"begin; create table {name} (i int); insert into {name} values (1), (2); commit")
        with elsewhere(b):
            expect(a.rows(f"set application_name = 'in a batch'; select sum(i)::int from {name}"), [(3,)])
            expect(a.setting("application_name"), "in a batch")
        with t.refused(a, "22012"):
            a.plain(f"insert into {name} values (3); select 1 / 0")
        expect(a.one(f"select count(*)::int from {name}"), 2, "the whole text is one transaction")
        a.plain(f"drop table {name}")


def main():
    t = PoolChecks("psycopg2")
    a, b = everything(t, Psycopg2)
    own_transactions(t, a, b)
    copies(t, a, b)
    listening(t)
    many_statements(t, a, b)
    sleep(t, Psycopg2, a, b)


main()
