//! Operators of `dormouse pool` who come from PgBouncer: what its files and its other process ask for, and who leaves.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use dormouse_pgwire::Encode;
use dormouse_pgwire::frontend::Query;
use dormouse_pgwire::startup::Startup;
use dormouse_pgwire::tag::frontend::TERMINATE;
use dormouse_tests::note;
use rustix::process::Signal;

use crate::pool_ini::{Pooler, WITHIN, server};

const PGBOUNCER: &str = "/usr/sbin/pgbouncer";

/// Answers that nobody reads, many more than a socket keeps.
const UNREAD: usize = 100;

#[test]
fn a_first_query_that_fails_is_logged_and_keeps_nobody_out() {
    let Some(foreign) = server(15) else { return };
    let mut pooler = Pooler::new();
    let to = format!("host=127.0.0.1 port={} dbname=postgres", foreign.port());
    pooler.write(
        &format!(
            "db = {to} connect_query='select nothing_here()'\n\
             lost = {to} connect_query='select pg_terminate_backend(pg_backend_pid())'"
        ),
        "auth_type = scram-sha-256\nquery_wait_timeout = 1",
        "\"s\" \"new\"\n",
    );
    pooler.start();
    let ask = |database| pooler.psql(&pooler.dsn("127.0.0.1", "s", "new", database), "select 1");
    assert_eq!(ask("db").good(), "1");
    let log = pooler.log();
    let wanted = "error while executing exec_on_query: ERROR: function nothing_here() does not exist";
    assert!(log.lines().any(|line| line.contains(" ERROR S-") && line.contains(wanted)), "{log}");
    // One that ends its server is a server that cannot be had.
    assert!(ask("lost").bad().contains("cannot connect"));
    assert!(pooler.log().contains("closing because: server conn crashed?"), "{}", pooler.log());
}

#[test]
fn a_pgbouncer_that_would_take_over_gives_up_and_work_goes_on() {
    let Some(foreign) = server(15) else { return };
    let pooler = Pooler::started(&foreign, "auth_type = scram-sha-256");
    let admin = |sql: &str| pooler.psql(&pooler.console(), sql);
    assert!(admin("show fds").bad().contains("without -R"));
    // As it does it: what is suspended is so until the operator leaves.
    let dsn = pooler.console();
    let asks = ["-XAtq", "-d", &dsn, "-c", "suspend", "-c", "show state", "-c", "show fds"];
    let said = dormouse_tests::programs::run(Path::new("psql"), &asks, &[]);
    assert!(said.out.contains("suspended|yes"), "{}", said.out);
    assert!(said.bad().contains("without -R"));
    pooler.wait_for_log("admin disappeared when suspended, doing RESUME");
    assert!(admin("show state").good().contains("suspended|no"));
    if Path::new(PGBOUNCER).exists() && !rustix::process::geteuid().is_root() {
        let ini = pooler.path("p.ini");
        let said = Command::new("timeout").args(["10", PGBOUNCER, "-R"]).arg(ini).output().unwrap();
        assert_eq!(said.status.code(), Some(1), "{}", String::from_utf8_lossy(&said.stderr));
    } else {
        note("PgBouncer itself is not asked: it is not installed, or this is root");
    }
    let dir = pooler.dir.path().display().to_string();
    let ask = |host| pooler.psql(&pooler.dsn(host, "s", "new", "db"), "select 1").good();
    assert_eq!((ask("127.0.0.1").as_str(), ask(&dir).as_str()), ("1", "1"));
}

#[test]
fn who_has_left_the_console_takes_no_place_from_others() {
    let Some(foreign) = server(15) else { return };
    let pooler = Pooler::started(
        &foreign,
        "auth_type = scram-sha-256\nstats_users = s\nmax_db_client_connections = 1",
    );
    let path = pooler.path(&format!(".s.PGSQL.{}", pooler.port));
    let looks = || pooler.psql(&pooler.dsn("127.0.0.1", "s", "new", "pgbouncer"), "show version");
    // It asks for much, reads nothing and says goodbye, which cannot be heard while the answers are not taken.
    let mut leaves = UnixStream::connect(&path).unwrap();
    let hello = Startup::new("pgbouncer").and_then(|it| it.with("database", "pgbouncer")).unwrap();
    leaves.write_all(&hello.encode()).unwrap();
    let mut first = [0];
    leaves.read_exact(&mut first).unwrap();
    assert_eq!(first, *b"R");
    leaves.write_all(&Query::new("show config").encode().repeat(UNREAD)).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(looks().bad().contains("max_db_client_connections"));
    leaves.write_all(&[TERMINATE, 0, 0, 0, 4]).unwrap();
    looks().good();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_operators_see_and_what_the_log_has_of_them() {
    let Some(foreign) = server(15) else { return };
    let mut pooler = Pooler::started(
        &foreign,
        "auth_type = scram-sha-256\npool_mode = transaction\nquery_wait_timeout = 1",
    );
    let admin = |sql: &str| {
        let dsn = pooler.console() + " application_name=watch";
        pooler.psql(&dsn, sql)
    };
    assert!(admin("show clients").good().contains("|watch|"));
    let dsn = pooler.console();
    let sets = [
        "-X",
        "-v",
        "VERBOSITY=verbose",
        "-v",
        "ON_ERROR_STOP=1",
        "-d",
        &dsn,
        "-c",
        "set auth_type = 'bogus'",
    ];
    let said = dormouse_tests::programs::run(Path::new("psql"), &sets, &[]).bad();
    assert!(said.contains("08P01: SET failed") && said.contains("DETAIL:"), "{said}");
    admin("pause db").good();
    let said = pooler.psql(&pooler.dsn("127.0.0.1", "s", "new", "db"), "select 1").bad();
    assert!(said.contains("query_wait_timeout") && said.contains("goes on with RESUME"), "{said}");
    admin("resume db").good();
    pooler.wait_for_log("PAUSE 'db' command issued");
    let log = pooler.log();
    let closed = |line: &str| {
        line.contains("pgbouncer/pgbouncer@unix(") && line.contains("closing because: client close request")
    };
    assert!(log.lines().any(closed), "{log}");

    let client = pooler.connect("s", "new", "db").await;
    client.batch_execute("select 1").await.unwrap();
    pooler.signal(Signal::QUIT);
    assert!(pooler.ended());
    let log = pooler.log();
    assert!(
        log.contains("closing because: terminating connection due to administrator command (age"),
        "{log}"
    );
    assert!(!log.contains("database removed"), "{log}");
}

#[test]
fn a_server_that_is_reached_and_silent_is_told_apart_from_one_that_is_not_reached() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    // Whether it is asked for TLS first or not: it has taken the connection.
    for sslmode in ["disable", "prefer"] {
        let mut pooler = Pooler::new();
        pooler.write(
            &format!("db = host=127.0.0.1 port={port}"),
            &format!(
                "auth_type = scram-sha-256\nquery_wait_timeout = 2\nserver_connect_timeout = 1\n\
                 server_tls_sslmode = {sslmode}"
            ),
            "\"s\" \"new\"\n",
        );
        pooler.start();
        let said = pooler.psql(&pooler.dsn("127.0.0.1", "s", "new", "db"), "select 1").bad();
        assert!(said.contains("(server_connect_timeout)"), "{said}");
        pooler.wait_for_log("closing because: connect timeout");
        assert!(!pooler.log().contains("connect failed"), "{}", pooler.log());
    }
}

/// Group 1 is `daemon` wherever there is root; others can give files to their own groups only.
#[test]
fn the_sockets_file_is_for_the_group_of_the_settings() {
    let root = rustix::process::geteuid().is_root();
    let own = rustix::process::getegid().as_raw();
    let (text, group) = if root { ("daemon".to_owned(), 1) } else { (own.to_string(), own) };
    let mut pooler = Pooler::new();
    let settings =
        |group: &str| format!("auth_type = trust\nunix_socket_mode = 0770\nunix_socket_group = {group}");
    pooler.write("db = host=127.0.0.1", &settings("nobody's"), "");
    let refused = pooler.refused();
    assert!(refused.contains("there is no group \"nobody's\""), "{refused}");
    pooler.write("db = host=127.0.0.1", &settings(&text), "");
    pooler.start();
    let file = std::fs::metadata(pooler.path(&format!(".s.PGSQL.{}", pooler.port))).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!((file.mode() & 0o777, file.gid()), (0o770, group));
}

/// The system's log, where this machine has none.
struct SystemLog(UnixDatagram);

impl SystemLog {
    const PLACE: &str = "/dev/log";

    fn instead() -> Option<Self> {
        let socket = UnixDatagram::bind(Self::PLACE).ok()?;
        socket.set_read_timeout(Some(WITHIN)).unwrap();
        Some(Self(socket))
    }

    fn next(&self) -> String {
        let mut line = [0; 8192];
        let size = self.0.recv(&mut line).unwrap();
        String::from_utf8_lossy(&line[..size]).into_owned()
    }
}

impl Drop for SystemLog {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(Self::PLACE);
    }
}

#[test]
fn lines_go_to_the_systems_log_as_well() {
    let mut pooler = Pooler::new();
    let write = |pooler: &Pooler, settings: &str| {
        pooler.write("db = host=127.0.0.1", &format!("auth_type = trust\n{settings}"), "");
    };
    write(&pooler, "syslog = 1\nsyslog_facility = nonsense");
    pooler.start();
    pooler.wait_for_log("there is no syslog_facility \"nonsense\"");
    let Some(system) = SystemLog::instead() else {
        note("this machine has a log of its own, or is not ours: what is sent there is not looked at");
        return;
    };
    write(&pooler, "syslog = 1\nsyslog_facility = local3\nsyslog_ident = bouncer");
    pooler.signal(Signal::HUP);
    // local3.info
    let label = format!("<158>bouncer[{}]: ", pooler.child.as_ref().unwrap().id());
    assert_eq!(system.next(), format!("{label}the configuration was read again"));
    pooler.signal(Signal::TERM);
    assert!(system.next().starts_with(&label));
}
