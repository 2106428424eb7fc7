"""asyncpg and psycopg on a pool of one backend: neither sees what the other has left there.

`fetchval` and `fetchrow` of asyncpg ask for one row and leave it at that. The pool gives up waiting clients after a
second, so "it waits in vain" means that somebody has the backend.
"""

import asyncio
import os

import asyncpg
import psycopg

from checks import Checks, expect

DSN = os.environ["DSN"]
BARE, MODE = DSN.split("?")[0], {"pool_mode": "transaction"}

TENANT = "select coalesce(current_setting('app.tenant', true), '')"
PATH = "select current_setting('search_path')"


def sync(text):
    """Another client, of another driver."""
    with psycopg.connect(BARE, options="pool_mode=transaction", autocommit=True) as connection:
        return connection.execute(text).fetchone()[0]


async def other(text):
    return await asyncio.to_thread(sync, text)


async def waits_in_vain():
    try:
        await other("select 1")
    except psycopg.OperationalError:
        return
    raise AssertionError("the backend is free")


async def asyncpg_checks(t):
    c = await asyncpg.connect(BARE, server_settings=MODE)
    usual = await c.fetchval(PATH)
    with t.check("a lock by fetchval"):
        expect(await c.fetchval("select pg_try_advisory_lock(1)"), True)
        await waits_in_vain()
        expect(await c.fetchval("select pg_advisory_unlock(1)"), True)
        expect(await other("select count(*) from pg_locks where locktype = 'advisory'"), 0)
    with t.check("a setting by fetchval and fetchrow"):
        await c.fetchval("select set_config('search_path', 'elsewhere', false)")
        expect(await other(PATH), usual)
        expect(await c.fetchval(PATH), "elsewhere")
        await c.fetchrow("select set_config('app.tenant', $1, false)", "42")
        expect(await other(TENANT), "")
        expect(await c.fetchval(TENANT), "42")
        await c.fetchrow("select set_config($1, $2, false)", "app.tenant", "43")
        expect(await other(TENANT), "")
        expect(await c.fetchval(TENANT), "43")
    with t.check("a lock by code that fails"):
        try:
            await c.fetchval("do $$begin perform pg_advisory_lock(1); raise 'x'; end$$")
        except asyncpg.RaiseError:
            pass
        await waits_in_vain()
        await c.execute("select pg_advisory_unlock_all()")
        expect(await other("select 1"), 1)
    await c.close()


def psycopg_checks(t):
    with psycopg.connect(BARE, options="pool_mode=transaction", autocommit=True, prepare_threshold=0) as c:
        with t.check("a procedure that sets something"):
            c.execute("call set_tenant()")
            expect(sync(TENANT), "")
        with t.check("another user"):
            with c.transaction():
                c.execute("set session authorization bob")
            expect(sync("select session_user::text"), "postgres")
            expect(c.execute("select session_user::text").fetchone()[0], "bob")
            c.execute("reset session authorization")
        with t.check("PREPARE in SQL"):
            c.execute("prepare p as select set_config('search_path', 'elsewhere', false)")
            c.execute("execute p")
            c.execute("deallocate p")
            expect(sync(PATH), '"$user", public')
            expect(c.execute(PATH).fetchone()[0], "elsewhere")


def main():
    t = Checks("pool_left")
    asyncio.run(asyncpg_checks(t))
    psycopg_checks(t)
    t.finish()


main()
