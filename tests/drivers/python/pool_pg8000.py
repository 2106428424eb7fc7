"""pg8000 through a pool: its unnamed statements cross from one series to the next. See pool_checks.py."""

import io
import ssl

import pg8000.native
from urllib.parse import parse_qsl, unquote, urlsplit

from checks import asks_for_tls, dsn, expect, unique_name
from pool_checks import Adapter, PoolChecks, elsewhere, everything, sleep
import re


class Pg8000(Adapter):
    def __init__(self):
        url = urlsplit(dsn())
        query = dict(parse_qsl(url.query))
        context = None
        if asks_for_tls(dsn()):
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        # It knows no `options`: the endpoint goes behind the name of the database.
        endpoint = query.get("options", "").removeprefix("endpoint=")
        database = unquote(url.path[1:]) + (f"@{endpoint}" if endpoint else "")
        self.raw = pg8000.native.Connection(
            unquote(url.username), host=url.hostname, port=url.port, database=database,
            password=unquote(url.password), ssl_context=context, timeout=60)

    def rows(self, text, *values):
        named = re.sub(r"\$(\d+)", r":p\1 ", text.replace("::", "\0")).replace("\0", "::")
        rows = self.raw.run(named, **{f"p{i}": v for i, v in enumerate(values, 1)})
        return [tuple(row) for row in rows or []]

    def plain(self, text):
        self.raw.run(text)

    def state(self, error):
        detail = error.args[0] if error.args else None
        return detail.get("C") if isinstance(detail, dict) else None

    def close(self):
        self.raw.close()


def main():
    t = PoolChecks("pg8000")
    a, b = everything(t, Pg8000)

    with t.check("prepared statements"):
        statement = a.raw.prepare("select :v * 5, :w")
        for i in range(5):
            with elsewhere(b):
                expect(statement.run(v=i, w="x"), [[i * 5, "x"]])
        statement.close()

    with t.check("now is when it is said"):
        text = "select extract(epoch from timestamptz 'now')::float8 + $1::int"
        expect(len({a.one(text, 0) for _ in range(6)}), 6)

    with t.check("COPY both ways"):
        name = unique_name("pool_copy")
        a.plain(f"create table {name} (i int, v text)")
        a.raw.run(f"copy {name} from stdin", stream=io.BytesIO(b"".join(b"%d\tv\n" % i for i in range(3000))))
        out = io.BytesIO()
        with elsewhere(b):
            a.raw.run(f"copy {name} to stdout", stream=out)
        expect(len(out.getvalue().splitlines()), 3000)
        a.plain(f"drop table {name}")

    with t.check("LISTEN and NOTIFY"):
        listener, channel = Pg8000(), unique_name("ch")
        listener.plain(f"listen {channel}")
        b.plain(f"notify {channel}, 'hello'")
        listener.plain("select 1")
        expect([n[2] for n in listener.raw.notifications], ["hello"])
        listener.close()

    sleep(t, Pg8000, a, b)


main()
