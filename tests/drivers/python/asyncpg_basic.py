"""asyncpg (its own protocol code, always binary) against one database. See checks.py for the rules."""

import asyncio
import io
import json
import time

import asyncpg

from checks import (ARRAY, BYTES, CANCEL_LIMIT, JSON, MEGABYTE, ROWS, Checks, asks_for_tls, asyncpg_dsn, dsn, expect,
                    expect_within, unique_name)


async def connect():
    return await asyncpg.connect(asyncpg_dsn(), timeout=30)


async def main():
    t = Checks("asyncpg")
    schema = unique_name("drv_asyncpg")

    with t.check("connect"):
        conn = await connect()
        if asks_for_tls(dsn()):
            # asyncpg has no public way to ask; the transport always knows.
            expect(conn._transport.get_extra_info("ssl_object") is not None, True, "TLS in use")
    await conn.execute(f"create schema {schema}")
    await basics(t, conn, schema)
    await values(t, conn)
    await bulk(t, conn, schema)
    await notifications(t, conn)
    await cancel(t, conn)
    with t.check("clean up and close"):
        await conn.execute(f"drop schema {schema} cascade")
        await conn.close(timeout=10)
    t.finish()


async def basics(t, conn, schema):
    with t.check("parameters, same text 10 times"):
        # The statement cache makes this a named prepared statement.
        for i in range(10):
            expect(await conn.fetchval("select $1::int + 2", i), i + 2)

    with t.check("prepared statement 10 times"):
        statement = await conn.prepare("select $1::int * 2, $2::text")
        for i in range(10):
            expect(tuple(await statement.fetchrow(i, f"t{i}")), (i * 2, f"t{i}"))

    await conn.execute(f"create table {schema}.t (id int primary key, v text)")
    with t.check("commit"):
        async with conn.transaction():
            await conn.execute(f"insert into {schema}.t values ($1, $2)", 1, "kept")
        expect(await conn.fetchval(f"select count(*) from {schema}.t"), 1)

    with t.check("rollback"):
        transaction = conn.transaction(isolation="serializable")
        await transaction.start()
        await conn.execute(f"insert into {schema}.t values (2, 'dropped')")
        expect(await conn.fetchval(f"select count(*) from {schema}.t"), 2, "count inside")
        await transaction.rollback()
        expect(await conn.fetchval(f"select count(*) from {schema}.t"), 1, "count after")

    with t.check("error 22012 and the connection still works"):
        try:
            await conn.fetchval("select 1 / $1::int", 0)
            raise AssertionError("division by zero was accepted")
        except asyncpg.DivisionByZeroError as error:
            expect(error.sqlstate, "22012")
        expect(await conn.fetchval("select 1"), 1)

    with t.check("executemany"):
        await conn.executemany(f"insert into {schema}.t values ($1, $2)", [(i, str(i)) for i in range(100, 600)])
        expect(await conn.fetchval(f"select count(*) from {schema}.t where id >= 100"), 500)


async def values(t, conn):
    with t.check("1 MB text there and back"):
        expect(await conn.fetchval("select $1::text", MEGABYTE) == MEGABYTE, True, "same text")

    with t.check("array, json, bytea, null"):
        row = await conn.fetchrow("select $1::text[], $2::jsonb, $3::bytea, $4::int",
                                  ARRAY, json.dumps(JSON), BYTES, None)
        expect((row[0], json.loads(row[1]), row[2], row[3]), (ARRAY, JSON, BYTES, None))


async def bulk(t, conn, schema):
    await conn.execute(f"create table {schema}.c (id int, v text)")
    with t.check("binary COPY in"):
        records = [(i, None if i % 10 == 0 else f"row\t{i}\n") for i in range(ROWS)]
        await conn.copy_records_to_table("c", schema_name=schema, records=records)
        row = await conn.fetchrow(f"select count(*), count(v), sum(id) from {schema}.c")
        expect(tuple(row), (ROWS, ROWS * 9 // 10, ROWS * (ROWS - 1) // 2))

    with t.check("text COPY in and out"):
        await conn.execute(f"truncate {schema}.c")
        source = io.BytesIO(b"".join(b"%d\tv%d\n" % (i, i) for i in range(ROWS)))
        await conn.copy_to_table("c", schema_name=schema, source=source)
        out = io.BytesIO()
        await conn.copy_from_query(f"select * from {schema}.c where id >= $1 order by id", 10, output=out)
        lines = out.getvalue().splitlines()
        expect((len(lines), lines[0]), (ROWS - 10, b"10\tv10"))

    with t.check("10,000 rows"):
        rows = await conn.fetch("select g, repeat('x', 100) from generate_series(1, $1::int) g", ROWS)
        expect((len(rows), rows[-1][0]), (ROWS, ROWS))

    with t.check("server-side cursor"):
        async with conn.transaction():
            total = 0
            async for row in conn.cursor("select g from generate_series(1, $1::int) g", ROWS, prefetch=500):
                total += row[0]
        expect(total, ROWS * (ROWS + 1) // 2)


async def notifications(t, conn):
    channel = unique_name("ch")
    received = asyncio.Queue()
    with t.check("NOTIFY to itself"):
        await conn.add_listener(channel, lambda _conn, _pid, _channel, payload: received.put_nowait(payload))
        await conn.execute("select pg_notify($1, $2)", channel, "self")
        expect(await asyncio.wait_for(received.get(), 10), "self")

    with t.check("NOTIFY from another connection while idle"):
        other = await connect()
        await other.execute("select pg_notify($1, $2)", channel, "other")
        await other.close(timeout=10)
        expect(await asyncio.wait_for(received.get(), 10), "other")


async def cancel(t, conn):
    with t.check("pg_cancel_backend gives 57014"):
        pid = await conn.fetchval("select pg_backend_pid()")
        other = await connect()
        started = time.monotonic()
        sleeping = asyncio.ensure_future(conn.execute("select pg_sleep(30)"))
        await asyncio.sleep(0.5)
        expect(await other.fetchval("select pg_cancel_backend($1)", pid), True, "pg_cancel_backend")
        try:
            await sleeping
            raise AssertionError("pg_sleep was not cancelled")
        except asyncpg.QueryCanceledError as error:
            expect(error.sqlstate, "57014")
        await other.close(timeout=10)
        expect_within(started, CANCEL_LIMIT, "the cancel")

    with t.check("cancel by the protocol when a time limit passes"):
        # asyncpg turns its own cancel into a TimeoutError, and does not use
        # the connection again before the server has answered.
        started = time.monotonic()
        try:
            await conn.execute("select pg_sleep(30)", timeout=0.5)
            raise AssertionError("pg_sleep was not cancelled")
        except asyncio.TimeoutError:
            pass
        expect(await conn.fetchval("select 1"), 1)
        expect_within(started, CANCEL_LIMIT, "the cancel")


asyncio.run(main())
