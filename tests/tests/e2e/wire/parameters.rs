//! What a client says at the start, and what the server says in between.

use dormouse_tests::Server;
use dormouse_tests::programs::python;
use dormouse_tests::raw::{PROTOCOL_3_0, Raw, startup};

#[tokio::test]
async fn at_the_start_of_a_session() {
    let server = Server::start(&[]);
    replication_is_refused(&server).await;
    startup_parameters_reach_postgres(&server).await;
    newer_protocols_are_negotiated_down(&server).await;
}

async fn startup_parameters_reach_postgres(server: &Server) {
    let params = [
        ("user", "app_owner"),
        ("database", "app"),
        ("application_name", "my app"),
        ("client_encoding", "LATIN1"),
        ("DateStyle", "German, DMY"),
        ("statement_timeout", "4321"),
        ("options", "-c geqo=off -c search_path=\"a\\ b\",public --work_mem=7MB"),
    ];
    let mut raw = Raw::open(server.pg_port()).await;
    let welcome = raw.login(&startup(PROTOCOL_3_0, &params), &server.password()).await.unwrap();
    let told = |name: &str| welcome.parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    assert_eq!(told("application_name").as_deref(), Some("my app"));
    assert_eq!(told("client_encoding").as_deref(), Some("LATIN1"));
    assert!(told("server_version").is_some() && told("standard_conforming_strings").is_some());
    for (name, value) in [
        ("application_name", "my app"),
        ("client_encoding", "LATIN1"),
        ("datestyle", "German, DMY"),
        ("statement_timeout", "4321ms"),
        ("geqo", "off"),
        ("search_path", "\"a b\",public"),
        ("work_mem", "7MB"),
    ] {
        raw.query(&format!("show {name}")).await;
        assert_eq!(raw.rows().await.unwrap(), [value], "{name}");
    }
    // A parameter that PostgreSQL does not know is refused in its own words.
    let mut raw = Raw::open(server.pg_port()).await;
    let params = [("user", "app_owner"), ("database", "app"), ("no_such_setting", "x")];
    let error = raw.login(&startup(PROTOCOL_3_0, &params), &server.password()).await.unwrap_err().fields;
    assert_eq!((error.code(), error.severity()), ("42704", "FATAL"), "{error:?}");
    // Without a database name the role's name is taken, as PostgreSQL does.
    let mut raw = Raw::open(server.pg_port()).await;
    let error = raw.login(&startup(PROTOCOL_3_0, &[("user", "app_owner")]), &server.password()).await;
    let error = error.unwrap_err().fields;
    assert_eq!(error.code(), "3D000", "{error:?}");
    assert!(error.message().contains("app_owner"), "{error:?}");
}

async fn replication_is_refused(server: &Server) {
    for value in ["true", "database", "1", "on"] {
        let mut raw = Raw::open(server.pg_port()).await;
        let params = [("user", "app_owner"), ("database", "app"), ("replication", value)];
        raw.send(&startup(PROTOCOL_3_0, &params)).await;
        let error = raw.error().await.fields;
        assert_eq!((error.code(), error.severity()), ("0A000", "FATAL"), "{error:?}");
        assert!(error.hint().is_some_and(|h| h.contains("replication-not-supported")), "{error:?}");
    }
    assert_eq!(server.state(), "stopped");
    // "No, an ordinary connection" is an ordinary connection.
    let mut raw = Raw::open(server.pg_port()).await;
    let params = [("user", "app_owner"), ("database", "app"), ("replication", "false")];
    raw.login(&startup(PROTOCOL_3_0, &params), &server.password()).await.unwrap();
}

async fn newer_protocols_are_negotiated_down(server: &Server) {
    let user = [("user", "app_owner"), ("database", "app")];
    let mut raw = Raw::open(server.pg_port()).await;
    let welcome = raw.login(&startup(PROTOCOL_3_0 | 2, &user), &server.password()).await.unwrap();
    let answer = welcome.negotiated.expect("3.2 is answered with what is spoken");
    assert_eq!((answer.newest_minor, answer.unknown_options.len()), (0, 0));

    let mut raw = Raw::open(server.pg_port()).await;
    let params = [user[0], user[1], ("_pq_.magic", "on"), ("application_name", "kept")];
    let welcome = raw.login(&startup(PROTOCOL_3_0, &params), &server.password()).await.unwrap();
    assert_eq!(welcome.negotiated.unwrap().unknown_options, ["_pq_.magic"]);
    raw.query("show application_name").await;
    assert_eq!(raw.rows().await.unwrap(), ["kept"]);

    let mut raw = Raw::open(server.pg_port()).await;
    raw.send(&startup(2 << 16, &user)).await;
    let error = raw.error().await.fields;
    assert_eq!((error.code(), error.severity()), ("0A000", "FATAL"), "protocol 2.0: {error:?}");

    let program = "import os, psycopg
dsn = os.environ['DSN']
with psycopg.connect(dsn + ' max_protocol_version=3.2') as c:
    print(c.pgconn.server_version // 10000 >= 15, c.execute('select 1').fetchone()[0])
try:
    psycopg.connect(dsn + ' min_protocol_version=3.2 max_protocol_version=3.2')
except psycopg.OperationalError as e:
    print('protocol version' in str(e))
";
    let dsn = format!("{} password={}", server.conninfo("host=localhost"), server.password());
    assert_eq!(python(program, &[("DSN", &dsn)]).good(), "True 1\nTrue");
    server.assert_clean_log(&[]);
}

const MESSAGES: &str = "import os, psycopg
dsn = os.environ['DSN']
one, two = psycopg.connect(dsn, autocommit=True), psycopg.connect(dsn, autocommit=True)
notices = []
one.add_notice_handler(lambda d: notices.append((d.severity, d.message_primary, d.message_hint)))
one.execute(\"do $$ begin raise notice 'hello %', 'you' using hint = 'wave'; raise warning 'careful'; end $$\")
print(notices)
pid = lambda c: c.execute('select pg_backend_pid()').fetchone()[0]
assert pid(one) == one.info.backend_pid != two.info.backend_pid == pid(two)
one.execute('listen ch')
two.execute(\"notify ch, 'from two'\")
one.execute(\"notify ch, 'from one'\")
got = list(one.notifies(timeout=10, stop_after=2))
if len(got) < 2: got += list(one.notifies(timeout=10, stop_after=2 - len(got)))
print(sorted((n.payload, n.pid == {'from one': one, 'from two': two}[n.payload].info.backend_pid) for n in got))
with one.pipeline():
    cursors = [one.execute('select %s::int', (n,)) for n in range(1000)]
    print(sum(c.fetchone()[0] for c in cursors))
try:
    with one.pipeline():
        one.execute('select 1/%s', (0,))
        one.execute('select 5')
except psycopg.errors.DivisionByZero: print('error in its place')
with one.pipeline(): print(one.execute('select 7').fetchone()[0])
";

#[test]
fn notices_notifications_and_pipelines() {
    let server = Server::start(&[]);
    for mode in ["require", "disable"] {
        let dsn = format!("{} sslmode={mode} password={}", server.conninfo(""), server.password());
        let said = python(MESSAGES, &[("DSN", &dsn)]).good();
        let expected = "[('NOTICE', 'hello you', 'wave'), ('WARNING', 'careful', None)]\n\
            [('from one', True), ('from two', True)]\n\
            499500\n\
            error in its place\n\
            7";
        assert_eq!(said, expected, "{mode}");
    }
    server.assert_clean_log(&[]);
}
