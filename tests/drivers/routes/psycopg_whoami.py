"""Where does DSN lead with psycopg (libpq)? Prints one JSON object.

Success: {"database": ..., "user": ...}. Failure: {"error": ..., "sqlstate": ...}
and exit code 1. libpq reports no SQLSTATE for a refused connection.
"""

import json
import os
import sys

import psycopg

try:
    with psycopg.connect(os.environ["DSN"], connect_timeout=30) as conn:
        database, user = conn.execute("select current_database(), current_user").fetchone()
    print(json.dumps({"database": database, "user": user}))
except psycopg.Error as error:
    print(json.dumps({"error": str(error), "sqlstate": error.sqlstate}))
    sys.exit(1)
