"""What the Python driver programs share: counting checks and reading DSN.

A program runs its checks in order and stops at the first that fails, because
a broken connection makes all later failures meaningless. The Rust test reads
the last line: `ok <driver> <n checks>` or `FAIL <driver>: <check>: <reason>`.
"""

import contextlib
import os
import secrets
import signal
import sys
import time
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

# A driver that waits forever must become a failure with a name. Seconds.
PROGRAM_LIMIT = 90
# A cancelled pg_sleep(30) must return within this many seconds.
CANCEL_LIMIT = 5.0
# Sizes that need more than one network packet and more than one buffer.
ROWS = 10_000
# 1 MiB on the wire; two bytes per character, so that cuts fall inside of one.
MEGABYTE = "ä" * (512 * 1024)
# One of each that text formats get wrong.
ARRAY = ["a", 'b"c', "d\\e", "", "{f,g}", None]
JSON = {"a": [1, 2.5, None, "x'y"], "ü": {"nested": True}}
BYTES = bytes(range(256))


class Checks:
    def __init__(self, driver):
        self.driver = driver
        self.passed = 0
        self.current = "start"
        signal.signal(signal.SIGALRM, self._too_slow)
        signal.alarm(PROGRAM_LIMIT)

    def _too_slow(self, *_):
        # The driver may sit in C code that swallows exceptions: leave at once.
        print(f"FAIL {self.driver}: {self.current}: still running after {PROGRAM_LIMIT} s", flush=True)
        os._exit(1)

    @contextlib.contextmanager
    def check(self, name):
        self.current = name
        try:
            yield
        except Exception as error:  # noqa: BLE001  (any failure is a failed check)
            state = getattr(error, "sqlstate", None)
            where = f" [{state}]" if state else ""
            print(f"FAIL {self.driver}: {name}: {type(error).__name__}{where}: {error}", flush=True)
            sys.exit(1)
        self.passed += 1

    def finish(self):
        print(f"ok {self.driver} {self.passed} checks", flush=True)


def expect(got, wanted, what="value"):
    """Like assert, but it stays on and its text is short for big values."""
    if got != wanted:
        raise AssertionError(f"{what}: got {repr(got)[:200]}, wanted {repr(wanted)[:200]}")


def expect_within(started, limit, what):
    took = time.monotonic() - started
    if took > limit:
        raise AssertionError(f"{what} took {took:.1f} s, limit {limit} s")


def dsn():
    value = os.environ.get("DSN")
    if not value:
        sys.exit("set DSN to a postgresql:// URL")
    return value


def asks_for_tls(url):
    query = dict(parse_qsl(urlsplit(url).query))
    return query.get("sslmode") in ("require", "verify-ca", "verify-full")


def without_parameter(url, name):
    """The same URL without one query parameter, everything else kept encoded."""
    parts = urlsplit(url)
    kept = [(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if k != name]
    return urlunsplit(parts._replace(query=urlencode(kept, quote_via=quote)))


def asyncpg_dsn():
    """DSN in the form asyncpg takes.

    asyncpg sends every parameter it does not know to the server as a setting.
    That is right for `options` and wrong for `channel_binding`, which it does
    not implement: the server would refuse the unknown setting.
    """
    return without_parameter(dsn(), "channel_binding")


def unique_name(prefix):
    """Programs may run at the same time against one database."""
    return f"{prefix}_{os.getpid()}_{secrets.token_hex(4)}"
