// Where does DSN lead with the JDBC driver? Output as in psycopg_whoami.py.
// A single source file cannot share code, so connect() is that of JdbcBasic.

import java.net.URI;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;
import java.util.Set;

public class JdbcWhoami {
    static final Set<String> SAME = Set.of("sslmode", "sslrootcert", "sslcert", "sslkey", "options");

    static String decode(String text) {
        return URLDecoder.decode(text.replace("+", "%2B"), StandardCharsets.UTF_8);
    }

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

    static String json(String text) {
        if (text == null) {
            return "null";
        }
        StringBuilder out = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') {
                out.append('\\').append(c);
            } else if (c < ' ') {
                out.append(String.format("\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        return out.append('"').toString();
    }

    public static void main(String[] args) throws Exception {
        try (Connection c = connect();
                Statement s = c.createStatement();
                ResultSet r = s.executeQuery("select current_database(), current_user")) {
            r.next();
            System.out.println("{\"database\": " + json(r.getString(1)) + ", \"user\": " + json(r.getString(2)) + "}");
        } catch (SQLException error) {
            System.out.println("{\"error\": " + json(error.getMessage()) + ", \"sqlstate\": " + json(error.getSQLState()) + "}");
            System.exit(1);
        }
    }
}
