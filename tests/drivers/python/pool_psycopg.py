"""psycopg 3 through a pool: prepared statements on the fly, pipelines, cursors, COPY. See pool_checks.py."""

import psycopg

from checks import dsn, expect, unique_name
from pool_checks import Adapter, PoolChecks, elsewhere, everything, percent, sleep


class Psycopg(Adapter):
    def __init__(self):
        # The third use of a text prepares it, by Parse in one series and Bind in the next.
        self.raw = psycopg.connect(dsn(), autocommit=True, connect_timeout=30, prepare_threshold=2)

    def rows(self, text, *values):
        # Without values psycopg takes the text as it is.
        cursor = self.raw.execute(percent(text), values) if values else self.raw.execute(text)
        return cursor.fetchall() if cursor.description else []

    def plain(self, text):
        self.raw.execute(text, prepare=False)

    def close(self):
        self.raw.close()


def pipelines(t, a, b):
    with t.check("pipelines"):
        with a.raw.pipeline(), elsewhere(b):
            cursors = [a.raw.execute("select %s::int, pg_backend_pid()", (i,), prepare=i % 2 == 0) for i in range(60)]
            expect([c.fetchone()[0] for c in cursors], list(range(60)))

    with t.check("an error in the middle of a pipeline"):
        results = []
        try:
            with a.raw.pipeline() as pipeline:
                for i in range(30):
                    results.append(a.raw.execute("select 100 / (%s::int - 15)", (i,)))
                pipeline.sync()
        except psycopg.errors.DivisionByZero:
            pass
        else:
            raise AssertionError("the pipeline did not fail")
        expect(results[14].fetchone(), (-100,))
        expect(a.one("select 1"), 1)

    with t.check("a transaction in a pipeline"):
        name = unique_name("pool_pipe")
        a.plain(f"create table {name} (i int)")
        with a.raw.pipeline(), a.raw.transaction():
            for i in range(20):
                a.raw.execute(f"insert into {name} values (%s)", (i,))
        expect(b.one(f"select count(*)::int from {name}"), 20)
        with a.raw.cursor() as cursor:
            cursor.executemany(f"insert into {name} values (%s)", [(i,) for i in range(100)])
        expect(b.one(f"select count(*)::int from {name}"), 120)
        a.plain(f"drop table {name}")


def cursors_and_copy(t, a, b):
    with t.check("server cursors"):
        with a.raw.transaction(), a.raw.cursor("c1") as one, a.raw.cursor("c2", scrollable=True) as two:
            one.itersize = 100
            one.execute("select g from generate_series(1, 1000) g")
            two.execute("select g from generate_series(1, %s) g", (50,))
            with elsewhere(b):
                expect(sum(r[0] for r in one), 500_500)
                two.scroll(40)
                expect(two.fetchone(), (41,))
        held = a.raw.cursor("held_one", withhold=True)
        held.execute("select g from generate_series(1, 1000) g")
        with elsewhere(b):
            expect(sum(r[0] for r in held), 500_500)
        held.close()

    with t.check("COPY both ways"):
        name = unique_name("pool_copy")
        a.plain(f"create table {name} (i int, v text)")
        with a.raw.cursor().copy(f"copy {name} from stdin") as copy:
            for i in range(5000):
                copy.write_row((i, "v" * 100))
                if i == 2500:
                    # Between two packets of a COPY everybody else goes on.
                    expect(b.one(f"select count(*)::int from {name}"), 0)
        with elsewhere(b), a.raw.cursor().copy(f"copy {name} to stdout (format binary)") as copy:
            copy.set_types(["int4", "text"])
            expect(sum(row[0] for row in copy.rows()), 5000 * 4999 // 2)
        with t.refused(a, "22P02"):
            with a.raw.cursor().copy(f"copy {name} from stdin") as copy:
                copy.write("not a number\tx\n")
        expect(a.one(f"select count(*)::int from {name}"), 5000)
        a.plain(f"drop table {name}")


def prepared(t, a, b):
    with t.check("more statements than the cache holds"):
        a.raw.prepared_max = 5
        for _ in range(3):
            for i in range(20):
                got = a.raw.execute(f"select %s::int + {i}", (1,), prepare=True).fetchone()
                expect(got, (i + 1,))
        with elsewhere(b):
            expect(a.raw.execute("select %s::int + 19", (1,), prepare=True).fetchone(), (20,))

    with t.check("a table changes under a prepared statement"):
        name = unique_name("pool_ddl")
        a.plain(f"create table {name} (i int)")
        a.rows(f"insert into {name} values ($1::int)", 1)
        for _ in range(6):
            expect(a.raw.execute(f"select i from {name} where i = %s", (1,)).fetchone(), (1,))
            expect(b.raw.execute(f"select i from {name} where i = %s", (1,)).fetchone(), (1,))
        b.plain(f"alter table {name} add column j int default 5")
        with elsewhere(b):
            expect(a.raw.execute(f"select i from {name} where i = %s", (1,)).fetchone(), (1,))
        a.plain(f"drop table {name}")


def listening(t):
    with t.check("LISTEN and NOTIFY"):
        listener, teller = Psycopg(), Psycopg()
        channel = unique_name("ch")
        listener.plain(f"listen {channel}")
        for i in range(3):
            teller.rows("select pg_notify($1, $2)", channel, str(i))
            expect([n.payload for n in listener.raw.notifies(timeout=10, stop_after=1)], [str(i)])
            expect(listener.one("select $1::int", i), i)
        listener.plain("unlisten *")
        listener.close()
        teller.close()


def cancel(t, a, b):
    with t.check("a time limit of the session, and a cancel"):
        a.plain("set statement_timeout = 200")
        with elsewhere(b), t.refused(a, "57014"):
            a.one("select pg_sleep(20)::text")
        a.plain("reset statement_timeout")
        import threading
        timer = threading.Timer(0.3, lambda: a.raw.cancel_safe(timeout=10))
        timer.start()
        with t.refused(a, "57014"):
            a.one("select pg_sleep(20)::text")
        timer.join()
        expect(b.one("select 5"), 5)
        expect(a.one("select 5"), 5)


def main():
    t = PoolChecks("psycopg")
    a, b = everything(t, Psycopg)
    pipelines(t, a, b)
    cursors_and_copy(t, a, b)
    prepared(t, a, b)
    listening(t)
    cancel(t, a, b)
    sleep(t, Psycopg, a, b)


main()
