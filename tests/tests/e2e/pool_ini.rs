//! `dormouse pool`: in PgBouncer's place, in front of an ordinary PostgreSQL.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_compute::sandbox::process;
use dormouse_runtime::task::Scope;
use dormouse_tests::foreign::{Foreign, PASSWORD};
use dormouse_tests::programs::{self, Said};
use dormouse_tests::{binary, free_port, note, passable_dir};
use rustix::process::Signal;
use tokio_postgres::{Client, NoTls};

/// What takes longer does not come.
pub(crate) const WITHIN: Duration = Duration::from_secs(20);

/// A directory with a `pgbouncer.ini`, and perhaps a pooler that runs from it.
pub(crate) struct Pooler {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) port: u16,
    pub(crate) child: Option<Child>,
}

impl Pooler {
    pub(crate) fn new() -> Self {
        Self { dir: passable_dir(), port: free_port(), child: None }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the files. `databases` and `settings` are lines of the two sections.
    pub(crate) fn write(&self, databases: &str, settings: &str, users: &str) {
        let (dir, port) = (self.dir.path().display(), self.port);
        let ini = format!(
            "[databases]\n{databases}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir = {dir}\nauth_file = {dir}/users.txt\nlogfile = {dir}/log\npidfile = {dir}/pid\n{settings}\n"
        );
        std::fs::write(self.path("p.ini"), ini).unwrap();
        std::fs::write(self.path("users.txt"), users).unwrap();
    }

    /// A pool in front of a server, with one database `db`, these settings, and role `s` in its list.
    pub(crate) fn started(foreign: &Foreign, settings: &str) -> Self {
        let mut pooler = Self::new();
        let db = format!("db = host=127.0.0.1 port={} dbname=postgres", foreign.port());
        pooler.write(&db, settings, "\"s\" \"new\"\n");
        pooler.start();
        pooler
    }

    /// Where its own account may do everything.
    pub(crate) fn console(&self) -> String {
        self.dsn(&self.dir.path().display().to_string(), "pgbouncer", "''", "pgbouncer")
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.arg("pool").args(["-q", "p.ini"]).current_dir(self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn start(&mut self) {
        let command = self.command();
        self.start_with(command);
    }

    pub(crate) fn start_with(&mut self, mut command: Command) {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if !line.starts_with("ready: ") {
            let mut why = String::new();
            child.stderr.take().unwrap().read_to_string(&mut why).unwrap();
            child.wait().unwrap();
            panic!("{why}");
        }
        self.child = Some(child);
    }

    /// Starts one that must not start; gives what it says.
    pub(crate) fn refused(&self) -> String {
        // The system's own list of authorities would do for TLS.
        let output = self.command().env("SSL_CERT_FILE", "/nowhere").output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        process::signal(self.child.as_ref().unwrap().id(), signal);
    }

    fn hosts(&self) -> [String; 2] {
        ["127.0.0.1".to_owned(), self.dir.path().display().to_string()]
    }

    pub(crate) fn dsn(&self, host: &str, user: &str, password: &str, database: &str) -> String {
        let port = self.port;
        format!(
            "host={host} port={port} user={user} password={password} dbname={database} connect_timeout=10"
        )
    }

    pub(crate) fn psql(&self, dsn: &str, sql: &str) -> Said {
        programs::run(Path::new("psql"), &["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", dsn, "-c", sql], &[])
    }

    pub(crate) async fn connect(&self, user: &str, password: &str, database: &str) -> Client {
        let dsn = self.dsn("127.0.0.1", user, password, database);
        let (client, connection) = tokio_postgres::connect(&dsn, NoTls).await.unwrap();
        Scope::new().spawn("test-client", async move {
            let _ended = connection.await;
        });
        client
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub(crate) fn wait_for_log(&self, text: &str) {
        let start = Mono::now();
        while !self.log().contains(text) {
            assert!(start.elapsed() < WITHIN, "no {text:?} in the log: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for its end; tells whether it ended well.
    pub(crate) fn ended(&mut self) -> bool {
        self.child.take().unwrap().wait().unwrap().success()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            process::signal(child.id(), Signal::QUIT);
            let _reaped = child.wait();
        }
    }
}

/// A server with one role for each kind of password. `None` = this version is not installed.
pub(crate) fn server(major: u16) -> Option<Foreign> {
    let Some(foreign) = Foreign::start(major) else {
        note(&format!("PostgreSQL {major} is not installed"));
        return None;
    };
    foreign.sql(
        "postgres",
        "set password_encryption = 'md5'; create role m login password 'old';
         set password_encryption = 'scram-sha-256'; create role s login password 'new';
         create role clear login password 'plain'; create role free login;",
    );
    foreign.admit(
        "host all m 127.0.0.1/32 md5\nlocal all m md5\nhost all clear 127.0.0.1/32 password\nhost all free 127.0.0.1/32 trust",
    );
    Some(foreign)
}

fn pgbench(pooler: &Pooler, host: &str, protocol: &str) {
    let port = pooler.port.to_string();
    let script = pooler.path("one.sql");
    std::fs::write(&script, "\\set n random(1, 1000)\nbegin;\nselect :n + 1;\ncommit;\n").unwrap();
    let script = script.to_str().unwrap();
    let count = ["-c", "8", "-j", "2", "-t", "50"];
    let mut arguments = vec!["-n", "-h", host, "-p", &port, "-U", "s", "-M", protocol, "-f", script, "db"];
    arguments.splice(1..1, count);
    let out = programs::run(Path::new("pgbench"), &arguments, &[("PGPASSWORD", "new")]).good();
    assert!(out.contains("400/400"), "{out}");
}

#[test]
fn every_way_in_and_every_way_on() {
    for major in [15, 18] {
        let Some(foreign) = server(major) else { continue };
        for (mode, auth) in [("transaction", "scram-sha-256"), ("session", "md5")] {
            for tcp in [true, false] {
                let (port, socket) = (foreign.port(), foreign.socket_dir());
                let host = if tcp { "127.0.0.1".to_owned() } else { socket.display().to_string() };
                let mut pooler = Pooler::new();
                pooler.write(
                    &format!(
                        "db = host={host} port={port} dbname=postgres connect_query='set work_mem = ''7MB'''"
                    ),
                    &format!("auth_type = {auth}\npool_mode = {mode}\ndefault_pool_size = 10"),
                    "\"m\" \"old\"\n\"s\" \"new\"\n",
                );
                pooler.start();
                for host in &pooler.hosts() {
                    // In session mode DISCARD ALL takes back what connect_query has set, as with PgBouncer.
                    go_through(&pooler, host, if mode == "session" { "%MB" } else { "7MB" });
                }
            }
        }
    }
}

fn go_through(pooler: &Pooler, host: &str, work_mem: &str) {
    for (user, password) in [("s", "new"), ("m", "old")] {
        let sql = format!(
            "select current_user || current_database(), current_setting('work_mem') like '{work_mem}'"
        );
        let said = pooler.psql(&pooler.dsn(host, user, password, "db"), &sql).good();
        assert_eq!(said, format!("{user}postgres|t"));
        let wrong = pooler.psql(&pooler.dsn(host, user, "guess", "db"), "select 1").bad();
        assert!(wrong.contains("password authentication failed"), "{wrong}");
    }
    pgbench(pooler, host, "simple");
    pgbench(pooler, host, "prepared");
}

#[test]
fn passwords_towards_the_server() {
    let Some(foreign) = server(15) else { return };
    let port = foreign.port();
    let stored = |role: &str| {
        foreign.sql("postgres", &format!("select rolpassword from pg_authid where rolname = '{role}'"))
    };
    let mut pooler = Pooler::new();
    // What pg_authid has is enough for SCRAM and MD5; a role of the entry stands for every client.
    pooler.write(
        &format!(
            "* = host=127.0.0.1 port={port}\n\
             forced = host=127.0.0.1 port={port} dbname=postgres user=postgres password='{PASSWORD}'\n\
             hashed = host=127.0.0.1 port={port} dbname=postgres user=m password={}\n\
             empty = host=127.0.0.1 port={port} dbname=postgres user=clear password=''\n\
             dead = host=127.0.0.1 port=1 query_wait_timeout=1",
            stored("m")
        ),
        "auth_type = md5\napplication_name_add_host = 1\nignore_startup_parameters = nonsense",
        &format!(
            "\"s\" \"{}\"\n\"m\" \"{}\"\n\"clear\" \"plain\"\n\"free\" \"anything\"\n",
            stored("s"),
            stored("m")
        ),
    );
    pooler.start();
    let ask = |user: &str, password: &str, database: &str| {
        let sql = "select current_user, current_setting('application_name')";
        pooler.psql(&pooler.dsn("127.0.0.1", user, password, database), sql)
    };
    for (user, password) in [("s", "new"), ("m", "old"), ("clear", "plain"), ("free", "anything")] {
        let said = ask(user, password, "postgres").good();
        assert!(said.starts_with(&format!("{user}|psql - 127.0.0.1:")), "{said}");
    }
    assert!(ask("m", "old", "forced").good().starts_with("postgres|"));
    assert!(ask("s", "new", "hashed").good().starts_with("m|"), "what pg_authid has is enough here, too");
    assert!(ask("s", "new", "empty").good().starts_with("clear|"), "auth_file has the password");
    let error = ask("m", "old", "nothing-there").bad();
    assert!(error.contains("database \"nothing-there\" does not exist"), "{error}");
    let error = ask("m", "old", "dead").bad();
    assert!(error.contains("cannot connect to its server") && error.contains("127.0.0.1:1"), "{error}");
    let error = ask("nobody", "x", "postgres").bad();
    assert!(error.contains("password authentication failed for user \"nobody\""), "{error}");
    assert!(!pooler.log().contains(PASSWORD));
}

#[test]
fn a_restart_of_the_server_is_only_a_delay() {
    let Some(mut foreign) = server(15) else { return };
    let mut pooler = Pooler::new();
    pooler.write(
        &format!("db = host=127.0.0.1 port={} dbname=postgres", foreign.port()),
        "auth_type = plain\npool_mode = transaction\nserver_login_retry = 0.2",
        "\"s\" \"new\"\n",
    );
    pooler.start();
    let dsn = pooler.dsn("127.0.0.1", "s", "new", "db");
    assert_eq!(pooler.psql(&dsn, "select 1").good(), "1");
    foreign.stop();
    let waits = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| pooler.psql(&dsn, "select 2"));
        pooler.wait_for_log("cannot connect to a server");
        foreign.run();
        waiting.join().unwrap()
    });
    assert_eq!(waits.good(), "2");
}

#[test]
fn what_cannot_be_had_is_refused_with_its_place() {
    let pooler = Pooler::new();
    let start = |databases: &str, settings: &str, users: &str| {
        pooler.write(databases, settings, users);
        pooler.refused()
    };
    let said = start("db = host=x", "pool_mode = quick", "");
    assert!(said.contains("p.ini, line 10") && said.contains("\"quick\" is not a value"), "{said}");
    let said = start("db = host=x prot=5", "", "");
    assert!(said.contains("p.ini, line 2") && said.contains("unknown parameter \"prot\""), "{said}");
    let said = start("db = host=x,@y", "", "");
    assert!(said.contains("names an abstract socket"), "{said}");
    for (setting, word) in [
        ("auth_type = hba", "auth_hba_file is needed"),
        ("auth_type = pam", "pam is not supported"),
        ("auth_type = any", "has no user="),
        ("auth_dbname = pgbouncer", "cannot use the reserved"),
        ("client_tls_sslmode = require", "client_tls_cert_file"),
        ("server_tls_sslmode = verify-full", "server_tls_ca_file"),
        ("listen_port = 99999", "not a value for listen_port"),
        ("tcp_user_timeout = 30s", "p.ini, line 10"),
    ] {
        let said = start("db = host=x", setting, "");
        assert!(said.contains(word), "{setting}: {said}");
    }
}

/// How many backends serve at the same time when four clients want one each.
async fn backends_at_once(pooler: &Pooler) -> usize {
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(pooler.connect("s", "new", "db").await);
    }
    let asked = clients.iter().map(|client| client.query_one("select pg_backend_pid(), pg_sleep(0.3)", &[]));
    let mut pids = Vec::new();
    for row in futures_util::future::join_all(asked).await {
        pids.push(row.unwrap().get::<_, i32>(0));
    }
    pids.sort_unstable();
    pids.dedup();
    pids.len()
}

async fn number(client: &Client, sql: &str) -> i32 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn signals_reload_pause_and_end() {
    const AUTH: &str = "auth_type = scram-sha-256\npool_mode = transaction";
    const USERS: &str = "\"s\" \"new\"\n";
    let Some(foreign) = server(15) else { return };
    let mut pooler = Pooler::new();
    let databases = |more: &str| format!("db = host=127.0.0.1 port={} {more}", foreign.port());
    pooler.write(&databases("dbname=postgres pool_size=1"), AUTH, USERS);
    pooler.start();
    let pid = std::fs::read_to_string(pooler.path("pid")).unwrap();
    assert_eq!(pid.trim().parse(), Ok(pooler.child.as_ref().unwrap().id()));
    assert_eq!(backends_at_once(&pooler).await, 1);
    let survivor = pooler.connect("s", "new", "db").await;

    pooler.write(&databases("dbname=postgres pool_size=3"), AUTH, USERS);
    pooler.signal(Signal::HUP);
    pooler.wait_for_log("was read again");
    assert_eq!(backends_at_once(&pooler).await, 3);

    pooler.write(&databases("dbname=postgres pool_size=x"), AUTH, USERS);
    pooler.signal(Signal::HUP);
    pooler.wait_for_log("p.ini, line 2");
    assert_eq!(number(&survivor, "select 1").await, 1);

    // An entry that leads elsewhere takes its clients with it, those that are connected too.
    foreign.sql("postgres", "create database other");
    pooler.write(&databases("dbname=other"), AUTH, USERS);
    std::fs::rename(pooler.path("log"), pooler.path("log.1")).unwrap();
    pooler.signal(Signal::HUP);
    pooler.wait_for_log("was read again");
    assert_eq!(number(&survivor, "select (current_database() = 'other')::int").await, 1);

    pooler.signal(Signal::USR1);
    pooler.wait_for_log("paused: nothing runs");
    let waits = number(&survivor, "select 2");
    tokio::pin!(waits);
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut waits).await.is_err());
    pooler.signal(Signal::USR2);
    assert_eq!(waits.await, 2);

    // The transaction that runs comes to its end, then the pooler does.
    survivor.batch_execute("begin").await.unwrap();
    pooler.signal(Signal::INT);
    pooler.wait_for_log("no new connections");
    let late = pooler.psql(&pooler.dsn("127.0.0.1", "s", "new", "db"), "select 1").bad();
    assert!(late.contains("refused"), "{late}");
    assert_eq!(number(&survivor, "select 3").await, 3);
    survivor.batch_execute("commit").await.unwrap();
    assert!(pooler.ended());
    assert!(!pooler.path("pid").exists());
    assert!(!pooler.path(&format!(".s.PGSQL.{}", pooler.port)).exists());
}

#[test]
fn in_the_background() {
    let Some(foreign) = server(15) else { return };
    let pooler = Pooler::new();
    pooler.write(
        &format!("db = host=127.0.0.1 port={} dbname=postgres", foreign.port()),
        "auth_type = scram-sha-256",
        "\"s\" \"new\"\n",
    );
    let output = pooler.command().arg("-d").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pid: u32 = std::fs::read_to_string(pooler.path("pid")).unwrap().trim().parse().unwrap();
    let said = pooler.psql(&pooler.dsn("127.0.0.1", "s", "new", "db"), "select 4");
    let second = pooler.refused();
    process::signal(pid, Signal::TERM);
    assert_eq!(said.good(), "4");
    assert!(second.contains("runs already"), "{second}");
    pooler.wait_for_log("ending now");
    let start = Mono::now();
    while pooler.path("pid").exists() {
        assert!(start.elapsed() < WITHIN);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn encrypted_on_both_sides() {
    let Some(foreign) = server(15) else { return };
    let mut pooler = Pooler::new();
    let dir = pooler.dir.path().to_owned();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "key", "-out", "crt"])
        .current_dir(&dir)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    foreign.encrypt(&dir.join("crt"), &dir.join("key"));
    let (port, path) = (foreign.port(), dir.display());
    // `127.0.0.1` is not the certificate's name.
    let databases = format!(
        "db = host=localhost port={port} dbname=postgres\nip = host=127.0.0.1 port={port} dbname=postgres"
    );
    let both = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    for (mode, by_name, by_address) in [
        ("disable", Ok("f"), Ok("f")),
        ("prefer", Ok("t"), Ok("t")),
        ("require", Ok("t"), Ok("t")),
        ("verify-ca", Ok("t"), Ok("t")),
        ("verify-full", Ok("t"), Err("certificate")),
    ] {
        let settings = format!(
            "auth_type = scram-sha-256\nserver_tls_sslmode = {mode}\nserver_tls_ca_file = {path}/crt\n\
             client_tls_sslmode = require\nclient_tls_cert_file = {path}/crt\nclient_tls_key_file = {path}/key\n\
             query_wait_timeout = 1"
        );
        pooler.write(&databases, &settings, "\"s\" \"new\"\n");
        pooler.start();
        for (database, wanted) in [("db", by_name), ("ip", by_address)] {
            let dsn = pooler.dsn("127.0.0.1", "s", "new", database);
            let plain = pooler.psql(&format!("{dsn} sslmode=disable"), both).bad();
            assert!(plain.contains("only encrypted"), "{plain}");
            let said = pooler.psql(&format!("{dsn} sslmode=require channel_binding=require"), both);
            match wanted {
                Ok(wanted) => assert_eq!(said.good(), wanted, "{mode} {database}"),
                Err(wanted) => {
                    let error = said.bad();
                    assert!(error.contains(wanted), "{mode} {database}: {error}");
                }
            }
        }
        pooler.signal(Signal::TERM);
        assert!(pooler.ended());
    }
}

#[test]
fn the_console_is_for_those_whom_the_file_lists() {
    let Some(foreign) = server(18) else { return };
    let mut pooler = Pooler::new();
    pooler.write(
        &format!("db = host=127.0.0.1 port={} dbname=postgres pool_size=3", foreign.port()),
        "auth_type = scram-sha-256\npool_mode = transaction\nadmin_users = s\nstats_users = m",
        "\"m\" \"old\"\n\"s\" \"new\"\n\"clear\" \"plain\"\n",
    );
    pooler.start();
    let ask = |user: &str, password: &str, database: &str, sql: &str| {
        pooler.psql(&pooler.dsn("127.0.0.1", user, password, database), sql)
    };
    assert_eq!(ask("s", "new", "db", "select 1").good(), "1");
    for database in ["pgbouncer", "dormouse"] {
        let pools = ask("m", "old", database, "show pools").good();
        assert!(pools.lines().any(|line| line.starts_with("db|s|")), "{pools}");
    }
    let refused = ask("m", "old", "pgbouncer", "pause").bad();
    assert!(refused.contains("admin"), "{refused}");
    assert!(ask("s", "guess", "pgbouncer", "show pools").bad().contains("password authentication failed"));
    assert!(ask("clear", "plain", "pgbouncer", "show pools").bad().contains("may not use the console"));
    ask("s", "new", "pgbouncer", "set query_timeout = 1").good();
    let late = ask("s", "new", "db", "select pg_sleep(5)").bad();
    assert!(late.contains("query timeout"), "{late}");
    ask("s", "new", "pgbouncer", "disable db").good();
    assert!(ask("s", "new", "db", "select 1").bad().contains("disabled"));
    ask("s", "new", "pgbouncer", "enable db").good();
    ask("s", "new", "pgbouncer", "reload").good();
    assert_eq!(
        ask("s", "new", "db", "select pg_sleep(1.2), 1").good(),
        "|1",
        "RELOAD takes back what SET has set"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_is_not_held_up_by_other_servers() {
    let Some(foreign) = server(18) else { return };
    let mut pooler = Pooler::new();
    // Two targets of one entry: a listener sits on one of them, and nobody waits for it to come to the other.
    pooler.write(
        &format!("db = host=127.0.0.1,localhost port={} dbname=postgres", foreign.port()),
        "auth_type = scram-sha-256\npool_mode = transaction",
        "\"s\" \"new\"\n",
    );
    pooler.start();
    let listener = pooler.connect("s", "new", "db").await;
    listener.batch_execute("listen news").await.unwrap();
    let start = Mono::now();
    for _ in 0..2 {
        let other = pooler.connect("s", "new", "db").await;
        other.batch_execute("begin; select 1; commit").await.unwrap();
        let second = pooler.connect("s", "new", "db").await;
        other.batch_execute("begin; select 1").await.unwrap();
        second.batch_execute("select 1").await.unwrap();
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let pid: i32 = listener.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    foreign.sql("postgres", &format!("select pg_terminate_backend({pid})"));
    // What was said meanwhile is lost: so it must notice.
    let end = async {
        while !listener.is_closed() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WITHIN, end).await.unwrap();
}

#[test]
fn clients_are_called_by_their_own_addresses_wherever_it_listens() {
    let Some(foreign) = server(15) else { return };
    for listen in ["*", "0.0.0.0,::"] {
        let mut pooler = Pooler::new();
        pooler.write(
            &format!("db = host=127.0.0.1 port={} dbname=postgres", foreign.port()),
            &format!("listen_addr = {listen}\napplication_name_add_host = 1\nadmin_users = s"),
            "\"s\" \"new\"\n",
        );
        pooler.start();
        let dsn = pooler.dsn("127.0.0.1", "s", "new", "db") + " application_name=app";
        let name = pooler.psql(&dsn, "show application_name").good();
        assert!(name.starts_with("app - 127.0.0.1:"), "{listen}: {name}");
        let clients = pooler.psql(&pooler.dsn("127.0.0.1", "s", "new", "pgbouncer"), "show clients").good();
        assert!(clients.contains("|127.0.0.1|") && !clients.contains("ffff"), "{listen}: {clients}");
        let log = pooler.log();
        assert!(log.contains("db/s@127.0.0.1:") && !log.contains("ffff"), "{listen}: {log}");
    }
}
