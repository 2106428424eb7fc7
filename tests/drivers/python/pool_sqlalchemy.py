"""SQLAlchemy (core and ORM) on psycopg or asyncpg, and Alembic, through a pool. See pool_checks.py.

    pool_sqlalchemy.py psycopg --survives yes
"""

import asyncio
import sys

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool

from checks import asks_for_tls, dsn, expect, unique_name, without_parameter
from pool_checks import Adapter, PoolChecks, elsewhere, everything, sleep
import re

DRIVER = sys.argv.pop(1)
LOOP = asyncio.new_event_loop()


def wait(awaitable):
    return LOOP.run_until_complete(awaitable)


def url():
    text = dsn().replace("postgresql://", f"postgresql+{DRIVER}://", 1)
    if DRIVER == "psycopg":
        return text
    # asyncpg calls it otherwise, and SQLAlchemy hands the parameters through.
    tls = asks_for_tls(dsn())
    text = without_parameter(text, "sslmode")
    parsed = sa.make_url(text)
    options = parsed.query.get("options", "").removeprefix("endpoint=")
    parsed = parsed.difference_update_query(["options"])
    if options:
        parsed = parsed.set(database=f"{parsed.database}@{options}")
    return parsed.update_query_dict({"ssl": "require"} if tls else {})


def engine(**more):
    return create_async_engine(url(), **more) if DRIVER == "asyncpg" else sa.create_engine(url(), **more)


ENGINE = engine(poolclass=NullPool, isolation_level="AUTOCOMMIT")


class Alchemy(Adapter):
    def __init__(self):
        self.raw = wait(ENGINE.connect()) if DRIVER == "asyncpg" else ENGINE.connect()

    def run(self, text, values=None):
        result = self.raw.execute(sa.text(text), values or {})
        if DRIVER == "asyncpg":
            result = wait(result)
        return [tuple(row) for row in result] if result.returns_rows else []

    def rows(self, text, *values):
        # Casts are an operator here: `:p::int` would read as one name.
        named = re.sub(r"\$(\d+)::(\w+)", r"cast(:p\1 as \2)", text)
        named = re.sub(r"\$(\d+)", r":p\1", named)
        return self.run(named, {f"p{i}": v for i, v in enumerate(values, 1)})

    def plain(self, text):
        self.run(text)

    def state(self, error):
        return getattr(error.orig, "sqlstate", None) if isinstance(error, sa.exc.DBAPIError) else None

    def close(self):
        closed = self.raw.close()
        if DRIVER == "asyncpg":
            wait(closed)


class Base(DeclarativeBase):
    pass


class Animal(Base):
    __tablename__ = unique_name("pool_animal")
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    legs: Mapped[int]


def work_sync(session):
    session.add_all(Animal(name=f"n{i}", legs=i % 5) for i in range(300))
    session.flush()
    with_savepoint = session.begin_nested()
    session.add(Animal(id=1, name="twice", legs=0))
    try:
        session.flush()
    except sa.exc.IntegrityError:
        with_savepoint.rollback()
    else:
        raise AssertionError("duplicate key was accepted")
    return session.scalar(sa.select(sa.func.count()).select_from(Animal).where(Animal.legs == 2))


def migrate(connection):
    """A migration as Alembic runs it: DDL in one transaction, its version beside it."""
    context = MigrationContext.configure(connection, opts={"version_table": Animal.__tablename__ + "_version"})
    with context.begin_transaction():
        context._ensure_version_table()
        operations = Operations(context)
        operations.add_column(Animal.__tablename__, sa.Column("tail", sa.Boolean, server_default="true"))
        operations.create_index(Animal.__tablename__ + "_ix", Animal.__tablename__, ["legs"])
    return [c["name"] for c in sa.inspect(connection).get_columns(Animal.__tablename__)]


def orm(t):
    with t.check("ORM, savepoints, migrations, over its own pool"):
        own = engine(pool_size=3, pool_pre_ping=True)
        if DRIVER == "psycopg":
            Base.metadata.create_all(own)
            with Session(own) as session, session.begin():
                expect(work_sync(session), 60)
            with own.begin() as connection:
                expect(migrate(connection), ["id", "name", "legs", "tail"])
            with own.connect().execution_options(yield_per=50) as connection:
                expect(sum(1 for _ in connection.execute(sa.select(Animal.id))), 300)
            Base.metadata.drop_all(own)
            with own.begin() as connection:
                connection.execute(sa.text(f"drop table {Animal.__tablename__}_version"))
            own.dispose()
        else:
            wait(orm_async(own))


async def orm_async(own):
    async with own.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(own) as session, session.begin():
        expect(await session.run_sync(work_sync), 60)
    async with own.begin() as connection:
        expect(await connection.run_sync(migrate), ["id", "name", "legs", "tail"])
    async with own.connect() as connection:
        stream = await connection.stream(sa.select(Animal.id))
        expect(len([row async for row in stream]), 300)

    async def worker(i):
        for turn in range(5):
            async with own.connect() as connection:
                got = await connection.scalar(sa.select(sa.literal(i) + sa.literal(turn)))
                expect(got, i + turn)

    await asyncio.gather(*(worker(i) for i in range(20)))
    async with own.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
        await connection.execute(sa.text(f"drop table {Animal.__tablename__}_version"))
    await own.dispose()


def main():
    t = PoolChecks(f"sqlalchemy_{DRIVER}")
    a, b = everything(t, Alchemy)
    orm(t)
    sleep(t, Alchemy, a, b)


main()
