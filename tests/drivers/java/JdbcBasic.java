// The PostgreSQL JDBC driver against one database, run as a single source file:
//   java -cp /usr/share/java/postgresql.jar JdbcBasic.java
// The rules are those of ../python/checks.py: stop at the first failing check,
// one last line.

import java.io.StringReader;
import java.io.StringWriter;
import java.net.URI;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.sql.Array;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Arrays;
import java.util.Objects;
import java.util.Properties;
import java.util.Set;
import java.util.Timer;
import java.util.TimerTask;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;

public class JdbcBasic {
    static final long PROGRAM_LIMIT_MS = 90_000;
    static final long CANCEL_LIMIT_MS = 5_000;
    static final int NOTIFY_LIMIT_MS = 10_000;
    static final int ROWS = 10_000;
    static final String UNIQUE = ProcessHandle.current().pid() + "_" + Long.toHexString(System.nanoTime());

    static int passed = 0;
    static volatile String current = "start";

    interface Body {
        void run() throws Exception;
    }

    static void fail(String reason) {
        System.out.println("FAIL jdbc: " + current + ": " + reason);
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
            throw new AssertionError("got " + brief(got) + ", wanted " + brief(wanted));
        }
    }

    static String brief(Object value) {
        String text = value instanceof Object[] list ? Arrays.toString(list) : String.valueOf(value);
        return text.length() > 200 ? text.substring(0, 200) + "..." : text;
    }

    /** Runs a statement that must fail with one SQLSTATE. */
    static void expectState(String state, Body body) throws Exception {
        try {
            body.run();
        } catch (SQLException error) {
            expect(error.getSQLState(), state);
            return;
        }
        throw new AssertionError("the statement succeeded, wanted SQLSTATE " + state);
    }

    static String decode(String text) {
        return text == null ? null : URLDecoder.decode(text.replace("+", "%2B"), StandardCharsets.UTF_8);
    }

    /** Parameters of libpq that mean the same to this driver. It knows no channel_binding. */
    static final Set<String> SAME = Set.of("sslmode", "sslrootcert", "sslcert", "sslkey", "options");

    static Connection connect() throws Exception {
        URI dsn = new URI(System.getenv("DSN"));
        Properties info = new Properties();
        String[] user = dsn.getRawUserInfo().split(":", 2);
        info.setProperty("user", decode(user[0]));
        if (user.length == 2) {
            info.setProperty("password", decode(user[1]));
        }
        for (String pair : dsn.getRawQuery() == null ? new String[0] : dsn.getRawQuery().split("&")) {
            String[] half = pair.split("=", 2);
            if (half.length == 2 && SAME.contains(half[0])) {
                info.setProperty(half[0], decode(half[1]));
            }
        }
        info.setProperty("loginTimeout", "30");
        int port = dsn.getPort() < 0 ? 5432 : dsn.getPort();
        String database = URLEncoder.encode(decode(dsn.getRawPath().substring(1)), StandardCharsets.UTF_8);
        return DriverManager.getConnection("jdbc:postgresql://" + dsn.getHost() + ":" + port + "/" + database, info);
    }

    static void run(Connection c, String sql) throws SQLException {
        try (Statement s = c.createStatement()) {
            s.execute(sql);
        }
    }

    static long number(Connection c, String sql) throws SQLException {
        try (Statement s = c.createStatement(); ResultSet r = s.executeQuery(sql)) {
            r.next();
            return r.getLong(1);
        }
    }

    static void basics(Connection c, String schema) throws Exception {
        check("prepared statement 10 times", () -> {
            // From the fifth use on the driver names it on the server.
            try (PreparedStatement s = c.prepareStatement("select ?::int * 2, ?::text")) {
                for (int i = 0; i < 10; i++) {
                    s.setInt(1, i);
                    s.setString(2, "t" + i);
                    try (ResultSet r = s.executeQuery()) {
                        r.next();
                        expect(r.getInt(1), i * 2);
                        expect(r.getString(2), "t" + i);
                    }
                }
            }
        });
        run(c, "create table " + schema + ".t (id int primary key, v text)");
        String count = "select count(*) from " + schema + ".t";
        check("commit", () -> {
            c.setAutoCommit(false);
            run(c, "insert into " + schema + ".t values (1, 'kept')");
            c.commit();
            expect(number(c, count), 1L);
            c.commit();
        });
        check("rollback", () -> {
            run(c, "insert into " + schema + ".t values (2, 'dropped')");
            expect(number(c, count), 2L);
            c.rollback();
            expect(number(c, count), 1L);
            c.rollback();
            c.setAutoCommit(true);
        });
        check("error 22012 and the connection still works", () -> {
            expectState("22012", () -> number(c, "select 1 / 0"));
            expect(number(c, "select 1"), 1L);
        });
        check("batch of 500", () -> {
            try (PreparedStatement s = c.prepareStatement("insert into " + schema + ".t values (?, ?)")) {
                for (int i = 100; i < 600; i++) {
                    s.setInt(1, i);
                    s.setString(2, "v" + i);
                    s.addBatch();
                }
                expect(s.executeBatch().length, 500);
            }
            expect(number(c, count), 501L);
        });
    }

    static void values(Connection c) {
        check("1 MB text there and back", () -> {
            String text = "\u00e4".repeat(512 * 1024);
            try (PreparedStatement s = c.prepareStatement("select ?::text")) {
                s.setString(1, text);
                try (ResultSet r = s.executeQuery()) {
                    r.next();
                    expect(r.getString(1).equals(text), true);
                }
            }
        });
        check("array, json, bytea, null", () -> {
            String[] array = {"a", "b\"c", "d\\e", "", "{f,g}", null};
            byte[] bytes = new byte[256];
            for (int i = 0; i < 256; i++) {
                bytes[i] = (byte) i;
            }
            try (PreparedStatement s = c.prepareStatement("select ?::text[], ?::jsonb, ?::bytea, ?::int")) {
                Array sent = c.createArrayOf("text", array);
                // More than five times: the driver then changes from text to binary results.
                for (int i = 0; i < 10; i++) {
                    s.setArray(1, sent);
                    s.setString(2, "{\"a\": [1, 2.5, null]}");
                    s.setBytes(3, bytes);
                    s.setNull(4, java.sql.Types.INTEGER);
                    try (ResultSet r = s.executeQuery()) {
                        r.next();
                        expect(r.getArray(1).getArray(), array);
                        expect(r.getString(2), "{\"a\": [1, 2.5, null]}");
                        expect(r.getBytes(3), bytes);
                        expect(r.getObject(4), null);
                    }
                }
            }
        });
    }

    static void bulk(Connection c, String schema) throws Exception {
        run(c, "create table " + schema + ".c (id int, v text)");
        check("COPY in", () -> {
            StringBuilder data = new StringBuilder();
            for (int i = 0; i < ROWS; i++) {
                data.append(i).append('\t').append(i % 10 == 0 ? "\\N" : "v" + i).append('\n');
            }
            long rows = c.unwrap(PGConnection.class).getCopyAPI()
                    .copyIn("copy " + schema + ".c from stdin", new StringReader(data.toString()));
            expect(rows, (long) ROWS);
            expect(number(c, "select count(v) from " + schema + ".c"), ROWS * 9L / 10);
        });
        check("COPY out", () -> {
            StringWriter out = new StringWriter();
            c.unwrap(PGConnection.class).getCopyAPI()
                    .copyOut("copy (select * from " + schema + ".c order by id) to stdout", out);
            String[] lines = out.toString().split("\n");
            expect(lines.length, ROWS);
            expect(lines[9], "9\tv9");
        });
        check("10,000 rows", () -> {
            try (Statement s = c.createStatement();
                    ResultSet r = s.executeQuery("select g, repeat('x', 100) from generate_series(1, " + ROWS + ") g")) {
                int last = 0;
                while (r.next()) {
                    expect(r.getInt(1), ++last);
                }
                expect(last, ROWS);
            }
        });
        check("fetch size", () -> {
            // Without a transaction the driver would fetch everything at once.
            c.setAutoCommit(false);
            try (PreparedStatement s = c.prepareStatement("select g from generate_series(1, ?) g")) {
                s.setFetchSize(500);
                s.setInt(1, ROWS);
                long total = 0;
                try (ResultSet r = s.executeQuery()) {
                    while (r.next()) {
                        total += r.getInt(1);
                    }
                }
                expect(total, ROWS * (ROWS + 1L) / 2);
            }
            c.commit();
            c.setAutoCommit(true);
        });
    }

    static void notifications(Connection c) {
        String channel = "ch_" + UNIQUE;
        check("NOTIFY to itself", () -> {
            run(c, "listen " + channel);
            run(c, "notify " + channel + ", 'self'");
            expect(payload(c), "self");
        });
        check("NOTIFY from another connection while idle", () -> {
            try (Connection other = connect()) {
                run(other, "notify " + channel + ", 'other'");
            }
            expect(payload(c), "other");
            run(c, "unlisten " + channel);
        });
    }

    static String payload(Connection c) throws SQLException {
        PGNotification[] got = c.unwrap(PGConnection.class).getNotifications(NOTIFY_LIMIT_MS);
        return got == null || got.length == 0 ? "nothing" : got[0].getParameter();
    }

    static void cancel(Connection c) {
        check("cancel a running statement", () -> {
            long started = System.nanoTime();
            try (Statement s = c.createStatement()) {
                Thread canceller = new Thread(() -> {
                    try {
                        Thread.sleep(500);
                        s.cancel();
                    } catch (Exception error) {
                        fail("the cancel request failed: " + error);
                    }
                });
                canceller.start();
                expectState("57014", () -> s.execute("select pg_sleep(30)"));
                canceller.join();
            }
            long took = (System.nanoTime() - started) / 1_000_000;
            expect(took < CANCEL_LIMIT_MS, true);
            expect(number(c, "select 1"), 1L);
        });
    }

    public static void main(String[] args) throws Exception {
        new Timer(true).schedule(new TimerTask() {
            @Override
            public void run() {
                fail("still running after " + PROGRAM_LIMIT_MS + " ms");
            }
        }, PROGRAM_LIMIT_MS);
        Connection[] made = new Connection[1];
        // With sslmode=require or stronger the driver refuses to go on without TLS.
        check("connect", () -> made[0] = connect());
        Connection c = made[0];
        String schema = "drv_jdbc_" + UNIQUE;
        check("make a schema", () -> run(c, "create schema " + schema));
        basics(c, schema);
        values(c);
        bulk(c, schema);
        notifications(c);
        cancel(c);
        check("clean up and close", () -> {
            run(c, "drop schema " + schema + " cascade");
            c.close();
        });
        System.out.println("ok jdbc " + passed + " checks");
    }
}
