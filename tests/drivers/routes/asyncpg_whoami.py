"""Where does DSN lead with asyncpg? Output as in psycopg_whoami.py.

`options` needs no care: asyncpg sends parameters it does not know as settings
of the startup packet, and that is what `options` is.
"""

import asyncio
import json
import sys
from pathlib import Path

import asyncpg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))
from checks import asyncpg_dsn  # noqa: E402


async def main():
    try:
        conn = await asyncpg.connect(asyncpg_dsn(), timeout=30)
        row = await conn.fetchrow("select current_database(), current_user")
        await conn.close()
        print(json.dumps({"database": row[0], "user": row[1]}))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        print(json.dumps({"error": str(error), "sqlstate": getattr(error, "sqlstate", None)}))
        sys.exit(1)


asyncio.run(main())
