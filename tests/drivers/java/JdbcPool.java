// JDBC (42.x, prepareThreshold 5) through a pool, run as a single source file:
//   java -cp /usr/share/java/postgresql.jar JdbcPool.java --survives yes|no
// What is checked, why, and what SLEEP means: ../python/pool_checks.py.

import java.io.StringReader;
import java.io.StringWriter;
import java.net.URI;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.Random;
import java.util.Set;
import java.util.Timer;
import java.util.TimerTask;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;

public class JdbcPool {
    static final long PROGRAM_LIMIT_MS = 90_000;
    static final int CROWD = 20;
    static final int OPEN = 3;
    static final int ROUNDS = 200;
    static final int BIG = 5 * 1024 * 1024;
    static final String UNIQUE = ProcessHandle.current().pid() + "_" + Long.toHexString(System.nanoTime());
    static final List<String> DEFAULTS =
            List.of("search_path", "TimeZone", "statement_timeout", "application_name", "DateStyle");

    static boolean pooled;
    static int passed = 0;
    static volatile String current = "start";

    interface Body {
        void run() throws Exception;
    }

    static void fail(String reason) {
        System.out.println("FAIL pool_jdbc: " + current + ": " + reason);
        System.out.flush();
        Runtime.getRuntime().halt(1);
    }

    static void check(String name, Body body) {
        current = name;
        try {
            body.run();
        } catch (Throwable error) {
            String state = error instanceof SQLException sql ? " [" + sql.getSQLState() + "]" : "";
            fail(error.getClass().getSimpleName() + state + ": " + error.getMessage());
        }
        passed++;
    }

    static void expect(Object got, Object wanted) {
        if (!Objects.deepEquals(got, wanted)) {
            throw new AssertionError("got " + got + ", wanted " + wanted);
        }
    }

    static void refused(String state, Body body) throws Exception {
        try {
            body.run();
        } catch (SQLException error) {
            expect(error.getSQLState(), state);
            return;
        }
        throw new AssertionError("it succeeded, wanted " + state);
    }

    static String decode(String text) {
        return URLDecoder.decode(text.replace("+", "%2B"), StandardCharsets.UTF_8);
    }

    static Connection connect(String... more) throws Exception {
        URI dsn = new URI(System.getenv("DSN"));
        Properties info = new Properties();
        String[] user = dsn.getRawUserInfo().split(":", 2);
        info.setProperty("user", decode(user[0]));
        info.setProperty("password", decode(user[1]));
        for (String pair : dsn.getRawQuery() == null ? new String[0] : dsn.getRawQuery().split("&")) {
            String[] half = pair.split("=", 2);
            if (Set.of("sslmode", "options").contains(half[0])) {
                info.setProperty(half[0], decode(half[1]));
            }
        }
        for (int i = 0; i < more.length; i += 2) {
            info.merge(more[i], more[i + 1], (old, add) -> old + " " + add);
        }
        info.setProperty("loginTimeout", "30");
        String database = URLEncoder.encode(decode(dsn.getRawPath().substring(1)), StandardCharsets.UTF_8);
        return DriverManager.getConnection("jdbc:postgresql://" + dsn.getHost() + ":" + dsn.getPort() + "/" + database, info);
    }

    static void run(Connection c, String sql) throws SQLException {
        try (Statement s = c.createStatement()) {
            s.execute(sql);
        }
    }

    // Statements are kept open per connection and text, as pools of applications keep them: after five
    // uses the driver names them on the server.
    static final Map<Connection, Map<String, PreparedStatement>> KEPT = new HashMap<>();

    static List<List<Object>> rows(Connection c, String sql, Object... values) throws SQLException {
        Map<String, PreparedStatement> mine = KEPT.computeIfAbsent(c, k -> new HashMap<>());
        PreparedStatement s = mine.get(sql);
        if (s == null) {
            s = c.prepareStatement(sql);
            mine.put(sql, s);
        }
        for (int i = 0; i < values.length; i++) {
            s.setObject(i + 1, values[i]);
        }
        List<List<Object>> all = new ArrayList<>();
        if (s.execute()) {
            try (ResultSet r = s.getResultSet()) {
                int width = r.getMetaData().getColumnCount();
                while (r.next()) {
                    List<Object> row = new ArrayList<>();
                    for (int i = 1; i <= width; i++) {
                        row.add(r.getObject(i));
                    }
                    all.add(row);
                }
            }
        }
        return all;
    }

    static Object one(Connection c, String sql, Object... values) throws SQLException {
        return rows(c, sql, values).get(0).get(0);
    }

    static String setting(Connection c, String name) throws SQLException {
        return (String) one(c, "select current_setting(?)", name);
    }

    static Map<String, String> settingsOf(Connection c, Iterable<String> names) throws SQLException {
        Map<String, String> found = new HashMap<>();
        for (String name : names) {
            found.put(name, setting(c, name));
        }
        return found;
    }

    static void kept(Connection c, Map<String, String> wanted) throws SQLException {
        expect(settingsOf(c, wanted.keySet()), wanted);
    }

    /** While `body` runs, `other` holds the backend that was free last. */
    static void elsewhere(Connection other, Body body) throws Exception {
        run(other, "begin");
        try {
            one(other, "select 1 + ?::int", 1);
            body.run();
        } finally {
            run(other, "rollback");
        }
    }

    static void moves(Connection a, Connection b) {
        check("one connection, many backends", () -> {
            Set<Object> seen = new HashSet<>();
            for (int i = 0; i < 4; i++) {
                seen.add(one(a, "select pg_backend_pid()"));
                elsewhere(b, () -> seen.add(one(a, "select pg_backend_pid()")));
            }
            expect(seen.size() > 1, pooled);
        });
        check("prepared statements follow the connection", () -> {
            String text = "select ?::int * 2, ?::text";
            for (int n = 0; n < 12; n++) {
                int i = n;
                expect(rows(a, text, i, "t"), List.of(List.of(i * 2, "t")));
                elsewhere(b, () -> expect(rows(a, text, i, "u"), List.of(List.of(i * 2, "u"))));
                expect(rows(b, "select ?::int * 3, ?::text", i, "b"), List.of(List.of(i * 3, "b")));
                expect(rows(b, text, i, "b"), List.of(List.of(i * 2, "b")));
            }
        });
        check("errors outside of a transaction", () -> {
            for (int i = 0; i < 8; i++) {
                refused("22012", () -> rows(a, "select 1 / ?::int", 0));
                elsewhere(b, () -> {
                    refused("42P01", () -> rows(a, "select * from there_is_no_such_table where i = ?", 1));
                    expect(one(a, "select 1 / ?::int", 1), 1);
                });
            }
        });
    }

    static void transactions(Connection a, Connection b) {
        String table = "pool_tx_" + UNIQUE;
        String count = "select count(*)::int from " + table;
        String insert = "insert into " + table + " values (?, ?)";
        check("transactions and savepoints", () -> {
            run(a, "create table " + table + " (id int primary key, v text)");
            // From the fifth time on even COMMIT is a named statement.
            for (int i = 0; i < 8; i++) {
                int id = i * 10;
                a.setAutoCommit(false);
                rows(a, insert, id, "kept");
                expect(one(b, count), i);
                elsewhere(b, () -> rows(a, insert, id + 1, "kept"));
                Savepoint point = a.setSavepoint();
                refused("23505", () -> rows(a, insert, id, "twice"));
                refused("25P02", () -> rows(a, "select 1"));
                a.rollback(point);
                rows(a, "delete from " + table + " where id = ?", id + 1);
                a.commit();
                rows(a, insert, id + 5, "dropped");
                a.rollback();
                a.setAutoCommit(true);
                elsewhere(b, () -> expect(one(a, count), id / 10 + 1));
            }
        });
        check("isolation and read only of the session", () -> {
            a.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            a.setReadOnly(true);
            a.setAutoCommit(false);
            elsewhere(b, () -> {
                expect(setting(a, "transaction_isolation"), "serializable");
                refused("25006", () -> rows(a, insert, 99, "read only"));
            });
            a.rollback();
            a.setReadOnly(false);
            a.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
            a.setAutoCommit(true);
            expect(setting(a, "transaction_isolation"), "read committed");
            expect(setting(b, "transaction_isolation"), "read committed");
        });
        check("batches", () -> {
            try (PreparedStatement s = a.prepareStatement(insert)) {
                for (int i = 1000; i < 1500; i++) {
                    s.setInt(1, i);
                    s.setString(2, "v" + i);
                    s.addBatch();
                }
                elsewhere(b, () -> expect(s.executeBatch().length, 500));
                for (int i : new int[] {2000, 1000, 2001}) {
                    s.setInt(1, i);
                    s.setString(2, "again");
                    s.addBatch();
                }
                try {
                    s.executeBatch();
                    throw new AssertionError("a duplicate key was accepted");
                } catch (BatchUpdateException error) {
                    expect(error.getSQLState(), "23505");
                }
            }
        });
        check("generated keys", () -> {
            run(a, "create table " + table + "_k (id serial, v text)");
            for (int i = 1; i < 8; i++) {
                try (PreparedStatement s = a.prepareStatement("insert into " + table + "_k (v) values (?)", Statement.RETURN_GENERATED_KEYS)) {
                    s.setString(1, "x");
                    s.executeUpdate();
                    ResultSet keys = s.getGeneratedKeys();
                    keys.next();
                    expect(keys.getInt(1), i);
                }
                run(b, "begin; select 1; commit");
            }
            run(a, "drop table " + table + ", " + table + "_k");
        });
    }

    static void settings(Connection a, Connection b) {
        Map<String, String> fresh = new HashMap<>();
        Map<String, String> mine = Map.of("TimeZone", "Pacific/Auckland", "statement_timeout", "54321ms",
                "application_name", "mine", "search_path", "pg_catalog, public");
        check("settings stay with their connection", () -> {
            fresh.putAll(settingsOf(b, DEFAULTS));
            run(a, "set time zone 'Pacific/Auckland'");
            run(a, "set statement_timeout = 54321");
            a.setClientInfo("ApplicationName", "mine");
            run(a, "set session search_path = pg_catalog, public");
            for (int i = 0; i < 3; i++) {
                kept(b, fresh);
                elsewhere(b, () -> kept(a, mine));
                kept(b, fresh);
            }
            a.setSchema("public");
            elsewhere(b, () -> expect(a.getSchema(), "public"));
            run(a, "set search_path = pg_catalog, public");
        });
        check("settings of a transaction", () -> {
            run(a, "begin");
            run(a, "set local statement_timeout = 1111");
            run(a, "set time zone 'Asia/Tokyo'");
            kept(a, Map.of("statement_timeout", "1111ms", "TimeZone", "Asia/Tokyo"));
            run(a, "rollback");
            elsewhere(b, () -> kept(a, mine));
            kept(b, fresh);
        });
        check("set_config, RESET", () -> {
            rows(a, "select set_config('my.tenant', ?, false)", "tenant a");
            elsewhere(b, () -> {
                kept(a, Map.of("my.tenant", "tenant a"));
                expect(one(b, "select coalesce(current_setting('my.tenant', true), '')"), "");
            });
            run(a, "reset statement_timeout");
            elsewhere(b, () -> kept(a, Map.of("statement_timeout", fresh.get("statement_timeout"), "TimeZone", "Pacific/Auckland")));
            // Not RESET ALL: it resets what the driver itself has set at the start.
            run(a, "reset search_path");
            a.setClientInfo("ApplicationName", fresh.get("application_name"));
            run(a, "set time zone '" + fresh.get("TimeZone") + "'");
            elsewhere(b, () -> kept(a, fresh));
        });
        check("settings of the startup packet", () -> {
            Connection c = connect("options", "-c statement_timeout=3456 -c lock_timeout=2345", "ApplicationName", "from startup");
            for (int i = 0; i < 3; i++) {
                elsewhere(b, () -> kept(c, Map.of("statement_timeout", "3456ms", "lock_timeout", "2345ms", "application_name", "from startup")));
                kept(b, fresh);
            }
            c.close();
        });
    }

    static void sessionState(Connection b) {
        check("advisory locks of a session", () -> {
            Connection a = connect();
            int key = new Random().nextInt(1 << 30);
            rows(a, "select pg_advisory_lock(?)::text", key);
            expect(one(b, "select pg_try_advisory_lock(?)", key), false);
            elsewhere(b, () -> expect(one(a, "select 1"), 1));
            expect(one(a, "select pg_advisory_unlock(?)", key), true);
            expect(one(b, "select pg_try_advisory_lock(?)", key), true);
            expect(one(b, "select pg_advisory_unlock(?)", key), true);
            a.close();
        });
        check("temporary tables, DISCARD ALL", () -> {
            Connection a = connect();
            Map<String, String> fresh = settingsOf(b, List.of("TimeZone", "search_path"));
            String name = "pool_temp_" + UNIQUE;
            run(a, "create temp table " + name + " (v text)");
            for (int i = 0; i < 3; i++) {
                int n = i + 1;
                run(a, "insert into " + name + " values ('x')");
                refused("42P01", () -> rows(b, "select * from " + name));
                elsewhere(b, () -> expect(one(a, "select count(*)::int from " + name), n));
            }
            run(a, "set search_path = pg_catalog");
            run(a, "discard all");
            a.close();
            Connection c = connect();
            refused("42P01", () -> rows(c, "select * from " + name));
            kept(c, fresh);
            c.close();
        });
        check("LISTEN and NOTIFY", () -> {
            Connection a = connect();
            String channel = "ch_" + UNIQUE;
            run(a, "listen " + channel);
            for (int i = 0; i < 3; i++) {
                rows(b, "select pg_notify(?, ?)::text", channel, "n" + i);
                PGNotification[] got = a.unwrap(PGConnection.class).getNotifications(10_000);
                expect(got == null || got.length == 0 ? "nothing" : got[0].getParameter(), "n" + i);
                expect(one(a, "select ?::int", i), i);
            }
            run(a, "unlisten *");
            a.close();
        });
    }

    static void bulk(Connection a, Connection b) {
        check("a row of 5 MB there and back", () -> {
            String text = "0123456789abcdef".repeat(BIG / 16);
            expect(text.equals(one(a, "select ?::text", text)), true);
            KEPT.get(a).remove("select ?::text").close();
        });
        check("fetch size", () -> {
            a.setAutoCommit(false);
            try (PreparedStatement s = a.prepareStatement("select g from generate_series(1, ?) g")) {
                for (int n = 0; n < 7; n++) {
                    s.setFetchSize(90);
                    s.setInt(1, 1000);
                    long total = 0;
                    try (ResultSet r = s.executeQuery()) {
                        while (r.next()) {
                            total += r.getInt(1);
                            if (r.getRow() % 300 == 0) {
                                expect(one(b, "select 1"), 1);
                            }
                        }
                    }
                    expect(total, 500_500L);
                    a.commit();
                }
            }
            a.setAutoCommit(true);
        });
        check("COPY both ways", () -> {
            String name = "pool_copy_" + UNIQUE;
            run(a, "create table " + name + " (i int, v text)");
            StringBuilder data = new StringBuilder();
            for (int i = 0; i < 3000; i++) {
                data.append(i).append("\tv").append(i).append('\n');
            }
            var copy = a.unwrap(PGConnection.class).getCopyAPI();
            expect(copy.copyIn("copy " + name + " from stdin", new StringReader(data.toString())), 3000L);
            StringWriter out = new StringWriter();
            elsewhere(b, () -> copy.copyOut("copy " + name + " to stdout", out));
            expect(out.toString().length(), data.length());
            refused("22P02", () -> copy.copyIn("copy " + name + " from stdin", new StringReader("x\ty\n")));
            expect(one(b, "select count(*)::int from " + name), 3000);
            run(a, "drop table " + name);
        });
        check("cancel, and validity", () -> {
            try (Statement s = a.createStatement()) {
                s.setQueryTimeout(1);
                refused("57014", () -> s.execute("select pg_sleep(20)"));
            }
            expect(a.isValid(5), true);
            expect(one(b, "select 1"), 1);
        });
    }

    static void crowd() {
        check(CROWD + " clients, each with its own world", () -> {
            Random dice = new Random(20);
            List<Connection> clients = new ArrayList<>();
            List<Integer> open = new ArrayList<>();
            int[] counts = new int[CROWD];
            String prefix = "pool_" + UNIQUE + "_";
            for (int i = 0; i < CROWD; i++) {
                Connection c = connect();
                run(c, "create schema " + prefix + i);
                run(c, "set search_path = " + prefix + i);
                run(c, "set application_name = 'client " + i + "'");
                run(c, "create table t (tag text, n int)");
                rows(c, "insert into t values (?, ?)", "tag " + i, 0);
                clients.add(c);
            }
            for (int turn = 0; turn < ROUNDS; turn++) {
                int i = dice.nextInt(CROWD);
                Connection c = clients.get(i);
                if (open.size() < OPEN && !open.contains(i) && dice.nextInt(3) == 0) {
                    run(c, "begin");
                    open.add(i);
                }
                expect(rows(c, "select tag, n, current_setting('application_name'), ?::int from t", turn),
                        List.of(List.of("tag " + i, counts[i], "client " + i, turn)));
                if (!open.contains(i) && dice.nextInt(4) == 0) {
                    refused("22012", () -> rows(c, "select n / ?::int from t", 0));
                }
                rows(c, "update t set n = n + ?::int", 1);
                counts[i]++;
                if (!open.isEmpty() && dice.nextInt(2) == 0) {
                    run(clients.get(open.remove(dice.nextInt(open.size()))), "commit");
                }
            }
            for (int i : open) {
                run(clients.get(i), "commit");
            }
            for (int i = 0; i < CROWD; i++) {
                expect(one(clients.get(i), "select n from t"), counts[i]);
                run(clients.get(i), "drop schema " + prefix + i + " cascade");
                clients.get(i).close();
            }
        });
    }

    static void sleep(Connection first, Connection second) {
        check("sleep", () -> {
            run(first, "set time zone 'Asia/Tokyo'");
            run(first, "set application_name = 'sleeper'");
            for (int i = 0; i < 8; i++) {
                expect(one(first, "select ?::int + 7", i), i + 7);
                expect(one(second, "select ?::int + 7", i), i + 7);
            }
            System.out.println("SLEEP");
            System.out.flush();
            if (System.in.read() < 0) {
                throw new AssertionError("nobody suspended the endpoint");
            }
        });
        check("after the sleep", () -> {
            Connection a = first;
            Connection b = second;
            if (!pooled) {
                for (Connection c : List.of(a, b)) {
                    try {
                        one(c, "select ?::int + 7", 1);
                    } catch (SQLException ended) {
                        continue;
                    }
                    throw new AssertionError("a direct connection has outlived the sleep");
                }
                a = connect();
                b = connect();
                run(a, "set time zone 'Asia/Tokyo'");
                run(a, "set application_name = 'sleeper'");
            }
            Connection mine = a;
            for (int i = 0; i < 8; i++) {
                expect(one(a, "select ?::int + 7", i), i + 7);
                elsewhere(b, () -> kept(mine, Map.of("TimeZone", "Asia/Tokyo", "application_name", "sleeper")));
                expect(one(b, "select ?::int + 7", i), i + 7);
            }
            a.close();
            b.close();
        });
    }

    public static void main(String[] args) throws Exception {
        pooled = args.length == 2 && args[1].equals("yes");
        new Timer(true).schedule(new TimerTask() {
            @Override
            public void run() {
                fail("still running after " + PROGRAM_LIMIT_MS + " ms");
            }
        }, PROGRAM_LIMIT_MS);
        Connection[] made = new Connection[2];
        check("connect", () -> {
            made[0] = connect();
            made[1] = connect();
        });
        Connection a = made[0];
        Connection b = made[1];
        moves(a, b);
        transactions(a, b);
        settings(a, b);
        sessionState(b);
        bulk(a, b);
        crowd();
        sleep(a, b);
        System.out.println("ok pool_jdbc " + passed + " checks");
    }
}
