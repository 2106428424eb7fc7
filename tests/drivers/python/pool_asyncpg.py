"""asyncpg through a pool: Parse, Describe and Flush, then Bind in another series; cursors; its own pool.

Its reset query and its reading of types are part of what is tested. See pool_checks.py.
"""

import asyncio
import io

import asyncpg

from checks import asyncpg_dsn, expect, unique_name
from pool_checks import Adapter, PoolChecks, elsewhere, everything, sleep

LOOP = asyncio.new_event_loop()


def wait(awaitable):
    return LOOP.run_until_complete(awaitable)


class Asyncpg(Adapter):
    def __init__(self):
        self.raw = wait(asyncpg.connect(asyncpg_dsn(), timeout=30))

    def rows(self, text, *values):
        return [tuple(row) for row in wait(self.raw.fetch(text, *values))]

    def plain(self, text):
        wait(self.raw.execute(text))

    def close(self):
        wait(self.raw.close(timeout=10))


def types(t, a, b):
    with t.check("types that are looked up"):
        name = unique_name("pool_type")
        a.plain(f"create type {name}_mood as enum ('sad', 'happy')")
        a.plain(f"create type {name}_pair as (x int, m {name}_mood)")
        with elsewhere(b):
            # Reading a type switches jit off and on again for the session.
            expect(tuple(a.one(f"select row(1, 'happy')::{name}_pair")), (1, "happy"))
            expect(a.one(f"select array[row(2, 'sad')::{name}_pair]")[0]["x"], 2)
        expect(b.one(f"select $1::{name}_mood", "sad"), "sad")
        a.plain(f"drop type {name}_pair; drop type {name}_mood")


def cursors_and_copy(t, a, b):
    async def totals():
        total = 0
        async with a.raw.transaction(isolation="repeatable_read"):
            async for row in a.raw.cursor("select g from generate_series(1, $1::int) g", 1000):
                total += row[0]
            cursor = await a.raw.cursor("select g from generate_series(1, 10) g")
            await cursor.forward(5)
            total += (await cursor.fetchrow())[0]
        return total

    with t.check("cursors"):
        with elsewhere(b):
            expect(wait(totals()), 500_506)

    with t.check("executemany"):
        name = unique_name("pool_copy")
        a.plain(f"create table {name} (i int, v text)")
        wait(a.raw.executemany(f"insert into {name} values ($1, $2)", [(i, "v" * 50) for i in range(500)]))
        try:
            wait(a.raw.executemany(f"insert into {name} select 1 / $1::int, $2", [(1, "x"), (0, "y"), (1, "z")]))
        except asyncpg.DivisionByZeroError:
            pass
        expect(b.one(f"select count(*)::int from {name}"), 500, "a batch is one transaction")

    with t.check("COPY both ways"):
        a.plain(f"truncate {name}")
        wait(a.raw.copy_records_to_table(name, records=[(i, "v" * 100) for i in range(5000)]))
        out = io.BytesIO()
        with elsewhere(b):
            wait(a.raw.copy_from_query(f"select * from {name} where i < $1", 100, output=out))
        expect(len(out.getvalue().splitlines()), 100)
        a.plain(f"drop table {name}")


def prepared(t, a, b):
    with t.check("prepared statements of its own"):
        statement = wait(a.raw.prepare("select $1::int * 5, $2::text"))
        for i in range(5):
            with elsewhere(b):
                expect(tuple(wait(statement.fetchrow(i, "x"))), (i * 5, "x"))
        for i in range(150):
            # More texts than its cache holds: it closes the oldest.
            expect(a.one(f"select $1::int + {i}", 1), i + 1)


def listening(t):
    with t.check("LISTEN and NOTIFY"):
        listener, teller = Asyncpg(), Asyncpg()
        channel, got = unique_name("ch"), asyncio.Queue()
        wait(listener.raw.add_listener(channel, lambda _c, _p, _ch, payload: got.put_nowait(payload)))
        for i in range(3):
            teller.rows("select pg_notify($1, $2)", channel, str(i))
            expect(wait(asyncio.wait_for(got.get(), 10)), str(i))
        wait(listener.raw.reset())
        listener.close()
        teller.close()


def own_pool(t):
    async def worker(pool, i):
        for turn in range(5):
            async with pool.acquire() as connection:
                # What asyncpg sends when it takes a connection back must undo this.
                found = await connection.fetchval("select current_setting('TimeZone')")
                expect(found == "Asia/Tokyo", False, "a setting of another user of the pool")
                await connection.execute("set time zone 'Asia/Tokyo'")
                async with connection.transaction():
                    expect(await connection.fetchval("select $1::int", i * turn), i * turn)

    async def crowd():
        # psycopg's users tune this to 0 for poolers; here the cache stays on.
        async with asyncpg.create_pool(asyncpg_dsn(), min_size=4, max_size=10, timeout=30) as pool:
            await asyncio.gather(*(worker(pool, i) for i in range(30)))

    with t.check("its own pool in front of the pool"):
        wait(crowd())


def cancel(t, a, b):
    with t.check("a cancel when a time limit passes"):
        try:
            wait(a.raw.execute("select pg_sleep(20)", timeout=0.3))
            raise AssertionError("it was not cancelled")
        except asyncio.TimeoutError:
            pass
        expect((a.one("select 1"), b.one("select 2")), (1, 2))


def main():
    t = PoolChecks("asyncpg")
    a, b = everything(t, Asyncpg)
    types(t, a, b)
    cursors_and_copy(t, a, b)
    prepared(t, a, b)
    listening(t)
    own_pool(t)
    cancel(t, a, b)
    sleep(t, Asyncpg, a, b)


main()
